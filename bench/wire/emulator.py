"""The server all contestants share a machine with: the emulator, in memory, in a process of its own for each round."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator

from ..rounds import PYTHON

QUEUES = ("work", "work-dead-letters", "celery")


@contextlib.contextmanager
def emulator() -> Iterator[str]:
    """A running emulator; its connection string."""
    server = subprocess.Popen([PYTHON, "-m", "bench.wire.emulator"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


async def _serve() -> None:
    from boilermaker_fn.emulator import Emulator
    from boilermaker_fn.local.queue import Rules

    async with Emulator({name: Rules() for name in QUEUES}) as server:
        print(server.connection_string, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
