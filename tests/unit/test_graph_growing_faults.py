"""A node becomes a graph though somebody dies, or goes on as a zombie, at any step of it.

Every operation on the table and every sending of a whole run is disturbed once, in five ways; or the graph is cancelled
there. The watchdog is left out: what one fault breaks, the next delivery repairs. Of the graphs that were made for the
node one runs, and no other.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal, TypeVar

import pytest

from boilermaker_fn import Boilermaker, runner
from boilermaker_fn.entities import Entity, Operation, Page
from boilermaker_fn.errors import Held, NotSent, StoreUnavailable
from boilermaker_fn.graph.builder import TaskGraphBuilder
from boilermaker_fn.graph.graph import TaskGraph
from boilermaker_fn.graph_errors import GraphFailed
from boilermaker_fn.graph_handle import GraphHandle
from boilermaker_fn.graph_progress import listing
from boilermaker_fn.graph_progress.heads import GraphStatus, head_row
from boilermaker_fn.graph_progress.keys import GraphKey
from boilermaker_fn.graph_progress.messages import WatchMessage, decoded, is_for_graph
from boilermaker_fn.graph_progress.rows import NodeStatus
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import Delivery, Message
from tests.stage import LAKE, QUEUE, ManualClock, Stage, staged

T = TypeVar("T")
How = Literal["dies before", "dies after", "unavailable", "answer lost", "zombie", "cancelled"]


FAULTS: tuple[How, ...] = ("dies before", "dies after", "unavailable", "answer lost", "zombie")


class Died(Exception):
    """The process is gone."""


class Disturbance:
    """Disturbs operation number `at`, counted from 1 since it was `armed`."""

    def __init__(self, at: int = 0, how: How = "dies before") -> None:
        self.at = at
        self.how = how
        self.count = 0
        self.armed = False
        self.stuck = asyncio.Event()
        self.released = asyncio.Event()
        self.graph: GraphHandle | None = None
        self.cancelled = False

    async def around(self, operation: Callable[[], Awaitable[T]], unavailable: Exception) -> T:
        self.count += self.armed
        if self.count != self.at or not self.armed:
            return await operation()
        match self.how:
            case "dies before":
                raise Died
            case "dies after":
                await operation()
                raise Died
            case "unavailable":
                raise unavailable
            case "answer lost":
                await operation()
                raise unavailable
            case "cancelled":
                assert self.graph is not None
                self.armed = False
                self.cancelled = await self.graph.cancel()
                return await operation()
        self.stuck.set()
        await self.released.wait()
        return await operation()


class DisturbedTable:
    def __init__(self, inner: Any, disturbance: Disturbance) -> None:
        self.inner = inner
        self.disturbance = disturbance

    async def read(self, partition: str, row: str, select: Sequence[str] | None = None) -> Entity | None:
        return await self._around(lambda: self.inner.read(partition, row, select))

    async def query(self, partition: str, **conditions: Any) -> Page:
        return await self._around(lambda: self.inner.query(partition, **conditions))

    async def write(self, operations: Sequence[Operation]) -> list[str]:
        return await self._around(lambda: self.inner.write(operations))

    async def close(self) -> None:
        await self.inner.close()

    async def _around(self, operation: Callable[[], Awaitable[T]]) -> T:
        return await self.disturbance.around(operation, StoreUnavailable("disturbed"))


class DisturbedTransport:
    def __init__(self, inner: Any, disturbance: Disturbance) -> None:
        self.inner = inner
        self.disturbance = disturbance
        self.max_message_bytes = inner.max_message_bytes

    async def send(self, messages: Sequence[Message], *, numbered: bool = False) -> Mapping[str, int]:
        error = NotSent([(message.message_id, OSError("disturbed")) for message in messages])
        return await self.disturbance.around(lambda: self.inner.send(messages, numbered=numbered), error)


# -- the play ----------------------------------------------------------------------------------------------------------


def cast(app: Boilermaker, bad: int | None) -> TaskGraph:
    """A node that becomes a graph with a map in it, and one that takes its result. `bad` is an item that fails.

    The state has what ran: which of the graphs it made asked for it, and what it was.
    """
    made = itertools.count(1)

    @app.task
    async def grow(state: list[Any]) -> TaskGraph:
        number = next(made)
        first = app.create_task(leaf, 1, number)
        others = app.create_map(leaf, [2, 3], number)
        last = app.create_task(total, first.result, others.result, number)
        builder = TaskGraphBuilder().parallel(first, others).then(last)
        return builder.build(app.create_task(note, "inner callback", number))

    @app.task
    async def leaf(state: list[Any], item: int, number: int) -> int:
        state.append((number, item))
        if item == bad:
            raise ValueError(f"item {item}")
        return item

    @app.task
    async def total(state: list[Any], first: int, others: list[int], number: int) -> list[int]:
        state.append((number, "total"))
        return [first, *others]

    @app.task
    async def note(state: list[Any], what: str, number: int = 0) -> None:
        state.append((number, what))

    @app.task
    async def after(state: list[Any], values: list[int]) -> int:
        state.append((0, "after"))
        return sum(values)

    node = app.options(task_id="grown").create_task(grow)
    builder = TaskGraphBuilder().add(node, on_failure=app.create_task(note, "handler"))
    builder.add(app.create_task(after, node.result), depends_on=[node])
    return builder.build(app.create_task(note, "callback"), graph_id="outer")


async def played(stage: Stage, disturbance: Disturbance, graph: TaskGraph) -> GraphHandle:
    """Publish the graph and deliver all there is, in spite of the disturbance."""
    handle = await stage.app.publish_graph(graph)
    disturbance.graph, disturbance.armed = handle, True
    zombies: list[asyncio.Task[str]] = []
    while True:
        while (delivery := await _next(stage)) is not None:
            if zombie := await _handled(stage, disturbance, delivery):
                zombies.append(zombie)
        if not zombies or disturbance.released.is_set():
            return handle
        disturbance.released.set()
        with suppress(Held):
            await zombies[0]


async def _next(stage: Stage) -> Delivery | None:
    waiting = await stage.waiting()
    if not waiting:
        return None
    stage.clock.now = max(stage.clock.now, min(message.enqueued_at for message in waiting))
    (delivery,) = await stage.engine.inbox(QUEUE).receive(1, 0)
    return delivery


async def _handled(stage: Stage, disturbance: Disturbance, delivery: Delivery) -> asyncio.Task[str] | None:
    """Handle a delivery; returns who is stuck."""
    inbox = stage.engine.inbox(QUEUE)
    if is_for_graph(delivery.body) and isinstance(decoded(delivery.body), WatchMessage):
        await inbox.complete(delivery)
        return None
    handling = asyncio.ensure_future(stage.runner.handle(delivery))
    stuck = asyncio.ensure_future(disturbance.stuck.wait())
    await asyncio.wait({handling, stuck}, return_when=asyncio.FIRST_COMPLETED)
    stuck.cancel()
    if not handling.done():
        disturbance.stuck.clear()
        stage.clock.now = delivery.locked_until
        return handling
    try:
        handling.result()
    except Died:
        stage.clock.now = delivery.locked_until
    except Held:
        await inbox.release(delivery)
    else:
        await inbox.complete(delivery)
    return None


async def statuses(stage: Stage) -> Counter[GraphStatus]:
    """How many of the graphs that were made for nodes stand how; no node was touched of those that do not count."""
    table, found = stage.engine.table, Counter[GraphStatus]()
    assert table is not None
    for partition in listing.partitions():
        for entity in (await table.query(partition)).entities:
            one = listing.read(entity)
            head = await table.read(*GraphKey(one.graph_id).head)
            if not one.parent or head is None:
                continue
            status = head_row(one.graph_id, head).status
            found[status] += 1
            if status is GraphStatus.PREPARED:
                nodes = [node.status async for node in stage.app.graph(one.graph_id).nodes()]
                assert {*nodes} == {NodeStatus.PENDING}
    return found


async def run(
    bad: int | None,
    disturbance: Disturbance,
    ended: Callable[[Stage, GraphHandle], Awaitable[None]],
) -> None:
    clock = ManualClock()
    engine = LocalEngine(None, clock=clock, max_delivery_count=100)
    table = DisturbedTable(engine.table, disturbance)
    engine._transport = DisturbedTransport(engine.transport, disturbance)  # type: ignore[assignment]
    app = Boilermaker([])
    async with staged(app, engine=engine, clock=clock, table=table) as stage:
        handle = await played(stage, disturbance, cast(app, bad))
        disturbance.armed = False
        await ended(stage, handle)


async def ended_well(stage: Stage, handle: GraphHandle) -> None:
    assert await handle.result(5) == 6
    ran = stage.app.state
    assert len({number for number, _ in ran if number}) == 1, ran
    assert {what for _, what in ran} == {1, 2, 3, "total", "after"}
    found = await statuses(stage)
    assert (found[GraphStatus.SUCCEEDED], found[GraphStatus.RUNNING]) == (2, 0)
    assert await stage.waiting(LAKE) == []


async def ended_badly(stage: Stage, handle: GraphHandle) -> None:
    with pytest.raises(GraphFailed) as caught:
        await handle.result(5)
    assert [(one.task_id, one.reason) for one in caught.value.failures] == [("grown", "GraphFailed")]
    ran = stage.app.state
    assert len({number for number, _ in ran if number}) == 1, ran
    assert {what for _, what in ran} == {1, 2, 3, "inner callback", "handler", "callback"}
    found = await statuses(stage)
    assert (found[GraphStatus.FAILED], found[GraphStatus.RUNNING]) == (2, 0)
    assert sorted(await stage.reasons()) == ["GraphFailed", "GraphFailed", "TaskFailed"]


async def ended_cancelled(disturbance: Disturbance, stage: Stage, handle: GraphHandle) -> None:
    found, state = await statuses(stage), await handle.status()
    assert state.status is (GraphStatus.CANCELLED if disturbance.cancelled else GraphStatus.SUCCEEDED)
    assert state.pending + state.started + state.waiting == 0
    assert found[GraphStatus.RUNNING] + found[GraphStatus.CANCELLING] == 0
    assert await stage.waiting(LAKE) == []


async def operations(bad: int | None) -> int:
    """How many there are when nothing happens."""
    undisturbed = Disturbance()
    await run(bad, undisturbed, ended_well if bad is None else ended_badly)
    return undisturbed.count


@pytest.mark.slow
@pytest.mark.parametrize(("bad", "how"), [(3, how) for how in FAULTS] + [(None, how) for how in (*FAULTS, "cancelled")])
async def test_it_ends_right_whatever_happens_at_one_step(
    bad: int | None, how: How, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_MOST_PATIENCE", 0.0)
    count = await operations(bad)
    assert count > 60
    for at in range(1, count + 1):
        disturbance = Disturbance(at, how)
        ended = ended_well if bad is None else ended_badly
        try:
            await run(bad, disturbance, partial(ended_cancelled, disturbance) if how == "cancelled" else ended)
        except Exception as error:
            error.add_note(f"operation {at} of {count}: {how}")
            raise
