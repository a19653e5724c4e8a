"""How does one simulation run? The real runner, between a queue and a table that fail, until nothing is left to do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from boilermaker_fn.errors import Held, LockLost
from boilermaker_fn.execution import Execution
from boilermaker_fn.failure import TaskFailureResult
from boilermaker_fn.messages import DEAD_LETTER_SUFFIX, Delivery, task_id_of
from boilermaker_fn.outcomes import Outcome
from boilermaker_fn.registry import Registration, registered
from boilermaker_fn.results import ResultStore
from boilermaker_fn.retries import RetryException
from boilermaker_fn.rules import Rules
from boilermaker_fn.runner import Runner
from boilermaker_fn.task import Task
from boilermaker_fn.telemetry.observer import Observer
from boilermaker_fn.testing import VirtualTimeLoop

from .faults import Crash, Faults, FaultyTable, FaultyTransport, boundary, log
from .memory import MemoryBroker, MemoryTable, MemoryTransport
from .workload import ACT, LATE, Behaviour

QUEUE = "tasks"
LAKE = "tasks-dead-letters"
#: No workload of ours causes as many; what does is running in circles.
MOST_DELIVERIES = 2000


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which a simulation runs. Times are in seconds; `deployed_at` is when the late function is there."""

    keeps_rows: bool = True
    lock_duration: float = 60.0
    max_deliveries: int = 10
    window: float = 7200.0
    concurrency: int = 4
    store_down: tuple[float, float] = (0.0, 0.0)
    deployed_at: float = 200.0


@dataclass(frozen=True, slots=True)
class Start:
    """A function was started. `after_end`: when its message was delivered, its row was there already."""

    task_id: str
    attempt: int
    after_end: bool


@dataclass(slots=True)
class Journal:
    """What happened."""

    starts: list[Start] = field(default_factory=list)
    #: Tasks and in a word how a delivery of theirs ended that was settled.
    settled: list[tuple[str, str]] = field(default_factory=list)
    #: Tasks that somebody cancelled in time.
    cancelled: set[str] = field(default_factory=set)
    deliveries: int = 0
    #: What the machinery itself raised.
    errors: list[BaseException] = field(default_factory=list)


