"""What passes between a client and a server, and what if it is cut? TCP proxies on the loopback interface."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random
from types import TracebackType
from typing import Protocol, Self

_CHUNK = 64 * 1024


class Line(Protocol):
    """One connection. What it returns is passed on; less than it was given means: then the connection is cut."""

    def sent(self, data: bytes) -> bytes:
        """The client says this."""
        ...

    def received(self, data: bytes) -> bytes:
        """The server says this."""
        ...


class Proxy:
    """Listens on `port` and connects each client to the port `upstream` over a line of its own."""

    def __init__(self, upstream: int, line: Callable[[], Line]) -> None:
        self._upstream = upstream
        self._line = line
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def through(self, connection_string: str) -> str:
        """The connection string of the server, as clients must have it to come through here."""
        return connection_string.replace(f":{self._upstream};", f":{self.port};")

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:  # the server is down
            writer.transport.abort()
            return
        line = self._line()
        pumps = [
            asyncio.ensure_future(_pump(reader, back, line.sent)),
            asyncio.ensure_future(_pump(there, writer, line.received)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            await asyncio.gather(_closed(writer), _closed(back))


async def _closed(writer: asyncio.StreamWriter) -> None:
    """What was passed on arrives, if the other side reads; then it finds the connection closed."""
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            await writer.wait_closed()
    writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passed: Callable[[bytes], bytes]) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            rest = passed(data)
            writer.write(rest)
            await writer.drain()
            if len(rest) < len(data):
                return


class CutLine:
    """A line that is cut after `life` bytes, whoever says them."""

    def __init__(self, life: int, cut: Callable[[], None]) -> None:
        self._left = life
        self._cut = cut

    def sent(self, data: bytes) -> bytes:
        return self._passed(data)

    def received(self, data: bytes) -> bytes:
        return self._passed(data)

    def _passed(self, data: bytes) -> bytes:
        rest = data[: self._left]
        self._left -= len(rest)
        if len(rest) < len(data):
            self._cut()
        return rest


class Chaos(Proxy):
    """Cuts every connection after some number of bytes. `cuts` counts them."""

    def __init__(self, upstream: int, chance: Random, *, shortest: int, longest: int) -> None:
        super().__init__(upstream, lambda: CutLine(chance.randint(shortest, longest), self._counted))
        self.cuts = 0

    def _counted(self) -> None:
        self.cuts += 1
