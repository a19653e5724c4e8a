"""On what are graphs measured? An app with a store whose every operation is counted, on a clock that stands still."""

from __future__ import annotations

import asyncio
from typing import Any

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy
from boilermaker_fn.graph_handle import GraphHandle
from boilermaker_fn.results import ResultStore
from boilermaker_fn.task import Task, TaskGraph, TaskGraphBuilder
from boilermaker_fn.wiring import Wiring
from tests.budget.counted import Cost, CountedEngine
from tests.stage import LAKE, QUEUE, ManualClock, Stage

LARGE = 2_000_000


class GraphTill:
    """An app, and what it has spent. `finish` is what `wait` waits for."""

    def __init__(self) -> None:
        self.spent = Cost()
        self.clock = ManualClock()
        self.finish = asyncio.Event()
        self.app = app = Boilermaker([])
        self.engine = CountedEngine(self.clock, self.spent)
        results = ResultStore(self.engine.table)
        self.wiring = Wiring(self.engine, results, QUEUE, LAKE, clock=self.clock, chance=lambda: 1.0)
        self.stage = Stage(app, self.engine, self.clock, self.wiring)

        @app.task
        async def work(state: Any, given: Any = None) -> int:
            return 7

        @app.task
        async def large(state: Any) -> str:
            return "x" * LARGE

        @app.task
        async def wait(state: Any) -> None:
            await self.finish.wait()

        @app.task(should_dead_letter=False)
        async def fail(state: Any) -> None:
            raise ValueError("boom")

        @app.task(policy=RetryPolicy(max_tries=2, delay=5))
        async def retry(state: Any) -> None:
            raise RetryException("once more")

        self.work, self.large, self.wait, self.fail, self.retry = work, large, wait, fail, retry

    def task(self, fn: Any = None, *args: Any) -> Task:
        return self.app.create_task(fn or self.work, *args)

    def tasks(self, count: int) -> list[Task]:
        return [self.task() for _ in range(count)]

    def sequence(self, *tasks: Task) -> TaskGraphBuilder:
        return TaskGraphBuilder().sequence(*tasks)

    async def publish(self, graph: TaskGraphBuilder | TaskGraph) -> GraphHandle:
        return await self.app.publish_graph(graph.build() if isinstance(graph, TaskGraphBuilder) else graph)

    async def deliver(self, count: int = 1) -> None:
        for _ in range(count):
            assert await self.stage.deliver() is not None

    async def deliver_some(self, count: int) -> int:
        """Hand over up to `count` messages that are due, all at once; how many there were."""
        inbox, handle = self.engine.inbox(QUEUE), self.stage.runner.handle
        deliveries = await inbox.receive(count, 0)
        await asyncio.gather(*map(handle, deliveries))
        for delivery in deliveries:
            await inbox.complete(delivery)
        return len(deliveries)

    async def cost_of_delivery(self, graph: TaskGraphBuilder | TaskGraph, *, after: int = 0) -> Cost:
        """What the next delivery costs when a graph was published and so many were before."""
        await self.publish(graph)
        await self.deliver(after)
        return await self.spent.of(self.deliver())
