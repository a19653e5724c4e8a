"""How does a user test an app? With a worker in memory, on a clock that jumps: no waiting, no files, no Azure.

def test_an_order_is_charged():
    with VirtualWorker(app) as worker:
        handle = worker.run(app.apply_async(charge, 3))
        worker.until_idle()
        assert worker.result(handle) == 3
        assert worker.dead_letters() == []
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import random
import time
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar, overload

from ..app import Boilermaker
from ..errors import ResultTimeout
from ..handle import TaskHandle
from ..local import LocalEngine
from ..messages import Delivery
from ..ports import Inbox
from ..results import ResultStore
from ..runner import Runner
from ..task.result import TaskResult
from ..wiring import Wiring
from .deliveries import Deliveries
from .seen import DeadLetter, Waiting, dead_letter, instant, waiting
from .virtual_time import VirtualTimeLoop

R = TypeVar("R")

#: How many deliveries a test may cause at most in one go.
LIMIT: Final = 10_000
DAY: Final = 86_400.0

_PAGE: Final = 1000


class VirtualWorker:
    """Runs an app's tasks in memory and in virtual time, while the `with` block lasts; then the app is as before.

    >>> with VirtualWorker(app) as worker:
    ...     handle = worker.run(app.apply_async(charge, 3))
    ...     worker.until_idle()
    ...     assert worker.result(handle) == 3
    ...     assert worker.dead_letters() == []

    Nothing is delivered but inside `until_idle` and `skip`, and while a coroutine given to `run` waits for time to
    pass. Up to `concurrency` messages of each queue are then worked on at once. The clock starts at `start`, by
    default now. Delays with a random part have their full length; with a `seed` they are drawn from it.

    It owns the event loop: use it in a plain `def` test. For a test with `await`, pass a coroutine to `run`. Clocks of
    Python itself (`time.time`, `datetime.now`) are not virtual, nor is the network; threads and processes take the
    time they take.
    """

    def __init__(
        self,
        app: Boilermaker,
        *,
        start: datetime.datetime | None = None,
        concurrency: int = 16,
        seed: int | None = None,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency is {concurrency}: a worker runs at least one task at once")
        if start is not None and start.tzinfo is None:
            raise ValueError(f"start is {start}, which has no time zone: add tzinfo=datetime.UTC")
        self._app = app
        self._start = float(int(time.time())) if start is None else start.timestamp()
        self._concurrency = concurrency
        self._chance = _longest if seed is None else random.Random(seed).random  # noqa: S311 - spreads delays
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Connect the app to memory. Raises RuntimeError inside a running event loop."""
        if _in_a_loop():
            raise RuntimeError(
                "VirtualWorker owns its event loop and cannot start inside another one: use it in a plain `def` test, "
                "and pass what must be awaited to its run(...)"
            )
        with contextlib.ExitStack() as stack:
            self._loop = VirtualTimeLoop(self._start)
            self._asyncio = stack.enter_context(asyncio.Runner(loop_factory=lambda: self._loop))
            self._engine = LocalEngine(None, clock=self._loop.time)
            stack.callback(lambda: self._asyncio.run(self._engine.close()))
            self._wiring = self._wired()
            stack.enter_context(self._app.shell.rewired(self._wiring))
            runner: Runner = self._app.shell.runner()
            stack.callback(runner.close)
            self._deliveries = Deliveries(self._engine, self._app.shell.queues, runner, self._concurrency)
            stack.callback(lambda: self._asyncio.run(self._deliveries.interrupt()))
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Interrupt what runs, forget everything, and connect the app to what it was connected to."""
        self._exit.close()

    @property
    def now(self) -> datetime.datetime:
        """The virtual time, in UTC."""
        return instant(self._loop.time())

    def run(self, coroutine: Coroutine[Any, Any, R], *, limit: int = LIMIT, timeout: float = DAY) -> R:
        """Run a coroutine to its end and return what it returns.

        While it waits for time to pass, messages are delivered: `worker.run(handle.result(timeout=60))` works, and so
        does a whole test with `await`. Raises what it raises, and Endless after `limit` deliveries or `timeout`
        virtual seconds.
        """
        return self._asyncio.run(self._run(coroutine, limit, timeout))

    def until_idle(self, *, limit: int = LIMIT) -> None:
        """Deliver everything, and skip to what is scheduled for later, until no message is left.

        Raises Endless after `limit` deliveries, or when a task has run for a day of virtual time.
        """
        self._asyncio.run(self._until_idle(limit))

    def skip(self, seconds: float | datetime.timedelta, *, limit: int = LIMIT) -> None:
        """Let time pass, and deliver what falls due in it, its last instant included.

        A task that is still running then goes on with the next call. Raises Endless after `limit` deliveries.
        """
        if isinstance(seconds, datetime.timedelta):
            seconds = seconds.total_seconds()
        if seconds < 0:
            raise ValueError(f"seconds is {seconds}: time only passes forwards")
        self._asyncio.run(self._skip(seconds, limit))

    @overload
    def result(self, task: TaskHandle[R]) -> R: ...
    @overload
    def result(self, task: str) -> Any: ...
    def result(self, task: TaskHandle[Any] | str) -> Any:
        """What a task returned, by its handle (then revived by the function's annotation) or by its id.

        Raises TaskFailed (TaskCancelled, TaskExpired) with type, message and traceback, ResultTimeout if the task has
        not ended, TaskNotFound, and ResultsNotKept.
        """
        handle = self._handle(task)
        if not self.info(handle).finished:
            raise ResultTimeout(handle.task_id, 0)
        return self._asyncio.run(handle.result())

    def info(self, task: TaskHandle[Any] | str) -> TaskResult:
        """All that is known of a task: status, value or error, attempts and times. Raises TaskNotFound."""
        return self._asyncio.run(self._handle(task).info())

    def queue(self) -> list[Waiting]:
        """The messages that wait, in all queues, by the time they are due. What is running is not among them."""
        running = self._deliveries.running
        messages = [message for name in self._app.shell.queues for message in self._messages(name)]
        found = [waiting(message) for message in messages if message.sequence_number not in running]
        return sorted(found, key=lambda message: message.due)

    def dead_letters(self) -> list[DeadLetter]:
        """What was given up, in that order."""
        return [dead_letter(message) for message in self._messages(self._wiring.dead_letter_queue)]

    def _wired(self) -> Wiring:
        queue, dead_letter_queue = self._app.shell.queue_names
        return Wiring(
            engine=self._engine,
            results=None if self._engine.table is None else ResultStore(self._engine.table),
            queue=queue,
            dead_letter_queue=dead_letter_queue,
            clock=self._loop.time,
            chance=self._chance,
        )

    async def _run(self, coroutine: Coroutine[Any, Any, R], limit: int, timeout: float) -> R:
        work = asyncio.ensure_future(coroutine)
        at_rest = asyncio.ensure_future(self._loop.at_rest())
        await asyncio.wait({work, at_rest}, return_when=asyncio.FIRST_COMPLETED)
        at_rest.cancel()
        if work.done():
            return work.result()
        return await self._deliveries.during(work, limit=limit, timeout=timeout)

    async def _until_idle(self, limit: int) -> None:
        await self._deliveries.during(asyncio.ensure_future(self._deliveries.idle()), limit=limit)

    async def _skip(self, seconds: float, limit: int) -> None:
        await self._deliveries.during(asyncio.ensure_future(self._passed(seconds)), limit=limit)

    async def _passed(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._loop.at_rest()

    def _handle(self, task: TaskHandle[Any] | str) -> TaskHandle[Any]:
        return self._app.handle(task) if isinstance(task, str) else task

    def _messages(self, queue: str) -> list[Delivery]:
        return self._asyncio.run(_all(self._engine.inbox(queue)))


async def _all(inbox: Inbox) -> list[Delivery]:
    found = page = await inbox.peek(_PAGE)
    while page:
        page = await inbox.peek(_PAGE, after=page[-1].sequence_number)
        found = found + page
    return found


def _longest() -> float:
    return 1.0


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
