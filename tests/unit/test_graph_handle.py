"""Following a graph from outside: counts, values, failures, single tasks. Rows are ended by hand here."""

from __future__ import annotations

import asyncio
import datetime
import json
from typing import Any

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.entities import ANY_ETAG, Entity, Insert, Merge, Value
from boilermaker_fn.errors import ResultMismatch, ResultTimeout, StoreUnavailable
from boilermaker_fn.graph.builder import TaskGraphBuilder
from boilermaker_fn.graph.graph import TaskGraph
from boilermaker_fn.graph_errors import GraphAbandoned, GraphCancelled, GraphFailed, GraphNotFound, NodeNotFound
from boilermaker_fn.graph_progress.heads import Counts, EndRow, GraphStatus, end_inserted
from boilermaker_fn.graph_progress.keys import CALLBACK, GraphKey
from boilermaker_fn.graph_progress.rows import NodeStatus, changed, chunked, ended_as, failure_values
from boilermaker_fn.outcomes import ErrorInfo
from boilermaker_fn.task import Task, TaskStatus
from tests.stage import Stage, staged

app = Boilermaker({})


@app.task
async def day(state: Any, number: int) -> datetime.date:
    return datetime.date(2030, 1, number)


@app.task
async def untyped(state: Any, value: Any = None):
    return value


@app.task
async def alarm(state: Any) -> None:
    return None


class Play:
    """A stage on which the rows of one graph are changed by hand, as those who run it would."""

    def __init__(self, stage: Stage, graph_id: str = "g", epoch: int = 0) -> None:
        assert stage.engine.table is not None
        self.table = stage.engine.table
        self.clock = stage.clock
        self.graph = GraphKey(graph_id, epoch)

    async def change(self, number: int, **values: Value) -> None:
        await self.table.write([changed(self.graph, number, ANY_ETAG, **values)])

    async def succeed(self, number: int, result: Any = None) -> None:
        values = chunked("result", json.dumps(result).encode())
        await self.change(number, **ended_as(NodeStatus.SUCCEEDED, self.clock(), **values))

    async def fail(self, number: int, message: str = "boom") -> None:
        values = failure_values("TaskFailed", ErrorInfo("ValueError", message, "Traceback ..."))
        await self.change(number, **ended_as(NodeStatus.FAILED, self.clock(), **values))

    async def skip(self, number: int, reason: str = "") -> None:
        values: dict[str, Value] = {"reason": reason} if reason else {}
        await self.change(number, **ended_as(NodeStatus.SKIPPED, self.clock(), **values))

    async def close(self, block: int, **counts: int) -> None:
        await self.table.write([end_inserted(self.graph, EndRow(block, Counts(**counts)))])

    async def end(self, status: GraphStatus) -> None:
        values = {"status": str(status), "finished_at": self.clock(), "epoch": self.graph.epoch}
        await self.table.write([Merge(Entity(*self.graph.head, values, ANY_ETAG))])


def graph(*tasks: Task, callback: Task | None = None, graph_id: str = "g") -> TaskGraph:
    return TaskGraphBuilder().parallel(*tasks).build(callback, graph_id=graph_id)


def days(count: int) -> list[Task]:
    return [app.options(task_id=f"d{number}").create_task(day, number % 28 + 1) for number in range(count)]


# -- where it stands ---------------------------------------------------------------------------------------------------


async def test_a_graph_that_was_just_published_is_pending() -> None:
    async with staged(app) as stage:
        handle = await app.publish_graph(graph(*days(3), callback=app.create_task(alarm)))
        state = await handle.status()
        assert (state.status, state.nodes, state.pending) == (GraphStatus.RUNNING, 3, 3)
        assert state.callback is NodeStatus.PENDING
        assert state.published_at is not None
        assert state.published_at.timestamp() == stage.clock.now
        assert state.finished_at is None


