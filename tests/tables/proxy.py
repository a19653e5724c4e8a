"""Between a client and Azurite: passes requests on, except where it was told to misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "host")


class Proxy:
    """`faults` are taken one by one, one a request; when there are none left, requests are passed on.

    `requests` has the method and the path of each request that came, in order.
    """

    def __init__(self, upstream: int, session: aiohttp.ClientSession) -> None:
        self._upstream = upstream
        self._session = session
        self.port = 0
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.for_ever: Fault | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(f"{request.method} {request.path}")
        fault = self.faults.pop(0) if self.faults else self.for_ever
        return await (self.passed_on(request, body) if fault is None else fault(self, request, body))

    async def passed_on(self, request: web.Request, body: bytes) -> web.Response:
        url = URL(f"http://127.0.0.1:{self._upstream}{request.raw_path}", encoded=True)
        async with self._session.request(
            request.method, url, headers=without_hops(request.headers), data=body, skip_auto_headers=["Content-Type"]
        ) as answer:
            return web.Response(status=answer.status, headers=without_hops(answer.headers), body=await answer.read())


Fault = Callable[[Proxy, web.Request, bytes], Awaitable[web.StreamResponse]]


def without_hops(headers: object) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)  # type: ignore[call-overload]
    for name in _HOP_BY_HOP:
        kept.popall(name, None)
    return kept


def answers(status: int, code: str) -> Fault:
    """An error as the service says it; nothing is passed on."""

    async def fault(proxy: Proxy, request: web.Request, body: bytes) -> web.Response:
        said = {"odata.error": {"code": code, "message": {"lang": "en-US", "value": f"{code}, says the proxy.\n"}}}
        return web.Response(status=status, text=json.dumps(said), content_type="application/json")

    return fault


def speaks_html(status: int) -> Fault:
    """What a gateway says that is no table service."""

    async def fault(proxy: Proxy, request: web.Request, body: bytes) -> web.Response:
        return web.Response(status=status, text="<html>no</html>", content_type="text/html")

    return fault


async def cuts_before(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
    """The connection is cut; nothing was passed on."""
    return cut(request)


async def cuts_after(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
    """The request is done, its answer is lost."""
    await proxy.passed_on(request, body)
    return cut(request)


async def hides_success(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
    """The request is done, and a gateway says that it does not know."""
    await proxy.passed_on(request, body)
    return await answers(500, "OperationTimedOut")(proxy, request, body)


async def halves(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
    """The request is done, the connection is cut within its answer."""
    whole = await proxy.passed_on(request, body)
    response = web.StreamResponse(status=whole.status, headers=whole.headers)
    content = whole.body if isinstance(whole.body, bytes) and whole.body else b"lost"
    response.content_length = len(content)
    await response.prepare(request)
    await response.write(content[: len(content) // 2])
    return cut(request)


async def hangs(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
    """No answer comes."""
    await asyncio.sleep(60)
    return cut(request)


async def passes(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
    """No fault."""
    return await proxy.passed_on(request, body)


def meanwhile(act: Callable[[], Awaitable[object]], then: Fault) -> Fault:
    """Before it comes to the fault, somebody else does something."""

    async def fault(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
        await act()
        return await then(proxy, request, body)

    return fault


def done_then(act: Callable[[], Awaitable[object]]) -> Fault:
    """The request is done, somebody else does something, and then the answer is lost."""

    async def fault(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
        await proxy.passed_on(request, body)
        await act()
        return cut(request)

    return fault


def cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def proxy_before(upstream: int) -> AsyncIterator[Proxy]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        proxy = Proxy(upstream, session)
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        proxy.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        try:
            yield proxy
        finally:
            await runner.cleanup()
