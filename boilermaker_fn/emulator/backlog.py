"""How is work done that comes in frame by frame? What has gathered is done together, in order, by one task."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Generic, TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Tasks:
    """The tasks of one emulator. What one of them raises is logged and harms nobody else."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run `work` in a task of its own."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def finish(self, within: float) -> None:
        """Wait `within` seconds for all to end, then cancel those that have not."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within)
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the emulator has a defect", exc_info=error)


class Backlog(Generic[T]):
    """What waits to be done. `do` gets all of it, and what comes meanwhile waits for the next time."""

    def __init__(self, tasks: Tasks, do: Callable[[list[T]], Awaitable[None]]) -> None:
        self._tasks = tasks
        self._do = do
        self._waiting: list[T] = []
        self._running = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, item: T) -> None:
        """Have this done soon."""
        self._waiting.append(item)
        if not self._running:
            self._running = True
            self._tasks.start(self._work_off())

    async def _work_off(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._do(batch)
        finally:
            self._running = False
