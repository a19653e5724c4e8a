"""Purging graphs: old ones go with all their rows, a bounded number of operations at a time; all others stay."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from typing import Any

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.entities import ANY_ETAG, Delete, Entity, Insert, Merge, Operation, Page
from boilermaker_fn.graph.builder import TaskGraphBuilder
from boilermaker_fn.graph.graph import TaskGraph
from boilermaker_fn.graph_errors import GraphNotFound
from boilermaker_fn.graph_progress.heads import Counts, EndRow, GraphStatus, arrival_inserted, end_inserted
from boilermaker_fn.graph_progress.keys import GraphKey
from boilermaker_fn.graph_progress.listing import address_of
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.local.table import LocalTable
from tests.stage import ManualClock, Stage, staged

app = Boilermaker({})
DAY = datetime.timedelta(days=1)


@app.task
async def work(state: Any) -> None:
    return None


class CountingTable(LocalTable):
    """A table that counts how often it is asked."""

    asked = 0

    async def read(self, *args: Any) -> Entity | None:
        self.asked += 1
        return await super().read(*args)

    async def query(self, *args: Any, **kwargs: Any) -> Page:
        self.asked += 1
        return await super().query(*args, **kwargs)

    async def write(self, operations: Sequence[Operation]) -> list[str]:
        self.asked += 1
        return await super().write(operations)


class Rows(LocalEngine):
    """An engine in memory that can tell all its rows."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(None, clock=clock)
        self.counting = self._table = CountingTable(self._database)

    async def all(self) -> list[tuple[str, str]]:
        """Partition and key of every row."""
        return await self._database.read(
            lambda connection: connection.execute("SELECT partition, row FROM entities ORDER BY 1, 2").fetchall()
        )


def graph(graph_id: str = "g", nodes: int = 1) -> TaskGraph:
    tasks = [app.create_task(work) for _ in range(nodes)]
    return TaskGraphBuilder().parallel(*tasks).build(app.create_task(work), graph_id=graph_id)


async def end(stage: Stage, graph_id: str = "g", epoch: int = 0) -> None:
    assert stage.engine.table is not None
    values = {"status": str(GraphStatus.SUCCEEDED), "finished_at": stage.clock.now, "epoch": epoch}
    await stage.engine.table.write([Merge(Entity(*GraphKey(graph_id).head, values, ANY_ETAG))])


async def purge(older_than: datetime.timedelta = DAY) -> int:
    removed, resume = 0, None
    while True:
        page = await app.purge_results(older_than, resume)
        removed, resume = removed + page.removed, page.resume
        if resume is None:
            return removed


async def test_an_old_graph_goes_with_all_its_rows() -> None:
    clock = ManualClock()
    engine = Rows(clock)
    async with staged(app, engine=engine, clock=clock) as stage:
        await app.publish_graph(graph(nodes=250))
        key, again = GraphKey("g"), GraphKey("g", 1)
        table = engine.table
        assert table is not None
        await table.write([end_inserted(key, EndRow(0, Counts(100)))])
        await table.write([arrival_inserted(key, 205, 0, failed=False)])
        await table.write([Insert(Entity(*key.chunk(7, "5.1", 0), {"part0": b"x"}))])
        for epoch in (1, 2):  # the last was begun by somebody who died
            await table.write([Insert(Entity(*GraphKey("g", epoch).node(3), {"status": "pending"}))])
        await end(stage, epoch=again.epoch)
        clock.now += 2 * DAY.total_seconds()
        assert await purge() == 1
        assert await engine.all() == []
        with pytest.raises(GraphNotFound):
            await app.graph("g").status()


async def test_graphs_that_run_or_ended_lately_stay() -> None:
    clock = ManualClock()
    engine = Rows(clock)
    async with staged(app, engine=engine, clock=clock) as stage:
        for graph_id in ("runs", "ended-lately"):
            await app.publish_graph(graph(graph_id))
        clock.now += 2 * DAY.total_seconds()
        await end(stage, "ended-lately")
        before = await engine.all()
        assert await purge() == 0
        assert await engine.all() == before
        assert await purge(datetime.timedelta(seconds=-1)) == 1
        assert (await app.graph("runs").status()).pending == 1


async def test_what_a_dead_publisher_left_goes_when_its_time_is_over() -> None:
    clock = ManualClock()
    engine = Rows(clock)
    async with staged(app, engine=engine, clock=clock):
        await app.publish_graph(graph(nodes=150))
        assert engine.table is not None
        await engine.table.write([Delete(Entity(*GraphKey("g").head, {}, ANY_ETAG))])
        clock.now += 600
        assert await purge(datetime.timedelta(0)) == 0
        assert len(await engine.all()) == 152
        clock.now += 600
        assert await purge(datetime.timedelta(0)) == 1
        assert await engine.all() == []


async def test_a_graph_that_a_node_became_stays_as_long_as_the_graph_of_that_node() -> None:
    clock = ManualClock()
    engine = Rows(clock)
    async with staged(app, engine=engine, clock=clock) as stage:
        await app.publish_graph(graph("outer"))
        await app.publish_graph(graph("below"))
        assert engine.table is not None
        await engine.table.write([Merge(Entity(*address_of("below"), {"parent": "outer"}, ANY_ETAG))])
        await end(stage, "below")
        clock.now += 2 * DAY.total_seconds()
        assert await purge() == 0
        await end(stage, "outer")
        clock.now += 2 * DAY.total_seconds()
        assert await purge() + await purge() == 2
        assert await engine.all() == []


async def test_a_large_graph_is_removed_in_bounded_pages() -> None:
    clock = ManualClock()
    engine = Rows(clock)
    async with staged(app, engine=engine, clock=clock) as stage:
        await app.publish_graph(graph(nodes=12_000))
        await app.publish_graph(graph("small"))
        await end(stage)
        await end(stage, "small")
        clock.now += 2 * DAY.total_seconds()
        asked, resume = [], None
        while True:
            engine.counting.asked = 0
            resume = (await app.purge_results(DAY, resume)).resume
            asked.append(engine.counting.asked)
            if resume is None:
                break
        assert await engine.all() == []
        assert max(asked) < 210
        assert sum(asked) < 700


async def test_two_who_purge_at_once_do_no_harm() -> None:
    clock = ManualClock()
    engine = Rows(clock)
    async with staged(app, engine=engine, clock=clock) as stage:
        await app.publish_graph(graph(nodes=250))
        await end(stage)
        clock.now += 2 * DAY.total_seconds()
        assert sum(await asyncio.gather(purge(), purge())) == 1
        assert await engine.all() == []
