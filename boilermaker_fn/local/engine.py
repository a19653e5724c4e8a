"""Where do tasks live when there is no Azure? In one SQLite file, or in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..errors import ConfigurationError
from .database import Database
from .queue import MAX_LOCK_SECONDS, Rules, holds
from .table import LocalTable
from .transport import LocalInbox, LocalTransport
from .wakeups import Wakeups


class LocalEngine:
    """The port Engine on one SQLite file, which several processes can use at once; or in memory, when `path` is None.

    `lock_duration` (at most 300), `duplicate_window` (0: none) and what `clock` returns are in seconds. `results`
    False means that results are not kept. Raises ConfigurationError; the file is opened, and made, on first use.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        clock: Callable[[], float] = time.time,
        lock_duration: float = 60.0,
        max_delivery_count: int = 10,
        duplicate_window: float = 7200.0,
        results: bool = True,
    ) -> None:
        problems = []
        if not 0 < lock_duration <= MAX_LOCK_SECONDS:
            problems.append(f"lock_duration is {lock_duration}, it must be more than 0, at most {MAX_LOCK_SECONDS:g} s")
        if max_delivery_count < 1:
            problems.append(f"max_delivery_count is {max_delivery_count}, it must be at least 1")
        if duplicate_window < 0:
            problems.append(f"duplicate_window is {duplicate_window}, it must be 0 s or more")
        if problems:
            raise ConfigurationError(f"LocalEngine: {'; '.join(problems)}")
        self._database = Database(None if path is None else Path(path).absolute())
        self._clock = clock
        self._rules = Rules(lock_duration, max_delivery_count, duplicate_window)
        self._wakeups = Wakeups()
        self._transport = LocalTransport(self._database, self._wakeups, clock, self._rules)
        self._table = LocalTable(self._database) if results else None

    @property
    def path(self) -> Path | None:
        """The file; None for memory."""
        return self._database.path

    @property
    def name(self) -> str:
        """The file, for people."""
        return self._database.name

    @property
    def queue(self) -> None:
        """As the settings say."""
        return

    @property
    def dead_letter_queue(self) -> None:
        """As the settings say."""
        return

    @property
    def transport(self) -> LocalTransport:
        """Sends into any queue; queues need not be made."""
        return self._transport

    @property
    def table(self) -> LocalTable | None:
        """None when results are not kept."""
        return self._table

    def inbox(self, queue: str) -> LocalInbox:
        """The inbox of a queue; with `messages.DEAD_LETTER_SUFFIX` after its name, of what was set aside."""
        return LocalInbox(self._database, self._wakeups, self._clock, self._rules, queue)

    async def holds(self, queue: str, task_id: str) -> bool:
        """Whether a message of this task is in the queue or was set aside from it. Raises StoreUnavailable."""
        return await self._database.read(lambda connection: holds(connection, queue, task_id))

    async def close(self) -> None:
        """Finish what was begun and close the file; used again, the engine opens it again."""
        await self._database.close()
