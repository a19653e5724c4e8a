"""How are messages delivered in a test? As a host does it: several at once, locks renewed, settled at the end.

Unlike a worker, it passes on errors of the machinery to the test instead of living on, and it knows when nothing is
left to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeAlias, TypeVar

from ..envelopes import decode
from ..errors import BoilermakerError, Held
from ..messages import DEAD_LETTER_SUFFIX, Delivery
from ..ports import Engine, Inbox
from ..runner import Runner
from ..task.task import Task

T = TypeVar("T")

#: Longer than any test lasts, in seconds.
_FOR_EVER: Final = 1e9
_RENEWALS: Final = 3
#: After so many virtual seconds a task that still runs is said to wait for what never comes.
_LONGEST_RUN: Final = 86_400.0

_Handle: TypeAlias = Callable[[Delivery], Awaitable[str]]


class Endless(BoilermakerError, AssertionError):
    """What a test waits for does not end: tasks go on and on, or something never comes. The message says which."""


class Deliveries:
    """Delivers the messages of `queues`, and of what the broker set aside from them, `during` something.

    `concurrency` is how many messages of each queue are worked on at once.
    """

    def __init__(self, engine: Engine, queues: tuple[str, ...], runner: Runner, concurrency: int) -> None:
        self._served: list[tuple[Inbox, _Handle]] = []
        for queue in queues:
            self._served.append((engine.inbox(queue), runner.handle))
            self._served.append((engine.inbox(queue + DEAD_LETTER_SUFFIX), runner.reap))
        self._places = [asyncio.Semaphore(concurrency) for _ in self._served]
        self._running: dict[asyncio.Task[None], Delivery] = {}
        self._left = 0
        self._limit = 0
        self._ended = asyncio.Event()
        self._failed = asyncio.Event()
        self._error: Exception | None = None

    @property
    def running(self) -> set[int]:
        """The sequence numbers of the messages that are worked on now."""
        return {delivery.sequence_number for delivery in self._running.values()}

    async def during(self, work: asyncio.Task[T], *, limit: int, timeout: float | None = None) -> T:
        """Deliver what is due until `work` is done, and return its result; what runs then goes on when the loop does.

        Raises Endless after `limit` deliveries or `timeout` seconds, and what `work` or the machinery raised.
        """
        self._left = self._limit = limit
        alarm = asyncio.ensure_future(self._failed.wait())
        serving = [
            asyncio.ensure_future(self._guarded(self._serve(inbox, handle, places)))
            for (inbox, handle), places in zip(self._served, self._places, strict=True)
        ]
        try:
            await asyncio.wait({work, alarm}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            self._check()
            if not work.done():
                raise Endless(f"not done after {timeout:g} s of virtual time: does it wait for what never comes?")
            return work.result()
        finally:
            await _cancelled([work, alarm, *serving])

    async def idle(self) -> None:
        """Return when no message is left."""
        while not await self._is_idle():
            self._ended.clear()
            await self._ended.wait()

    async def interrupt(self) -> None:
        """Stop what runs, as a host does that is shut down, and hand it back."""
        await _cancelled(list(self._running))

    async def _is_idle(self) -> bool:
        if self._running:
            return False
        for inbox, _ in self._served:
            if await inbox.peek(1):
                return False
        return True

    async def _serve(self, inbox: Inbox, handle: _Handle, places: asyncio.Semaphore) -> None:
        while True:
            await places.acquire()
            deliveries: list[Delivery] = []
            try:
                deliveries = await inbox.receive(1, _FOR_EVER)
            finally:
                if not deliveries:
                    places.release()
            for delivery in deliveries:
                self._start(inbox, delivery, handle, places)

    def _start(self, inbox: Inbox, delivery: Delivery, handle: _Handle, places: asyncio.Semaphore) -> None:
        task = asyncio.ensure_future(self._guarded(self._deliver(inbox, delivery, handle)))
        self._running[task] = delivery
        task.add_done_callback(lambda task: self._done(task, places))
        self._left -= 1
        if self._left < 0:
            self._fail(
                Endless(
                    f"after {self._limit} deliveries there is still something to do, just now {_name(delivery)}: "
                    "does a task publish itself again and again? If all is well, raise limit="
                )
            )

    def _done(self, task: asyncio.Task[None], places: asyncio.Semaphore) -> None:
        del self._running[task]
        places.release()
        self._ended.set()

    async def _deliver(self, inbox: Inbox, delivery: Delivery, handle: _Handle) -> None:
        renewing = asyncio.ensure_future(self._guarded(self._renew(inbox, delivery)))
        try:
            await handle(delivery)
        except (Held, asyncio.CancelledError):
            await inbox.release(delivery)
        else:
            await inbox.complete(delivery)
        finally:
            renewing.cancel()

    async def _renew(self, inbox: Inbox, delivery: Delivery) -> None:
        pause = inbox.lock_duration / _RENEWALS
        for _ in range(int(_LONGEST_RUN / pause)):
            await asyncio.sleep(pause)
            await inbox.renew(delivery)
        raise Endless(f"{_name(delivery)} has run for a day of virtual time: does it wait for what never comes?")

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # the test must hear of it, whatever it waits for
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self._failed.set()

    def _check(self) -> None:
        error, self._error = self._error, None
        self._failed.clear()
        if error is not None:
            raise error


async def _cancelled(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _name(delivery: Delivery) -> str:
    task = decode(delivery.body)
    return f"{task.function_name!r} (task {task.task_id})" if isinstance(task, Task) else repr(delivery.message_id)
