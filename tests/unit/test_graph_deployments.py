"""What becomes of graphs that are under way when a new version of the app is deployed? docs/graphs-deployments.md."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.entities import ANY_ETAG, Entity, Merge
from boilermaker_fn.errors import ResultMismatch
from boilermaker_fn.graph.builder import TaskGraphBuilder
from boilermaker_fn.graph_handle import GraphHandle
from boilermaker_fn.graph_progress.heads import GraphStatus
from boilermaker_fn.graph_progress.keys import GraphKey
from boilermaker_fn.graph_progress.rows import NodeStatus
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import Message
from boilermaker_fn.outcomes import Reason
from boilermaker_fn.task import Task
from tests.cast import FAILED, PENDING, SKIPPED, SUCCEEDED
from tests.stage import QUEUE, ManualClock, Stage, staged


class Deployments(NamedTuple):
    """One place, and an app in its first and in its second version."""

    first: Stage
    second: Stage

    async def halfway(self) -> GraphHandle:
        """A graph `a`, `b(x)`, `c` of which the first version has run `a`."""
        app = self.first.app
        a = task(app, "a")
        b = task(app, "b", a.result)
        builder = TaskGraphBuilder().add(a).then(b, on_failure=task(app, "handler")).then(task(app, "c"))
        handle = await app.publish_graph(builder.build(task(app, "callback"), graph_id="g"))
        assert await self.first.deliver() == "success"
        return handle

    async def standing(self) -> dict[str, NodeStatus]:
        """Where each node stands, for the second version."""
        return {node.task_id: node.status async for node in self.second.app.graph("g").nodes()}

    async def ran(self) -> list[str]:
        """Play all there is in the second version; what ran in either."""
        await self.second.play()
        return [*self.first.app.state, *self.second.app.state]


def task(app: Boilermaker, name: str, *args: Any) -> Task:
    return app.options(task_id=name).create_task(app.shell.registry[name].fn, *args)


def version(*names: str, **functions: Any) -> Boilermaker:
    """An app with these functions, by name; those that are only named take nothing."""
    app = Boilermaker([])

    def plain(name: str) -> Any:
        async def run(state: list[str]) -> int:
            state.append(name)
            return 1

        return run

    for name in names:
        app.register_async(plain(name), name=name)
    for name, function in functions.items():
        app.register_async(function, name=name)
    return app


async def b(state: list[str], x: int) -> int:
    state.append("b")
    return x + 1


OTHERS = ("a", "c", "handler", "callback")


@asynccontextmanager
async def deployed(second: Boilermaker) -> AsyncIterator[Deployments]:
    clock = ManualClock()
    engine = LocalEngine(None, clock=clock)
    first = version(*OTHERS, b=b)
    async with staged(first, engine=engine, clock=clock) as one, staged(second, engine=engine, clock=clock) as two:
        yield Deployments(one, two)


BADLY = {"a": SUCCEEDED, "b": FAILED, "c": SKIPPED, "handler": SUCCEEDED, "callback": SUCCEEDED}


# -- functions that have changed ---------------------------------------------------------------------------------------


async def test_a_parameter_with_a_default_is_added_and_the_graph_goes_on() -> None:
    async def b(state: list[str], x: int, *, rate: float = 2.0) -> float:
        state.append(f"new b {x * rate}")
        return x * rate

    async with deployed(version(*OTHERS, b=b)) as place:
        handle = await place.halfway()
        assert await place.ran() == ["a", "new b 2.0", "c"]
        assert (await handle.status()).status is GraphStatus.SUCCEEDED


async def test_a_parameter_that_was_removed_fails_the_node_visibly() -> None:
    async def b(state: list[str]) -> None:
        state.append("new b")

    async with deployed(version(*OTHERS, b=b)) as place:
        handle = await place.halfway()
        assert await place.ran() == ["a", "handler", "callback"]
        assert await place.standing() == BADLY
        (failure,) = await handle.failures()
        assert failure.reason == Reason.WrongArguments
        assert "too many positional arguments" in failure.message
        assert await place.second.reasons() == [Reason.WrongArguments]


async def test_a_parameter_of_another_type_fails_the_node_visibly() -> None:
    async def b(state: list[str], x: list[int]) -> None:
        state.append("new b")

    async with deployed(version(*OTHERS, b=b)) as place:
        handle = await place.halfway()
        assert await place.ran() == ["a", "handler", "callback"]
        (failure,) = await handle.failures()
        assert "b(), parameter 'x'" in failure.message


async def test_another_return_type_is_said_to_whoever_asks_for_the_value() -> None:
    async def c(state: list[str]) -> list[int]:
        return []

    async with deployed(version(*OTHERS, b=b)) as place:
        await place.halfway()
        await place.ran()
        later = version("a", "handler", "callback", b=b, c=c)
        with later.shell.rewired(place.second.wiring):
            with pytest.raises(ResultMismatch):
                await later.graph("g").result(5)
            assert (await later.graph("g").task("c")).result == 1


# -- functions that are not there --------------------------------------------------------------------------------------


async def test_a_missing_function_is_waited_for_while_a_deployment_may_be_under_way() -> None:
    async with deployed(version(*OTHERS)) as place:
        handle = await place.halfway()
        assert await place.second.deliver_all() == ["postponed"]
        place.second.clock.now += 1000
        assert {*await place.second.deliver_all()} <= {"postponed", "watched"}
        assert (await place.standing())["b"] is PENDING
        place.second.app.register_async(b)
        assert await place.ran() == ["a", "b", "c"]
        assert (await handle.status()).status is GraphStatus.SUCCEEDED


async def test_a_function_that_stays_missing_fails_the_node_and_the_graph_ends() -> None:
    async with deployed(version(*OTHERS)) as place:
        handle = await place.halfway()
        assert await place.ran() == ["a", "handler", "callback"]
        assert await place.standing() == BADLY
        assert place.second.clock.passed < 3600
        (failure,) = await handle.failures()
        assert failure.reason == Reason.UnknownTask
        assert "no function 'b' is registered here" in failure.message
        assert (await handle.status()).status is GraphStatus.FAILED
        assert await place.second.reasons() == [Reason.UnknownTask]


async def test_a_function_that_was_renamed_runs_under_the_name_it_had() -> None:
    async def billed(state: list[str], x: int) -> int:
        state.append("billed")
        return x

    async with deployed(version(*OTHERS, b=billed)) as place:
        await place.halfway()
        assert await place.ran() == ["a", "billed", "c"]


async def test_old_and_new_workers_at_once_bring_it_to_its_end() -> None:
    async with deployed(version(*OTHERS)) as place:
        handle = await place.halfway()
        assert await place.second.deliver() == "postponed"  # who does not know it
        place.first.clock.now += 5
        assert await place.first.deliver() == "success"  # who does
        assert await place.ran() == ["a", "b", "c"]
        assert (await handle.status()).status is GraphStatus.SUCCEEDED


# -- what a newer version has written ----------------------------------------------------------------------------------


async def rewritten(stage: Stage, row: str, change: Any, partition: str | None = None) -> None:
    """Change properties of a row as a newer version would write them."""
    table, where = stage.engine.table, partition or GraphKey("g").block_partition(0)
    assert table is not None
    entity = await table.read(where, row)
    assert entity is not None
    await table.write([Merge(Entity(where, row, change(entity.values), ANY_ETAG))])


def newer(values: Any) -> dict[str, Any]:
    return {"task0": json.dumps({**json.loads(values["task0"]), "version": 2}).encode()}


def as_before(values: Any) -> dict[str, Any]:
    return {"task0": json.dumps({**json.loads(values["task0"]), "version": 1}).encode()}


async def test_a_newer_envelope_in_a_row_is_put_off_until_who_reads_it_is_deployed() -> None:
    async with deployed(version(*OTHERS, b=b)) as place:
        await place.halfway()
        await rewritten(place.first, "node-01", newer)
        assert await place.second.deliver_all() == ["postponed"]
        place.second.clock.now += 100
        assert await place.second.deliver_all() == ["postponed"]
        assert (await place.standing())["b"] is PENDING
        await rewritten(place.first, "node-01", as_before)
        assert await place.ran() == ["a", "b", "c"]


async def test_a_newer_envelope_that_stays_fails_the_node_and_the_graph_ends() -> None:
    async with deployed(version(*OTHERS, b=b)) as place:
        handle = await place.halfway()
        await rewritten(place.first, "node-01", newer)
        assert await place.ran() == ["a", "handler", "callback"]
        assert await place.standing() == BADLY
        (failure,) = await handle.failures()
        assert failure.reason == Reason.UnknownTask
        assert "version 2, which is newer" in failure.message
        (letter,) = await place.second.letters()
        assert (letter.properties["task_id"], letter.properties["function"]) == ("b", "b")


async def test_a_newer_envelope_that_the_broker_gives_up_fails_the_node() -> None:
    async with deployed(version(*OTHERS, b=b)) as place:
        await place.halfway()
        await rewritten(place.first, "node-01", newer)
        inbox = place.second.engine.inbox(QUEUE)
        (delivery,) = await inbox.receive(1, 0)
        assert await place.second.runner.reap(delivery) == "failure"
        await inbox.complete(delivery)
        assert await place.ran() == ["a", "handler", "callback"]


async def test_a_task_in_a_row_that_cannot_be_read_fails_visibly() -> None:
    async with deployed(version(*OTHERS, b=b)) as place:
        handle = await place.halfway()
        await rewritten(place.first, "node-01", lambda values: {"task0": b"{}"})
        assert await place.ran() == ["a", "handler", "callback"]
        (failure,) = await handle.failures()
        assert failure.reason == Reason.InvalidTaskFormat
        assert await place.second.reasons() == [Reason.InvalidTaskFormat]


@pytest.mark.parametrize("row", ["node", "head"])
async def test_a_row_that_an_older_version_cannot_read_is_waited_for(row: str) -> None:
    graph = GraphKey("g")
    where = graph.head if row == "head" else graph.node(1)
    async with deployed(version(*OTHERS, b=b)) as place:
        handle = await place.halfway()
        known = "running" if row == "head" else "pending"
        await rewritten(place.first, where.row, lambda _: {"status": "dreaming"}, where.partition)
        assert (await place.second.deliver_all())[-1] == "postponed"
        for _ in range(20):  # longer than a missing function is waited for
            place.second.clock.now += 300
            assert {*await place.second.deliver_all()} <= {"postponed"}
        await rewritten(place.first, where.row, lambda _: {"status": known}, where.partition)
        await place.ran()
        assert (await handle.status()).status is GraphStatus.SUCCEEDED


async def test_a_message_of_a_newer_version_is_put_off_and_then_left_to_a_human() -> None:
    async with deployed(version(*OTHERS, b=b)) as place:
        body = b'{"graph":"g","version":2,"epoch":0,"what":"is not known yet"}'
        await place.second.engine.transport.send([Message(QUEUE, "newer", body)])
        assert await place.second.deliver_all() == ["postponed"]
        await place.ran()
        (letter,) = await place.second.letters()
        assert letter.body == body
        assert await place.second.reasons() == [Reason.UnknownTask]


async def test_fields_of_a_newer_minor_version_do_no_harm() -> None:
    def more(values: Any) -> dict[str, Any]:
        return {"colour": "green", "task0": json.dumps({**json.loads(values["task0"]), "colour": "green"}).encode()}

    async with deployed(version(*OTHERS, b=b)) as place:
        handle = await place.halfway()
        await rewritten(place.first, "node-01", more)
        assert await place.ran() == ["a", "b", "c"]
        assert (await handle.status()).status is GraphStatus.SUCCEEDED