async def test_the_counts_say_how_many_stand_where() -> None:
    async with staged(app) as stage:
        handle = await app.publish_graph(graph(*days(250)))
        play = Play(stage)
        for number in range(5):
            await play.succeed(number)
        await play.fail(5)
        await play.skip(6)
        await play.skip(7, "Cancelled")
        await play.change(8, status="started")
        await play.change(9, status="waiting")
        await play.close(1, succeeded=97, failed=1, skipped=2)  # whatever stands in the rows of that block
        assert await handle.status() == (
            GraphStatus.RUNNING, 250, 140, 1, 1, 102, 2, 3, 1, None, (await handle.status()).published_at, None,
        )  # fmt: skip


async def test_no_block_of_an_ended_graph_is_read() -> None:
    async with staged(app) as stage:
        handle = await app.publish_graph(graph(*days(150)))
        play = Play(stage)
        await play.close(0, succeeded=100)
        await play.close(1, succeeded=40, failed=3, skipped=7)
        await play.end(GraphStatus.FAILED)
        # The rows of the nodes still say pending: what is said of them comes from the ends of their blocks.
        state = await handle.status()
        assert (state.pending, state.succeeded, state.failed, state.skipped) == (0, 140, 3, 7)
        assert state.finished_at is not None


async def test_only_the_present_epoch_counts() -> None:
    async with staged(app) as stage:
        handle = await app.publish_graph(graph(*days(2), callback=app.create_task(alarm)))
        first, second = Play(stage), Play(stage, epoch=1)
        await first.close(0, failed=2)
        await first.fail(CALLBACK)
        rows = (await first.table.query(first.graph.block_partition(0))).entities
        for row in rows:
            await first.table.write(
                [Insert(Entity(second.graph.block_partition(0), row.row, {**row.values, "epoch": 1}))]
            )
        await second.end(GraphStatus.RUNNING)
        state = await handle.status()
        assert (state.pending, state.failed, state.callback) == (2, 0, None)
        await second.succeed(0)
        assert [node.status async for node in handle.nodes()] == [NodeStatus.SUCCEEDED, NodeStatus.PENDING]


async def test_a_graph_that_nobody_published_is_not_found() -> None:
    async with staged(app):
        handle = app.graph("nobody")
        for ask in (handle.status, handle.result, handle.failures):
            with pytest.raises(GraphNotFound, match="nobody"):
                await ask()
        with pytest.raises(GraphNotFound):
            await handle.task("a")
        with pytest.raises(GraphNotFound):
            async for _ in handle.nodes():
                pass


# -- its value ---------------------------------------------------------------------------------------------------------


async def test_the_value_of_the_only_final_task_is_revived() -> None:
    async with staged(app) as stage:
        first, last = days(2)
        handle = await app.publish_graph(TaskGraphBuilder().add(first).then(last).build(graph_id="g"))
        play = Play(stage)
        await play.succeed(1, "2030-01-02")
        await play.end(GraphStatus.SUCCEEDED)
        assert await handle.result() == datetime.date(2030, 1, 2)
        assert await app.graph("g").result() == datetime.date(2030, 1, 2)


async def test_the_values_of_several_final_tasks_are_a_list_in_order() -> None:
    async with staged(app) as stage:
        handle = await app.publish_graph(graph(*days(120), app.create_task(untyped)))
        play = Play(stage)
        for number in range(120):
            await play.succeed(number, f"2030-01-{number % 28 + 1:02}")
        await play.succeed(120, {"a": [1]})
        await play.end(GraphStatus.SUCCEEDED)
        *dates, last = await handle.result()
        assert dates == [datetime.date(2030, 1, number % 28 + 1) for number in range(120)]
        assert last == {"a": [1]}


async def test_a_result_in_parts_is_put_together() -> None:
    async with staged(app) as stage:
        handle = await app.publish_graph(graph(app.create_task(untyped)))
        play = Play(stage)
        text = json.dumps("x" * 2_000_000).encode()
        for index, start in enumerate(range(0, len(text), 900_000)):
            where = play.graph.chunk(0, "7.1", index)
            part = chunked("part", text[start : start + 900_000])
            await play.table.write([Insert(Entity(*where, part))])
        values: dict[str, Value] = {"chunks": 3, "written_by": "7.1", "written_in": 0}
        await play.change(0, **ended_as(NodeStatus.SUCCEEDED, 1.0, **values))
        await play.end(GraphStatus.SUCCEEDED)
        assert await handle.result() == "x" * 2_000_000


