"""How does a test play a queue by hand? One delivery at a time, on a clock that only the test moves."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from boilermaker_fn import Boilermaker
from boilermaker_fn.envelopes import decode
from boilermaker_fn.errors import Held
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import DEAD_LETTER_REASON, DEAD_LETTER_SUFFIX, Delivery, Message
from boilermaker_fn.ports import Table
from boilermaker_fn.results import ResultStore
from boilermaker_fn.runner import Runner
from boilermaker_fn.task.result import TerminalRow
from boilermaker_fn.task.task import Task
from boilermaker_fn.wiring import Wiring

NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)
QUEUE = "tasks"
LAKE = "tasks-dead-letters"


class ManualClock:
    """Seconds since the epoch, as the test says."""

    def __init__(self, start: datetime.datetime = NOON) -> None:
        self.start = self.now = start.timestamp()

    def __call__(self) -> float:
        return self.now

    @property
    def passed(self) -> float:
        """Seconds since the start."""
        return self.now - self.start


class Stage:
    """An app on an engine in memory. `ran` has what became of each delivery, in order."""

    def __init__(self, app: Boilermaker, engine: LocalEngine, clock: ManualClock, wiring: Wiring) -> None:
        self.app = app
        self.engine = engine
        self.clock = clock
        self.wiring = wiring
        self.ran: list[str] = []
        self._runner: Runner | None = None

    @property
    def runner(self) -> Runner:
        """Made when it is first used, so inside the event loop of the test."""
        if self._runner is None:
            self._runner = self.app.shell.runner()
        return self._runner

    async def deliver(self, queue: str = QUEUE) -> str | None:
        """Hand over the next message that is due; what became of it, or None if there is none."""
        return await self._hand_over(queue, self.runner.handle)

    async def reap(self, queue: str = QUEUE) -> str | None:
        """Hand over the next message that the broker set aside."""
        # It sets a message aside when it meets it.
        for delivery in await self.engine.inbox(queue).receive(1, 0):
            raise AssertionError(f"{delivery.message_id} is not given up yet")
        return await self._hand_over(queue + DEAD_LETTER_SUFFIX, self.runner.reap)

    async def deliver_all(self, queue: str = QUEUE) -> list[str]:
        """Hand over all that is due now, and what that leads to at once."""
        endings = []
        while (ending := await self.deliver(queue)) is not None:
            endings.append(ending)
        return endings

    async def play(self, queue: str = QUEUE) -> list[str]:
        """Hand over everything, moving the clock to what is scheduled, until the queue is empty."""
        endings = await self.deliver_all(queue)
        while waiting := await self.waiting(queue):
            self.clock.now = max(self.clock.now, min(message.enqueued_at for message in waiting))
            endings += await self.deliver_all(queue)
        return endings

    async def crash(self, queue: str = QUEUE) -> Delivery:
        """Receive a message and die: it comes again when its lock has ended."""
        (delivery,) = await self.engine.inbox(queue).receive(1, 0)
        self.clock.now = max(self.clock.now, delivery.locked_until)
        return delivery

    async def waiting(self, queue: str = QUEUE) -> list[Delivery]:
        """All messages in a queue, in any state; `enqueued_at` is when they are due."""
        return await self.engine.inbox(queue).peek(10_000)

    async def tasks(self, queue: str = QUEUE) -> list[Task]:
        """The envelopes in a queue."""
        return [readable(delivery) for delivery in await self.waiting(queue)]

    async def letters(self) -> list[Delivery]:
        """What was given up."""
        return await self.waiting(LAKE)

    async def reasons(self) -> list[str]:
        """Why each of them was."""
        return [str(letter.properties[DEAD_LETTER_REASON]) for letter in await self.letters()]

    async def row(self, task_id: str) -> TerminalRow | None:
        """The terminal row of a task."""
        assert self.wiring.results is not None
        return await self.wiring.results.read(task_id)

    async def send(self, body: bytes, message_id: str = "a-message", **fields: Any) -> None:
        """Send a message as a stranger would."""
        await self.engine.transport.send([Message(QUEUE, message_id, body, **fields)])

    async def _hand_over(self, queue: str, handle: Callable[[Delivery], Awaitable[str]]) -> str | None:
        inbox = self.engine.inbox(queue)
        deliveries = await inbox.receive(1, 0)
        if not deliveries:
            return None
        try:
            ending = await handle(deliveries[0])
        except Held:
            await inbox.release(deliveries[0])
            raise
        await inbox.complete(deliveries[0])
        self.ran.append(ending)
        return ending


def readable(delivery: Delivery) -> Task:
    """The envelope in a message."""
    task = decode(delivery.body)
    assert isinstance(task, Task), task
    return task


@asynccontextmanager
async def staged(
    app: Boilermaker,
    *,
    engine: LocalEngine | None = None,
    clock: ManualClock | None = None,
    results: bool = True,
    table: Table | None = None,
    chance: float = 1.0,
) -> AsyncIterator[Stage]:
    """Put an app on stage. `chance` is the random part of every delay, `table` where rows are kept."""
    clock = clock or ManualClock()
    engine = engine or LocalEngine(None, clock=clock, results=results)
    rows = table or engine.table
    store = None if rows is None or not results else ResultStore(rows)
    wiring = Wiring(engine, store, QUEUE, LAKE, clock=clock, chance=lambda: chance)
    with app.shell.rewired(wiring):
        stage = Stage(app, engine, clock, wiring)
        try:
            yield stage
        finally:
            stage.runner.close()
            await engine.close()
