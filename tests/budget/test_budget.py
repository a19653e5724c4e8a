"""Does everything cost what docs/budget.md says, and no more? The table there is the test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy, Task
from boilermaker_fn.entities import Entity, Operation, Page
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import DEAD_LETTER_REASON, Message
from boilermaker_fn.ports import Inbox, Table, Transport
from boilermaker_fn.results import ResultStore
from boilermaker_fn.wiring import Wiring
from tests.stage import LAKE, QUEUE, ManualClock, Stage

BUDGET = Path(__file__).parents[2] / "docs" / "budget.md"


@dataclass
class Cost:
    """Operations on ports, in the order of the columns in the table."""

    sends: int = 0
    messages: int = 0
    reads: int = 0
    writes: int = 0

    def __sub__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))


class CountedTransport:
    """Counts what is sent."""

    def __init__(self, transport: Transport, cost: Cost) -> None:
        self._transport = transport
        self._cost = cost

    @property
    def max_message_bytes(self) -> int:
        return self._transport.max_message_bytes

    async def send(self, messages: Sequence[Message], *, numbered: bool = False) -> Mapping[str, int]:
        self._cost.sends += 1
        self._cost.messages += len(messages)
        return await self._transport.send(messages, numbered=numbered)


class CountedTable:
    """Counts what is read and written; a query is a read."""

    def __init__(self, table: Table, cost: Cost) -> None:
        self._table = table
        self._cost = cost

    async def read(self, partition: str, row: str, select: Sequence[str] | None = None) -> Entity | None:
        self._cost.reads += 1
        return await self._table.read(partition, row, select)

    async def query(self, partition: str, **conditions: Any) -> Page:
        self._cost.reads += 1
        return await self._table.query(partition, **conditions)

    async def write(self, operations: Sequence[Operation]) -> list[str]:
        self._cost.writes += 1
        return await self._table.write(operations)


class CountedEngine:
    """An engine in memory whose every operation is counted."""

    def __init__(self, clock: ManualClock, cost: Cost) -> None:
        self._engine = LocalEngine(None, clock=clock)
        assert self._engine.table is not None
        self.name = "memory"
        self.transport = CountedTransport(self._engine.transport, cost)
        self.table = CountedTable(self._engine.table, cost)

    def inbox(self, queue: str) -> Inbox:
        return self._engine.inbox(queue)

    async def holds(self, queue: str, task_id: str) -> bool:
        return await self._engine.holds(queue, task_id)

    async def close(self) -> None:
        await self._engine.close()


class Till:
    """An app, and what it has spent."""

    def __init__(self, keeps_rows: bool) -> None:
        self.spent = Cost()
        self.clock = ManualClock()
        engine = CountedEngine(self.clock, self.spent)
        self.app = app = Boilermaker([])
        results = ResultStore(engine.table) if keeps_rows else None
        self.wiring = Wiring(engine, results, QUEUE, LAKE, clock=self.clock, chance=lambda: 1.0)
        self.stage = Stage(app, engine, self.clock, self.wiring)

        @app.task
        async def work(state: Any) -> int:
            return 7

        @app.task(keep_result=False)
        async def forget(state: Any) -> int:
            return 7

        @app.task
        async def fail(state: Any) -> None:
            raise ValueError("boom")

        @app.task(policy=RetryPolicy(max_tries=2, delay=5))
        async def retry(state: Any) -> None:
            raise RetryException("once more")

        @app.task(expires=5)
        async def expire(state: Any) -> None:
            raise AssertionError("it has expired")

        self.work, self.forget, self.fail, self.retry, self.expire = work, forget, fail, retry, expire

    def chain(self, length: int) -> Task:
        return self.app.chain(*(self.app.create_task(self.work) for _ in range(length)))

    def with_callbacks(self, fn: Any) -> Task:
        task = self.app.create_task(fn)
        task.on_success, task.on_failure = self.app.create_task(self.work), self.app.create_task(self.work)
        return task

    async def cost_of_delivery(self, task: Task, ending: str, *, after: float = 0.0) -> Cost:
        await self.app.publish_task(task)
        return await self.cost_of(self.delivered(ending, after))

    async def cost_of(self, work: Awaitable[Any]) -> Cost:
        before = replace(self.spent)
        await work
        return self.spent - before

    async def delivered(self, ending: str, after: float) -> None:
        self.clock.now += after
        assert await self.stage.deliver() == ending


Spend = Callable[[Till], Awaitable[Cost]]


async def _delivered_twice(till: Till) -> Cost:
    task = till.app.create_task(till.work)
    await till.app.publish_task(task)
    await till.stage.deliver()
    till.clock.now += 10_000  # the duplicate window is over
    await till.app.publish_task(task)
    return await till.cost_of(till.delivered("success", 0))


async def _cancelled(till: Till) -> Cost:
    handle = await till.app.apply_async(till.work)
    return await till.cost_of(handle.cancel())


async def _delivered_after_it_was_cancelled(till: Till) -> Cost:
    handle = await till.app.apply_async(till.work)
    await handle.cancel()
    return await till.cost_of(till.delivered("cancelled", 0))


async def _given_up(till: Till) -> Cost:
    await till.app.publish_task(till.with_callbacks(till.work))
    for _ in range(10):
        await till.stage.crash()
    cost = await till.cost_of(till.stage.reap())
    (letter,) = await till.stage.letters()
    assert letter.properties[DEAD_LETTER_REASON] == "MaxDeliveryCountExceeded"
    return cost


async def _exhausted(till: Till) -> Cost:
    await till.app.publish_task(till.with_callbacks(till.retry))
    await till.delivered("retry", 0)
    return await till.cost_of(till.delivered("retries_exhausted", 5))


async def _chained(till: Till) -> Cost:
    async def all_of_it() -> None:
        await till.app.publish_task(till.chain(10))
        assert await till.stage.play() == ["success"] * 10

    return await till.cost_of(all_of_it())


async def _asked(till: Till) -> Cost:
    handle = await till.app.apply_async(till.work)
    await till.stage.deliver()
    return await till.cost_of(handle.result())


def _publish_many(till: Till) -> Awaitable[Cost]:
    return till.cost_of(till.app.publish_many([till.app.create_task(till.work) for _ in range(1000)]))


def _delivery(name: str, ending: str, *, callbacks: bool = False, after: float = 0.0) -> Spend:
    def spend(till: Till) -> Awaitable[Cost]:
        fn = getattr(till, name)
        task = till.with_callbacks(fn) if callbacks else till.app.create_task(fn)
        return till.cost_of_delivery(task, ending, after=after)

    return spend


#: What each line of the table is, and whether there is a results store.
LINES: dict[str, tuple[Spend, bool]] = {
    "publish a task": (lambda till: till.cost_of(till.app.apply_async(till.work)), True),
    "publish 1,000 tasks with `publish_many`": (_publish_many, True),
    "publish a chain of 10": (lambda till: till.cost_of(till.app.publish_task(till.chain(10))), True),
    "run a task without a store": (_delivery("work", "success"), False),
    "run a task, result not kept": (_delivery("forget", "success"), True),
    "run a task, result kept": (_delivery("work", "success"), True),
    "ask for a retry without a store": (_delivery("retry", "retry"), False),
    "ask for a retry, result kept": (_delivery("retry", "retry"), True),
    "succeed with a callback without a store": (_delivery("work", "success", callbacks=True), False),
    "succeed with a callback, result kept": (_delivery("work", "success", callbacks=True), True),
    "fail without a store": (_delivery("fail", "failure"), False),
    "fail, result kept": (_delivery("fail", "failure"), True),
    "fail with a callback, result kept": (_delivery("fail", "failure", callbacks=True), True),
    "exhaust the retries with a callback, result kept": (_exhausted, True),
    "expire with a callback, result kept": (_delivery("expire", "expired", callbacks=True, after=60), True),
    "be delivered again after it has ended, result kept": (_delivered_twice, True),
    "be cancelled": (_cancelled, True),
    "be delivered after it was cancelled": (_delivered_after_it_was_cancelled, True),
    "be given up by the broker with a callback, result kept": (_given_up, True),
    "publish and run a chain of 10, result kept": (_chained, True),
    "publish and run a chain of 10 without a store": (_chained, False),
    "ask for the result of a task that has ended": (_asked, True),
}


def budget() -> dict[str, Cost]:
    """The table in docs/budget.md."""
    lines = [line for line in BUDGET.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {name: Cost(*map(int, numbers)) for name, *numbers in cells}


@pytest.mark.parametrize("line", budget())
async def test_it_costs_what_the_table_says(line: str) -> None:
    spend, keeps_rows = LINES[line]
    till = Till(keeps_rows)
    with till.app.shell.rewired(till.wiring):
        assert await spend(till) == budget()[line]
        await till.wiring.engine.close()


def test_the_table_and_the_test_have_the_same_lines() -> None:
    assert list(budget()) == list(LINES)