async def test_a_node_that_became_a_graph_has_the_value_of_that_one() -> None:
    async with staged(app) as stage:
        handle = await app.publish_graph(graph(app.create_task(untyped)))
        await app.publish_graph(graph(*days(2), graph_id="below"))
        await app.publish_graph(graph(app.create_task(untyped), graph_id="between"))
        outer, between, below = Play(stage), Play(stage, "between"), Play(stage, "below")
        await outer.change(0, **ended_as(NodeStatus.SUCCEEDED, 1.0, subgraph="between"))
        await between.change(0, **ended_as(NodeStatus.SUCCEEDED, 1.0, subgraph="below"))
        await below.succeed(0, "2030-01-01")
        await below.succeed(1, "2030-01-02")
        await outer.end(GraphStatus.SUCCEEDED)
        assert await handle.result() == [datetime.date(2030, 1, 1), datetime.date(2030, 1, 2)]
        (node,) = [node async for node in handle.nodes()]
        assert node.graph_id == "between"


async def test_waiting_ends_when_the_graph_does() -> None:
    async with staged(app) as stage:
        handle = await app.publish_graph(graph(app.create_task(untyped)))
        play = Play(stage)
        waiting = asyncio.create_task(handle.result(timeout=30))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await play.succeed(0, 5)
        await play.end(GraphStatus.SUCCEEDED)
        assert await waiting == 5


async def test_waiting_has_a_limit() -> None:
    async with staged(app):
        handle = await app.publish_graph(graph(app.create_task(untyped)))
        with pytest.raises(ResultTimeout, match=r"graph g has not ended within 0\.05 s"):
            await handle.result(timeout=0.05)


async def test_a_value_that_no_longer_fits_its_annotation_says_whose_it_is() -> None:
    async with staged(app) as stage:
        handle = await app.publish_graph(graph(*days(1)))
        play = Play(stage)
        await play.succeed(0, "never")
        await play.end(GraphStatus.SUCCEEDED)
        with pytest.raises(ResultMismatch, match=r"graph g: the result of task d0 \(day\)"):
            await handle.result()
        assert (await handle.task("d0")).result == "never"


# -- failures ----------------------------------------------------------------------------------------------------------


async def test_a_failed_graph_names_ten_tasks_and_counts_all() -> None:
    async with staged(app) as stage:
        handle = await app.publish_graph(graph(*days(150)))
        play = Play(stage)
        for number in range(95, 110):
            await play.fail(number, f"no {number}")
        await play.close(0, succeeded=95, failed=5)
        await play.close(1, succeeded=40, failed=10)
        await play.end(GraphStatus.FAILED)
        with pytest.raises(GraphFailed, match=r"15 of its tasks failed: day \(d95\) TaskFailed: no 95;") as caught:
            await handle.result()
        error = caught.value
        assert (error.graph_id, error.status, error.count) == ("g", "failure", 15)
        assert [failure.task_id for failure in error.failures] == [f"d{number}" for number in range(95, 105)]
        failures = await handle.failures()
        assert [failure.message for failure in failures] == [f"no {number}" for number in range(95, 110)]
        assert failures[0].traceback == "Traceback ..."


async def test_failures_of_a_running_graph_and_of_its_callback_are_seen() -> None:
    async with staged(app) as stage:
        handle = await app.publish_graph(graph(*days(2), callback=app.options(task_id="c").create_task(alarm)))
        play = Play(stage)
        assert await handle.failures() == []
        await play.fail(1)
        assert [failure.task_id for failure in await handle.failures()] == ["d1"]
        await play.close(0, succeeded=1, failed=1)
        await play.fail(CALLBACK, "no mail")
        assert [failure.message for failure in await handle.failures()] == ["boom", "no mail"]


async def test_blocks_in_which_nothing_failed_are_not_read_for_failures() -> None:
    async with staged(app) as stage:
        handle = await app.publish_graph(graph(*days(150)))
        play = Play(stage)
        await play.fail(3)
        await play.close(0, succeeded=100)  # it says that there are none
        await play.fail(120)
        assert [failure.number for failure in await handle.failures()] == [120]


