"""What stands between a Functions host and Microsoft's Python runtime? In Azure a proxy worker, in tests this process.

`python -m tests.host.front 127.0.0.1:PORT` connects to the host, hands each of its requests to
`azure_functions_runtime` and sends back the answer, as many at once as come. What is logged goes to the host on the
same stream, in order, and as in Azure through a handler on the root logger that has no formatter of its own. The
process ends with the stream.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import azure_functions_runtime as runtime
import grpc

from tests.host.rpc import EVENT_STREAM, protos

Send = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Request:
    """A request in the form in which the runtime takes it: the host's message, and the classes to answer with."""

    request: Any
    properties: dict[str, Any]


_HANDLERS: Final[dict[str, tuple[Callable[[Any], Awaitable[Any]], str]]] = {
    "worker_init_request": (runtime.worker_init_request, "worker_init_response"),
    "functions_metadata_request": (runtime.functions_metadata_request, "function_metadata_response"),
    "function_load_request": (runtime.function_load_request, "function_load_response"),
    "invocation_request": (runtime.invocation_request, "invocation_response"),
}

_LEVELS: Final = {
    logging.DEBUG: protos.RpcLog.Debug,
    logging.INFO: protos.RpcLog.Information,
    logging.WARNING: protos.RpcLog.Warning,
    logging.ERROR: protos.RpcLog.Error,
    logging.CRITICAL: protos.RpcLog.Critical,
}


class HostHandler(logging.Handler):
    """Sends log records to the host."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        log = protos.RpcLog(category=record.name, level=_LEVELS[record.levelno], message=self.format(record))
        self._send(protos.StreamingMessage(rpc_log=log))


async def answer(message: Any, send: Send) -> None:
    """Have the runtime answer one request, and send the answer."""
    handle, reply = _HANDLERS[message.WhichOneof("content")]
    response = await handle(Request(message, {"protos": protos, "host": "127.0.0.1"}))
    send(protos.StreamingMessage(request_id=message.request_id, **{reply: response}))


async def serve(requests: Iterable[Any], send: Send) -> None:
    """Answer requests until the stream ends. An answer that the runtime cannot give ends the process."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def read() -> None:
        try:
            for message in requests:
                loop.call_soon_threadsafe(group.create_task, answer(message, send))
        except grpc.RpcError:
            pass  # the host went away
        finally:
            loop.call_soon_threadsafe(ended.set)

    async with asyncio.TaskGroup() as group:
        threading.Thread(target=read, daemon=True).start()
        await ended.wait()


def main(address: str) -> None:
    """Connect to the host at `address` and work until it ends the stream."""
    outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
    root = logging.getLogger()
    root.addHandler(HostHandler(outgoing.put))
    root.setLevel(logging.INFO)
    with grpc.insecure_channel(address) as channel:
        stream = channel.stream_stream(
            EVENT_STREAM,
            request_serializer=protos.StreamingMessage.SerializeToString,
            response_deserializer=protos.StreamingMessage.FromString,
        )
        outgoing.put(protos.StreamingMessage(start_stream=protos.StartStream(worker_id="front")))
        runtime.start_threadpool_executor()
        asyncio.run(serve(stream(iter(outgoing.get, None)), outgoing.put))
        outgoing.put(None)


if __name__ == "__main__":
    main(sys.argv[1])
