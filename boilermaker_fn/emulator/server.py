"""What is the emulator? A server that the real SDKs cannot tell from Service Bus, for all that this project uses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

from ..local.database import Database
from ..local.queue import Rules
from ..local.schema import Owner
from .backlog import Tasks
from .broker import Broker
from .connection import Connection
from .faults import Faults
from .host import Host

# Seconds that work which was begun has to end.
_LAST_WORK: Final = 5.0


class Emulator:
    """Queues behind AMQP 1.0, without TLS, in the event loop that starts it.

    `queues` are there from the start, by name, each with its rules. `path` is a SQLite file, made when it is missing;
    None keeps everything in memory. `port` 0 lets the system choose. `clock` gives seconds since the epoch. `faults`
    can be replaced at any time.
    """

    def __init__(
        self,
        queues: Mapping[str, Rules],
        *,
        path: str | Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.time,
        faults: Faults | None = None,
    ) -> None:
        self._address = host, port
        self._database = Database(None if path is None else Path(path).absolute(), Owner.EMULATOR)
        self._host = Host(Broker(queues, self._database, clock), clock, faults or Faults(), Tasks())
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def faults(self) -> Faults:
        """What goes wrong on purpose."""
        return self._host.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._host.faults = faults

    @property
    def broker(self) -> Broker:
        """The queues, for tests that look behind the wire."""
        return self._host.broker

    @property
    def port(self) -> int:
        """The port that it listens on. Raises RuntimeError before it is started."""
        if self._server is None:
            raise RuntimeError("the emulator has no port before it is started: await emulator.start() first")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def connection_string(self) -> str:
        """What SDKs connect with. Raises RuntimeError before it is started."""
        host = self._address[0]
        host = f"[{host}]" if ":" in host else host
        return (
            f"Endpoint=sb://{host}:{self.port};SharedAccessKeyName=RootManageSharedAccessKey;"
            "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"
        )

    async def start(self) -> None:
        """Open the file and listen. Raises ConfigurationError, StoreUnavailable, and OSError when the port is taken."""
        await self._host.broker.open()
        self._host.closing = False
        host, port = self._address
        self._server = await asyncio.get_running_loop().create_server(self._connected, host, port)

    async def close(self) -> None:
        """End all connections; what was sent completely is kept."""
        self._host.closing = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close()
            connection.abort()
        await asyncio.sleep(0)  # they hear of it in the next round of the loop
        await self._host.tasks.finish(_LAST_WORK)
        self._server = None
        await self._database.close()

    async def __aenter__(self) -> Emulator:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _connected(self) -> Connection:
        return Connection(self._host, self._connections)