async def test_cancelled_and_abandoned_graphs_raise_their_own_errors() -> None:
    async with staged(app) as stage:
        handle = await app.publish_graph(graph(*days(1)))
        play = Play(stage)
        await play.skip(0, "Cancelled")
        await play.close(0, cancelled=1)
        await play.end(GraphStatus.CANCELLED)
        with pytest.raises(GraphCancelled, match="ended as cancelled"):
            await handle.result()
        await play.end(GraphStatus.ABANDONED)
        with pytest.raises(GraphAbandoned):
            await handle.result()


# -- single tasks ------------------------------------------------------------------------------------------------------


async def test_all_tasks_are_told_one_after_another_the_callback_last() -> None:
    async with staged(app) as stage:
        handle = await app.publish_graph(graph(*days(101), callback=app.create_task(alarm)))
        await Play(stage).fail(100)
        nodes = [node async for node in handle.nodes()]
        assert [node.number for node in nodes] == [*range(101), CALLBACK]
        assert (nodes[0].task_id, nodes[0].function, nodes[0].status) == ("d0", "day", NodeStatus.PENDING)
        assert (nodes[100].status, nodes[100].reason) == (NodeStatus.FAILED, "TaskFailed")
        assert nodes[101].function == "alarm"


@pytest.mark.parametrize("by_id", [False, True], ids=["as-published", "from-its-id"])
async def test_one_task_is_told_by_itself_or_its_id(by_id: bool) -> None:
    async with staged(app) as stage:
        tasks = days(120)
        callback = app.options(task_id="c").create_task(alarm)
        published = await app.publish_graph(graph(*tasks, callback=callback))
        handle = app.graph("g") if by_id else published
        play = Play(stage)
        await play.succeed(110, "2030-01-05")
        await play.fail(3)
        await play.skip(4)
        await play.change(5, status="started", attempt=2)
        won = await handle.task(tasks[110])
        assert (won.status, won.result, won.graph_id) == (TaskStatus.Success, "2030-01-05", "g")
        lost = await handle.task("d3")
        assert (lost.status, lost.reason, lost.errors) == (TaskStatus.Failure, "TaskFailed", ["boom"])
        left_out = await handle.task("d4")
        assert (left_out.status, left_out.reason) == (TaskStatus.Cancelled, "Skipped")
        running = await handle.task("d5")
        assert (running.status, running.attempts, running.finished_at) == (TaskStatus.Started, 2, None)
        assert (await handle.task("c")).status is TaskStatus.Pending
        with pytest.raises(NodeNotFound, match="'another'"):
            await handle.task("another")


# -- beside ------------------------------------------------------------------------------------------------------------


async def test_a_store_that_is_down_is_said() -> None:
    async with staged(app) as stage:
        handle = await app.publish_graph(graph(*days(1)))
        assert stage.engine.table is not None

        async def down(*args: Any, **kwargs: Any) -> Any:
            raise StoreUnavailable("the disk is gone")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stage.engine.table, "read", down)
            patch.setattr(stage.engine.table, "query", down)
            for ask in (handle.status, handle.result, handle.failures):
                with pytest.raises(StoreUnavailable, match="the disk is gone"):
                    await ask()


def test_code_without_a_loop_publishes_and_follows_graphs() -> None:
    async def put_on() -> None:
        async with staged(app) as stage:
            await asyncio.to_thread(follow, stage)

    def follow(stage: Stage) -> None:
        handle = app.sync.publish_graph(graph(*days(2)))
        assert handle.graph_id == "g"
        assert handle.status().pending == 2
        assert [node.task_id for node in handle.nodes()] == ["d0", "d1"]
        asyncio.run(Play(stage).fail(0))
        assert [failure.task_id for failure in handle.failures()] == ["d0"]
        assert app.sync.graph("g").task("d0").status is TaskStatus.Failure
        with pytest.raises(ResultTimeout):
            handle.result(timeout=0.02)
        assert handle.cancel()
        assert (handle.status().status, handle.status().cancelled) == (GraphStatus.CANCELLED, 1)
        handle.retry_failed()
        assert (handle.status().status, handle.status().pending) == (GraphStatus.RUNNING, 2)
        app.sync.close()

    asyncio.run(put_on())
