"""Do graphs run in Microsoft's own Python runtime? Node by node, as its triggers deliver them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.graph_handle import GraphHandle
from boilermaker_fn.graph_progress.heads import GraphStatus
from boilermaker_fn.graph_progress.rows import NodeStatus
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import DEAD_LETTER_DESCRIPTION, DEAD_LETTER_REASON, Delivery
from boilermaker_fn.outcomes import Reason
from boilermaker_fn.task import Task, TaskGraph, TaskGraphBuilder
from tests.host.host import FunctionsHost, Incoming
from tests.host.seen import LAKE, QUEUE

GIVEN_UP = {DEAD_LETTER_REASON: "MaxDeliveryCountExceeded", DEAD_LETTER_DESCRIPTION: "delivered 10 times"}


@pytest.fixture
async def engine(file: Path) -> AsyncIterator[LocalEngine]:
    one = LocalEngine(file)
    yield one
    await one.close()


class Triggers:
    """Delivers the messages of one graph to the host, each once; by id, `given_up` are those the broker gives up."""

    def __init__(self, host: FunctionsHost, engine: LocalEngine, *given_up: str) -> None:
        self._host = host
        self._engine = engine
        self._given_up = given_up
        self._delivered: set[str] = set()

    async def run(self, handle: GraphHandle) -> dict[str, NodeStatus]:
        """Deliver what is due until nothing is left; where each node stands then."""
        while due := await self._due(handle):
            for delivery in due:
                await self._deliver(delivery)
        return {node.task_id: node.status async for node in handle.nodes()}

    async def _due(self, handle: GraphHandle) -> list[Delivery]:
        found = await self._engine.inbox(QUEUE).peek(10_000)
        ours = [one for one in found if one.message_id.startswith(f"{handle.graph_id}/")]
        return [one for one in ours if "/w" not in one.message_id and one.message_id not in self._delivered]

    async def _deliver(self, delivery: Delivery) -> None:
        self._delivered.add(delivery.message_id)
        message = Incoming.of(replace(delivery, delivery_count=1))
        if delivery.message_id in self._given_up:
            await self._host.invoke("reap_dead_letters", replace(message, delivery_count=11, properties=GIVEN_UP))
        else:
            await self._host.invoke("run_task", message)


def task(name: str, function: str = "greet") -> Task:
    return Task(
        task_id=name, function_name=function, payload={"args": [name] if function == "greet" else [], "kwargs": {}}
    )


def diamond(graph_id: str, left: str) -> TaskGraph:
    """Two tasks between two others; the left one has a handler, and the graph a callback."""

    def named(name: str, function: str = "greet") -> Task:
        return task(f"{graph_id}-{name}", function)

    builder, top = TaskGraphBuilder(), named("top")
    sides = named("left", left), named("right")
    builder.add(top).add(sides[0], on_failure=named("handler")).add(sides[1], depends_on=[top])
    return builder.add(named("bottom"), depends_on=sides).build(named("callback"), graph_id=graph_id)


async def letters_of(engine: LocalEngine, graph_id: str) -> list[tuple[object, object]]:
    found = await engine.inbox(LAKE).peek(10_000)
    properties = [one.properties for one in found if str(one.properties.get("task_id")).startswith(graph_id)]
    return [(one["task_id"], one[DEAD_LETTER_REASON]) for one in properties]


async def test_a_graph_ends_with_its_value(host: FunctionsHost, engine: LocalEngine) -> None:
    app = Boilermaker(None, engine)
    handle = await app.options(queue=QUEUE).publish_graph(diamond("good", "greet"))
    await Triggers(host, engine).run(handle)
    assert await handle.result(5) == "hello good-bottom"


@pytest.mark.parametrize("how", ["raises", "is given up"])
async def test_a_branch_that_fails_runs_its_handler_and_the_callback(
    host: FunctionsHost, engine: LocalEngine, how: str
) -> None:
    graph_id = f"bad-{how.replace(' ', '-')}"
    app = Boilermaker(None, engine)
    handle = await app.options(queue=QUEUE).publish_graph(diamond(graph_id, "boil" if how == "raises" else "greet"))
    (number,) = [node.number async for node in handle.nodes() if node.task_id == f"{graph_id}-left"]
    triggers = Triggers(host, engine, *([] if how == "raises" else [f"{graph_id}/0/{number}/0/1"]))
    nodes = await triggers.run(handle)
    assert {name.removeprefix(f"{graph_id}-"): str(status) for name, status in nodes.items()} == {
        "top": "success",
        "left": "failure",
        "right": "success",
        "bottom": "skipped",
        "handler": "success",
        "callback": "success",
    }
    assert (await handle.status()).status is GraphStatus.FAILED
    reason = Reason.TaskFailed if how == "raises" else "MaxDeliveryCountExceeded"
    assert await letters_of(engine, graph_id) == [(f"{graph_id}-left", reason)]
