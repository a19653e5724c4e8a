"""Publishing a graph: checked whole, written in blocks, counted from its head on, and safe to repeat."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.entities import (
    ANY_ETAG,
    MAX_TRANSACTION_BYTES,
    Entity,
    Insert,
    Merge,
    Operation,
    Page,
    check_operations,
    in_transactions,
)
from boilermaker_fn.errors import (
    AlreadyPublished,
    ArgumentError,
    NotSent,
    OptionError,
    PublishError,
    StoreUnavailable,
    TaskTooLarge,
)
from boilermaker_fn.graph.builder import TaskGraphBuilder
from boilermaker_fn.graph.graph import TaskGraph
from boilermaker_fn.graph.plan import Plan, Step
from boilermaker_fn.graph_errors import GraphConflict, GraphNotPublished, GraphsNotKept, GraphTooLarge
from boilermaker_fn.graph_progress import publishing
from boilermaker_fn.graph_progress.heads import GraphStatus, head_row
from boilermaker_fn.graph_progress.keys import CALLBACK, GraphKey
from boilermaker_fn.graph_progress.layout import laid_out
from boilermaker_fn.graph_progress.messages import NodeMessage, WatchMessage, decoded
from boilermaker_fn.graph_progress.rows import joined
from boilermaker_fn.graph_publishing import check_sizes
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import Message
from boilermaker_fn.performing import performed
from boilermaker_fn.ports import Table, Transport
from boilermaker_fn.table_effects import Queried, Query
from boilermaker_fn.task import Task
from tests.stage import QUEUE, ManualClock, Stage, staged

app = Boilermaker({})


@app.task
async def fetch(state: Any, region: str) -> int:
    return len(region)


@app.task
async def total(state: Any, counts: list[int], note: str = "") -> int:
    return sum(counts)


@app.task
async def alarm(state: Any) -> None:
    return None


@app.task(queue="mail")
async def mail(state: Any) -> None:
    return None


def fan(graph_id: str = "day", width: int = 3, region: str = "eu") -> TaskGraph:
    """`width` fetches and a total of their results, and a callback; ids are the same each time."""
    parts = [named(f"{graph_id}-{number}", fetch, f"{region}{number}") for number in range(width)]
    end = named(f"{graph_id}-total", total, [part.result for part in parts])
    builder = TaskGraphBuilder().parallel(*parts).then(end)
    return builder.build(named(f"{graph_id}-alarm", alarm), graph_id=graph_id)


def named(task_id: str, fn: Any, *args: Any, **kwargs: Any) -> Task:
    return app.options(task_id=task_id).create_task(fn, *args, **kwargs)


async def rows(stage: Stage, graph_id: str = "day", blocks: int = 1) -> dict[str, Entity]:
    """All rows of a graph, by row key."""
    graph = GraphKey(graph_id)
    assert stage.engine.table is not None
    found = {}
    for partition in (graph.head_partition, *(graph.block_partition(block) for block in range(blocks))):
        answer = await performed(Query(partition, "", "~"), stage.engine.table, stage.clock)
        assert isinstance(answer, Queried)
        found |= {f"{partition}/{entity.row}": entity for entity in answer.entities}
    return found


def content(found: dict[str, Entity]) -> dict[str, Any]:
    """What stands in rows, without what differs from one time to another."""
    return {key: (standing(entity), same_each_time(entity)) for key, entity in found.items()}


def standing(entity: Entity) -> dict[str, Any]:
    return {n: v for n, v in entity.values.items() if n != "published_at" and not n.removeprefix("task").isdigit()}


def same_each_time(entity: Entity) -> dict[str, Any]:
    task = json.loads(joined(entity.values, "task") or b"{}")
    return {name: value for name, value in task.items() if name not in ("published_at", "attempts")}


async def messages(stage: Stage, queue: str = QUEUE) -> list[Any]:
    return [decoded(delivery.body) for delivery in await stage.waiting(queue)]


async def starts(stage: Stage, queue: str = QUEUE) -> list[NodeMessage]:
    return [message for message in await messages(stage, queue) if isinstance(message, NodeMessage)]


# -- what is written and sent ------------------------------------------------------------------------------------------


async def test_a_published_graph_has_a_row_for_each_task_a_head_a_watch_and_its_roots_in_the_queue() -> None:
    async with staged(app) as stage:
        handle = await app.publish_graph(fan())
        assert handle.graph_id == "day"
        found = await rows(stage)
        assert sorted(found) == [
            "graph-day/callback-0000", "graph-day/head",
            "nodes-day-0-0/node-00", "nodes-day-0-0/node-01", "nodes-day-0-0/node-02", "nodes-day-0-0/node-03",
        ]  # fmt: skip
        head = head_row("day", found["graph-day/head"])
        assert (head.status, head.blocks, head.nodes, head.many) == (GraphStatus.RUNNING, 1, 4, False)
        assert head.callback is not None
        assert head.callback.first == CALLBACK
        watch, *roots = await messages(stage)
        assert roots == [NodeMessage(GraphKey("day"), number) for number in range(3)]
        assert watch == WatchMessage(GraphKey("day"), 1, until=stage.clock.now + 900)
        assert (await stage.waiting())[0].enqueued_at == stage.clock.now + 300


async def test_the_row_keeps_the_checked_task_with_its_graph_and_when_it_was_published() -> None:
    async with staged(app) as stage:
        await app.publish_graph(fan())
        row = (await rows(stage))["nodes-day-0-0/node-00"].values
        task = Task.model_validate_json(row["task0"])
        assert (task.task_id, task.graph_id, task.published_at) == ("day-0", "day", stage.clock.now)
        assert task.payload == {"args": ["eu0"], "kwargs": {}}
        assert (row["task_id"], row["function"]) == ("day-0", "fetch")


async def test_roots_go_to_their_own_queues_and_wait_as_they_say() -> None:
    async with staged(app) as stage:
        late, posted = named("late", alarm), named("posted", mail)
        late.delay = 60
        later = named("later", alarm)
        later.eta = datetime.datetime.fromtimestamp(stage.clock.now + 90, datetime.UTC)
        await app.publish_graph(TaskGraphBuilder().parallel(late, posted, later).build(graph_id="g"))
        assert [one.number for one in await starts(stage, "mail")] == [1]
        due = {delivery.message_id: delivery.enqueued_at - stage.clock.now for delivery in await stage.waiting()}
        assert due == {"g/0/w1": 300, "g/0/0/0/1": 60, "g/0/2/0/1": 90}


async def test_a_graph_goes_to_the_queue_that_the_options_name() -> None:
    async with staged(app) as stage:
        await app.options(queue="slow").publish_graph(fan())
        assert len(await messages(stage, "slow")) == 4
        assert await messages(stage) == []


async def test_its_tasks_are_published_and_know_their_graph() -> None:
    async with staged(app):
        task = named("a", alarm)
        task.on_failure = named("h", alarm)
        callback = named("c", alarm)
        await app.publish_graph(TaskGraphBuilder().add(task).build(callback, graph_id="g"))
        assert task.graph_id == callback.graph_id == "g"
        for one in (task, task.on_failure, callback):
            with pytest.raises(AlreadyPublished):
                one.delay = 5
        with pytest.raises(AlreadyPublished):
            await app.publish_graph(TaskGraphBuilder().add(task).build(graph_id="another"))


@pytest.mark.parametrize("nodes", [2, 100, 250, 1000])
async def test_publishing_costs_a_transaction_for_a_hundred_nodes_and_two_messages_at_most(nodes: int) -> None:
    async with failing() as (stage, table, _):
        await app.publish_graph(fan(width=nodes - 1))
        assert table.writes <= nodes / 100 + 4
        assert table.reads == 1
        assert len(await stage.waiting()) <= nodes - 1 + 2


async def test_blocks_too_large_for_a_transaction_are_written_in_several() -> None:
    async with staged(app) as stage:
        parts = [named(f"p{number}", fetch, "x" * 150_000) for number in range(40)]
        await app.publish_graph(TaskGraphBuilder().parallel(*parts).build(graph_id="day"))
        assert len(await rows(stage)) == 41


def test_operations_are_split_only_where_a_transaction_is_full() -> None:
    operations: list[Operation] = [
        Insert(Entity("p", f"{number:04}", {"data": b"x" * (60_000 if number % 3 else 10)})) for number in range(250)
    ]
    split = list(in_transactions(operations))
    assert [one for transaction in split for one in transaction] == operations
    for transaction in split:
        check_operations(transaction)
    small = [Insert(Entity("p", f"{number:04}")) for number in range(250)]
    assert [len(transaction) for transaction in in_transactions(small)] == [100, 100, 50]
    assert sum(len(operation.entity.values["data"]) for operation in split[0]) > MAX_TRANSACTION_BYTES / 2  # type: ignore[arg-type]


# -- what is refused, whole --------------------------------------------------------------------------------------------


async def nothing_happened(stage: Stage, graph_id: str = "day") -> bool:
    return not await rows(stage, graph_id) and not await stage.waiting()


async def test_wrong_arguments_are_refused_before_anything_is_written() -> None:
    async with staged(app) as stage:
        graph = TaskGraphBuilder().parallel(named("a", fetch, "eu"), named("b", fetch, [1])).build(graph_id="day")
        with pytest.raises(ArgumentError, match=r"fetch\(\), parameter 'region'"):
            await app.publish_graph(graph)
        assert await nothing_happened(stage)


async def test_arguments_beside_results_are_checked() -> None:
    async with staged(app) as stage:
        part = named("a", fetch, "eu")
        graph = TaskGraphBuilder().add(part).then(named("b", total, [part.result], note=5)).build(graph_id="day")
        with pytest.raises(ArgumentError, match="'note'"):
            await app.publish_graph(graph)
        assert await nothing_happened(stage)


async def test_a_task_too_large_for_a_message_is_refused() -> None:
    async with staged(app) as stage:
        graph = TaskGraphBuilder().parallel(named("a", fetch, "eu"), named("b", fetch, "x" * 260_000)).build()
        with pytest.raises(TaskTooLarge) as caught:
            await app.publish_graph(graph)
        assert caught.value.task_id == "b"
        assert await nothing_happened(stage, graph.graph_id)


async def test_a_callback_too_large_for_a_message_is_refused() -> None:
    async with staged(app) as stage:
        graph = TaskGraphBuilder().add(named("a", alarm)).build(named("b", fetch, "x" * 260_000), graph_id="day")
        with pytest.raises(TaskTooLarge):
            await app.publish_graph(graph)
        assert await nothing_happened(stage)


def test_a_node_with_more_around_it_than_a_row_holds_is_refused() -> None:
    # Children that look alike take no room, so these all differ.
    children = tuple(
        Step(Task(task_id=f"c{n}", function_name="f", delay=n / 7, queue="q" * 200), parents=(0,)) for n in range(5_000)
    )
    layout = laid_out(Plan("g", (Step(Task(task_id="a", function_name="root")), *children)), "tasks")
    with pytest.raises(GraphTooLarge) as caught:
        check_sizes(layout, 200_000)
    assert (caught.value.graph_id, caught.value.task_id) == ("g", "a")


async def test_an_app_without_a_store_is_told_so() -> None:
    async with staged(app, results=False):
        with pytest.raises(GraphsNotKept, match="results_storage"):
            await app.publish_graph(fan())
        with pytest.raises(GraphsNotKept):
            app.graph("day")


async def test_what_is_no_graph_and_options_of_tasks_are_refused() -> None:
    async with staged(app) as stage:
        with pytest.raises(OptionError, match="build"):
            await app.publish_graph(TaskGraphBuilder().add(named("a", alarm)))  # type: ignore[arg-type]
        with pytest.raises(OptionError, match="delay is an option of tasks"):
            await app.options(delay=5).publish_graph(fan())
        assert await nothing_happened(stage)


# -- again -------------------------------------------------------------------------------------------------------------


async def test_publishing_a_graph_again_changes_nothing() -> None:
    async with staged(app) as stage:
        graph = fan(width=150)
        await app.publish_graph(graph)
        before, sent = await rows(stage, blocks=2), await messages(stage)
        stage.clock.now += 60
        await app.publish_graph(graph)
        await app.publish_graph(fan(width=150))
        assert (await rows(stage, blocks=2), await messages(stage)) == (before, sent)


async def test_a_graph_that_has_ended_is_not_started_again() -> None:
    async with staged(app) as stage:
        await app.publish_graph(fan())
        await end(stage, GraphStatus.SUCCEEDED)
        stage.clock.now += 3 * 3600  # the queue has forgotten the ids of its messages
        for _ in await stage.waiting():
            (delivery,) = await stage.engine.inbox(QUEUE).receive(1, 0)
            await stage.engine.inbox(QUEUE).complete(delivery)
        handle = await app.publish_graph(fan())
        assert await stage.waiting() == []
        assert (await handle.status()).status is GraphStatus.SUCCEEDED


async def test_another_graph_of_the_same_id_is_refused() -> None:
    async with staged(app) as stage:
        await app.publish_graph(fan())
        before, sent = await rows(stage), await messages(stage)
        for other in (fan(region="us"), fan(width=4)):
            with pytest.raises(GraphConflict, match="under another graph_id"):
                await app.publish_graph(other)
        assert (await rows(stage), await messages(stage)) == (before, sent)


async def test_another_graph_of_the_same_id_that_is_half_written_is_refused() -> None:
    async with failing() as (stage, table, _):
        table.fails_at = 2
        with pytest.raises(PublishError):
            await app.publish_graph(fan())
        with pytest.raises(GraphConflict, match="other tasks"):
            await app.publish_graph(fan(region="us"))
        assert "graph-day/head" not in await rows(stage)


async def test_a_graph_that_was_given_up_stays_so() -> None:
    async with staged(app) as stage:
        await app.publish_graph(fan())
        await end(stage, GraphStatus.ABANDONED)
        with pytest.raises(GraphConflict, match="given up"):
            await app.publish_graph(fan())


async def test_two_who_publish_the_same_at_once_start_it_once() -> None:
    async with staged(app) as stage:
        await asyncio.gather(*(app.publish_graph(fan(width=250)) for _ in range(3)))
        found = await rows(stage, blocks=3)
        assert len(found) == 253
        assert sorted(one.number for one in await starts(stage)) == list(range(250))


# -- interrupted -------------------------------------------------------------------------------------------------------

LARGE = 120_000


def heavy() -> TaskGraph:
    """A graph whose first block takes two transactions."""
    return TaskGraphBuilder().parallel(
        *(named(f"p{number}", fetch, "x" * LARGE) for number in range(30)),
    ).then(named("after", alarm)).build(named("callback", alarm), graph_id="day")  # fmt: skip


@pytest.mark.parametrize("done", [False, True], ids=["not-written", "written-but-not-answered"])
@pytest.mark.parametrize("fails_at", range(4))
async def test_a_publisher_that_ends_anywhere_can_publish_again(fails_at: int, done: bool) -> None:
    async with staged(app) as stage:
        await app.publish_graph(heavy())
        wanted = content(await rows(stage)), sorted(await messages(stage), key=str)
    async with failing() as (stage, table, _):
        graph, table.fails_at, table.done = heavy(), fails_at, done
        with pytest.raises(GraphNotPublished, match="the store is down") as caught:
            await app.publish_graph(graph)
        assert caught.value.graph_id == "day"
        assert await starts(stage) == []
        handle = await app.publish_graph(graph)
        assert (content(await rows(stage)), sorted(await messages(stage), key=str)) == wanted
        assert (await handle.status()).pending == 31


async def test_whoever_goes_on_may_split_blocks_at_other_places() -> None:
    async with failing() as (stage, table, _):
        table.fails_at = 2
        with pytest.raises(PublishError):
            await app.publish_graph(heavy())
        written = len(await rows(stage))
        assert 1 < written < 31
        longer = TaskGraphBuilder().parallel(
            *(named(f"part-{number:060}", fetch, "x" * LARGE) for number in range(30)),
        ).then(named("after", alarm)).build(named("callback", alarm), graph_id="day")  # fmt: skip
        handle = await app.publish_graph(longer)
        found = await rows(stage)
        assert len(found) == 33
        ids = [node.task_id async for node in handle.nodes()]
        assert ids[0] == "p0"
        assert ids[29] == f"part-{29:060}"
        assert (await handle.task("after")).task_id == "after"


async def test_the_watch_is_sent_before_anything_is_written_and_the_roots_after_all() -> None:
    async with failing() as (stage, _, transport):
        transport.fails_at = 0
        with pytest.raises(PublishError, match="full"):
            await app.publish_graph(fan())
        assert await nothing_happened(stage)
        transport.fails_at = 2
        with pytest.raises(GraphNotPublished, match="publish the same graph again"):
            await app.publish_graph(fan())
        assert "graph-day/head" in await rows(stage)
        assert await starts(stage) == []
        await app.publish_graph(fan())
        assert len(await starts(stage)) == 3


async def test_sending_is_tried_as_often_as_the_options_say() -> None:
    async with failing() as (stage, _, transport):
        transport.fails_at = 0
        await app.options(publish_attempts=2).publish_graph(fan())
        assert len(await starts(stage)) == 3


def test_a_graph_without_tasks_has_ended_when_it_is_published() -> None:
    layout = laid_out(Plan("g", (), many=True), "tasks")
    state, effect = publishing.step(publishing.State(layout), publishing.Asked(1.0))
    seen = []
    for answer in (publishing.tx.Found(None, 1.0), publishing.fx.Sent(), *[publishing.tx.Written(("",), 2.0)] * 2):
        state, effect = publishing.step(state, answer)
        seen.append(effect)
    assert isinstance(effect, publishing.fx.Settle)
    head = head_row("g", seen[2].operations[-1].entity)
    assert (head.status, head.many, head.finished_at) == (GraphStatus.SUCCEEDED, True, 1.0)


# -- stand-ins ---------------------------------------------------------------------------------------------------------


async def end(stage: Stage, status: GraphStatus) -> None:
    """End the graph, as its last node would."""
    assert stage.engine.table is not None
    values = {"status": str(status), "finished_at": stage.clock.now}
    await stage.engine.table.write([Merge(Entity(*GraphKey("day").head, values, ANY_ETAG))])


class FailingTable:
    """A table that counts, and whose write number `fails_at` is not answered; `done`: but was done."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.writes = self.reads = 0
        self.fails_at = -1
        self.done = False

    async def write(self, operations: Sequence[Operation]) -> list[str]:
        number, self.writes = self.writes, self.writes + 1
        if number == self.fails_at:
            if self.done:
                await self._table.write(operations)
            raise StoreUnavailable("the store is down")
        return await self._table.write(operations)

    async def read(self, *args: Any) -> Entity | None:
        self.reads += 1
        return await self._table.read(*args)

    async def query(self, *args: Any, **kwargs: Any) -> Page:
        self.reads += 1
        return await self._table.query(*args, **kwargs)

    async def close(self) -> None:
        await self._table.close()


class FailingTransport:
    """A transport whose call number `fails_at` is refused."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.fails_at = -1
        self._calls = 0

    @property
    def max_message_bytes(self) -> int:
        return self._transport.max_message_bytes

    async def send(self, messages: Sequence[Message], *, numbered: bool = False) -> Mapping[str, int]:
        number, self._calls = self._calls, self._calls + 1
        if number == self.fails_at:
            raise NotSent([(message.message_id, RuntimeError("the queue is full")) for message in messages])
        return await self._transport.send(messages, numbered=numbered)


class FailingEngine(LocalEngine):
    """An engine in memory whose transport can fail."""

    @cached_property
    def transport(self) -> FailingTransport:  # type: ignore[override]
        return FailingTransport(super().transport)


@asynccontextmanager
async def failing() -> AsyncIterator[tuple[Stage, FailingTable, FailingTransport]]:
    """A stage, its table and its transport."""
    clock = ManualClock()
    engine = FailingEngine(None, clock=clock)
    assert engine.table is not None
    table = FailingTable(engine.table)
    async with staged(app, engine=engine, clock=clock, table=table) as stage:
        yield stage, table, engine.transport