class World:
    """A queue, a table, a runner between them, and a host that delivers."""

    def __init__(
        self,
        loop: VirtualTimeLoop,
        chance: random.Random,
        faults: Faults,
        conditions: Conditions,
        behaviours: dict[str, Behaviour],
    ) -> None:
        self.conditions = conditions
        self.journal = Journal()
        self.clock = loop.time
        self.broker = MemoryBroker(
            loop.time,
            chance,
            lock_duration=conditions.lock_duration,
            max_deliveries=conditions.max_deliveries,
            window=conditions.window,
        )
        self.table = MemoryTable(loop.time)
        self.store = ResultStore(self.table)
        self.functions: dict[str, Registration] = {ACT: _ACT}
        self._chance = chance
        self._faults = faults
        self._behaviours = behaviours
        self._running: set[asyncio.Task[None]] = set()
        self._runner = self._made_runner()

    async def act(self, name: str) -> Any:
        """What every task function does."""
        behaviour = self._behaviours.get(name, Behaviour())
        await boundary(self._faults, "while it runs")
        if behaviour.takes:
            await asyncio.sleep(behaviour.takes)
        retries, ending = behaviour.retries, behaviour.ending
        if behaviour.fickle:
            retries, ending = self._chance.choice((0, 9)), self._chance.choice(("value", "error"))
        if _ATTEMPT.get() <= retries:
            raise RetryException("once more")
        if ending == "error":
            raise ValueError("boom")
        return {"refusal": TaskFailureResult, "wrong result": {1, 2}}.get(ending, name)

    async def until_nothing_is_left(self) -> None:
        """Deliver all there is, whenever it is due."""
        late = self.conditions.deployed_at
        asyncio.get_running_loop().call_later(late, self.functions.__setitem__, LATE, _ACT)
        queues = (QUEUE, QUEUE + DEAD_LETTER_SUFFIX)
        while True:
            self._start_what_is_due()
            due = self.broker.next_due(queues)
            if (not self._running and due is None) or self.journal.deliveries > MOST_DELIVERIES:
                return
            full = len(self._running) >= self.conditions.concurrency
            pause = None if due is None or full else max(0.0, due - self.clock())
            if self._running:
                await asyncio.wait(self._running, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(pause or 0.0)

    async def cancel(self, task_id: str, at: float) -> None:
        """What a user does who has changed their mind."""
        await asyncio.sleep(at)
        if await self.store.cancel(task_id, self.clock()):
            self.journal.cancelled.add(task_id)

    def _start_what_is_due(self) -> None:
        for queue, handle in (
            (QUEUE, self._runner.handle),
            (QUEUE + DEAD_LETTER_SUFFIX, self._runner.reap),
        ):
            while len(self._running) < self.conditions.concurrency:
                delivery = self.broker.receive(queue)
                if delivery is None:
                    break
                self.journal.deliveries += 1
                task = asyncio.ensure_future(self._deliver(delivery, handle))
                self._running.add(task)
                task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if (error := task.exception()) is not None:
            self.journal.errors.append(error)

    async def _deliver(self, delivery: Delivery, handle: Callable[[Delivery], Awaitable[str]]) -> None:
        task_id = task_id_of(delivery.message_id)
        _AFTER_END.set(task_id in self.table.written)
        log.info("at %g: delivery %d of %s", self.clock(), delivery.delivery_count, delivery.message_id)
        try:
            ending = await handle(delivery)
            await boundary(self._faults, "before settling")
        except Crash:
            return
        except (Held, asyncio.CancelledError):
            with suppress(LockLost):
                self.broker.release(delivery)
            return
        with suppress(LockLost):
            self.broker.complete(delivery)
            log.info("at %g: settled %s: %s", self.clock(), delivery.message_id, ending)
            self.journal.settled.append((task_id, ending))

    def _made_runner(self) -> Runner:
        table = FaultyTable(self.table, self._faults, self.clock, self.conditions.store_down)
        transport = FaultyTransport(MemoryTransport(self.broker), self._faults, self._chance)
        return Runner(
            rules=Rules(self.functions, LAKE, self.conditions.keeps_rows, transport.max_message_bytes),
            functions=self.functions,
            execution=_RecordedExecution(self, self._faults),
            transport=transport,
            results=ResultStore(table) if self.conditions.keeps_rows else None,
            clock=self.clock,
            chance=self._chance.random,
            observer=Observer(),
        )


class _RecordedExecution(Execution):
    """Runs functions with the world as their state, and writes down which."""

    def __init__(self, world: World, faults: Faults) -> None:
        super().__init__(world)
        self._world = world
        self._faults = faults

    async def run(self, registration: Registration, task: Task) -> Outcome:
        """Run one attempt, between two boundaries."""
        await boundary(self._faults, "before running")
        start = Start(task.task_id, task.attempt, _AFTER_END.get())
        self._world.journal.starts.append(start)
        _ATTEMPT.set(task.attempt)
        outcome = await super().run(registration, task)
        await boundary(self._faults, "after running")
        return outcome


async def _act(world: World, name: str) -> Any:
    return await world.act(name)


_ACT = registered(_act, {"name": ACT})
_ATTEMPT: ContextVar[int] = ContextVar("attempt")
_AFTER_END: ContextVar[bool] = ContextVar("after_end")


def in_virtual_time(work: Callable[[VirtualTimeLoop], Coroutine[Any, Any, World]]) -> World:
    """Run a coroutine on an event loop of its own."""
    with closing(VirtualTimeLoop()) as loop:
        return loop.run_until_complete(work(loop))
