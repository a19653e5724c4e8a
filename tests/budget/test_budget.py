"""Does everything cost what docs/budget.md says, and no more? The table there is the test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy, Task
from boilermaker_fn.messages import DEAD_LETTER_REASON
from boilermaker_fn.results import ResultStore
from boilermaker_fn.wiring import Wiring
from tests.budget.counted import Cost, CountedEngine, budget
from tests.stage import LAKE, QUEUE, ManualClock, Stage

HEADING = "# What things cost"


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
        return await self.spent.of(work)

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


@pytest.mark.parametrize("line", budget(HEADING))
async def test_it_costs_what_the_table_says(line: str) -> None:
    spend, keeps_rows = LINES[line]
    till = Till(keeps_rows)
    with till.app.shell.rewired(till.wiring):
        assert await spend(till) == budget(HEADING)[line]
        await till.wiring.engine.close()


def test_the_table_and_the_test_have_the_same_lines() -> None:
    assert list(budget(HEADING)) == list(LINES)
