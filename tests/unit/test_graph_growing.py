"""What does a node that becomes a graph mean? A function that returns a TaskGraph, and a map over a list."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.graph.builder import TaskGraphBuilder
from boilermaker_fn.graph.graph import TaskGraph
from boilermaker_fn.graph_errors import GraphFailed
from boilermaker_fn.graph_handle import GraphHandle
from boilermaker_fn.graph_progress.heads import GraphStatus
from boilermaker_fn.graph_progress.rows import NodeStatus
from boilermaker_fn.graph_states import NodeInfo
from boilermaker_fn.outcomes import Reason
from boilermaker_fn.task import Task
from tests.cast import FAILED, SKIPPED, SUCCEEDED, Cast
from tests.stage import QUEUE, Stage


@pytest.fixture
def cast(stage: Stage) -> Cast:
    return Cast(stage)


def growing(cast: Cast, make: Any, name: str = "grow") -> Task:
    """A task whose function returns what `make` does."""

    @cast.app.task(name=name)
    async def grow(state: list[str]) -> Any:
        state.append(name)
        return make()

    return cast.app.options(task_id=name).create_task(grow)


def single(task: Task) -> TaskGraph:
    return TaskGraphBuilder().add(task).build()


# -- a function that returns a graph -----------------------------------------------------------------------------------


async def test_the_node_waits_for_the_graph_and_has_the_value_of_its_last_task(cast: Cast) -> None:
    node = growing(cast, lambda: TaskGraphBuilder().add(cast("b")).then(cast("c", delay=60)).build())
    handle = await cast.publish(TaskGraphBuilder().add(node).then(cast("d")).build())
    await cast.stage.deliver_all()
    state = await handle.status()
    assert (state.status, state.waiting, state.pending) == (GraphStatus.RUNNING, 1, 1)
    await cast.stage.play()
    assert (await handle.task("grow")).result == "c"
    assert (await cast.ending(handle)).ran == ["grow", "b", "c", "d"]


async def test_the_value_of_a_graph_with_several_last_tasks_is_a_list(cast: Cast) -> None:
    node = growing(cast, lambda: TaskGraphBuilder().parallel(*cast.many("n", 120)).build())
    handle = await cast.publish(single(node))
    await cast.stage.play()
    assert await handle.result() == [f"n{number}" for number in range(120)]


async def test_graphs_nest_six_deep(cast: Cast) -> None:
    @cast.app.task
    async def deeper(state: list[str], depth: int) -> Any:
        state.append(f"down {depth}")
        if depth == 6:
            return depth
        return single(cast.app.create_task(deeper, depth + 1))

    top = cast.app.create_task(deeper, 0)
    handle = await cast.publish(TaskGraphBuilder().add(top).then(cast("after")).build())
    await cast.stage.play()
    ending = await cast.ending(handle)
    assert ending.ran == [*(f"down {depth}" for depth in range(7)), "after"]
    assert (await handle.task(top)).result == 6
    assert await cast.stage.waiting() == []


async def test_a_failure_deep_down_fails_all_above_and_their_handlers_run(cast: Cast) -> None:
    @cast.app.task
    async def deeper(state: list[str], depth: int) -> Any:
        inner = cast("deepest", "fail") if depth == 3 else cast.app.create_task(deeper, depth + 1)
        return TaskGraphBuilder().add(inner, on_failure=cast(f"handler {depth}")).build(cast(f"callback {depth}"))

    node = cast.app.options(task_id="top").create_task(deeper, 1)
    ending = await cast.played(TaskGraphBuilder().add(node, on_failure=cast("handler 0")).then(cast("after")).build())
    assert ending.of("top", "handler 0", "after") == (FAILED, SUCCEEDED, SKIPPED)
    deep_first = [f"{what} {depth}" for depth in (3, 2, 1) for what in ("handler", "callback")]
    assert ending.ran == ["deepest", *deep_first, "handler 0"]
    assert sorted(ending.reasons) == ["GraphFailed"] * 3 + ["TaskFailed"]


async def test_the_error_of_a_node_names_the_graph_that_failed_and_leads_there(cast: Cast) -> None:
    handle = await cast.publish(single(growing(cast, lambda: single(cast("bad", "fail")))))
    await cast.stage.play()
    (failure,) = await handle.failures()
    assert failure.reason == Reason.GraphFailed
    assert failure.graph_id in failure.message
    (inner,) = await cast.app.graph(failure.graph_id).failures()
    assert (inner.task_id, inner.message) == ("bad", "bad failed")


async def test_a_failed_branch_that_was_handled_inside_still_fails_the_node(cast: Cast) -> None:
    inner = TaskGraphBuilder().add(cast("a", "fail"), on_failure=cast("handler")).add(cast("b"), depends_on=None)
    ending = await cast.played(single(growing(cast, inner.build)))
    assert ending.nodes["grow"] is FAILED


async def test_a_handler_and_a_callback_can_become_graphs(cast: Cast) -> None:
    handler = growing(cast, lambda: single(cast("in the handler")), "handler")
    callback = growing(cast, lambda: single(cast("in the callback")), "callback")
    callback.on_success = cast("after the callback")
    ending = await cast.played(TaskGraphBuilder().add(cast("a", "fail"), on_failure=handler).build(callback))
    assert ending.of("handler", "callback") == (SUCCEEDED, SUCCEEDED)
    assert ending.ran == [
        "a", "handler", "in the handler", "callback", "in the callback", "after the callback"
    ]  # fmt: skip
    assert ending.status is GraphStatus.FAILED


async def test_a_retry_before_it_returns_its_graph_is_a_retry(cast: Cast) -> None:
    tries: list[int] = []

    def make() -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError
        return single(cast("inner"))

    node = growing(cast, make)
    registration = cast.app.shell.registry["grow"]._replace(retry_on=(ConnectionError,))
    cast.app.shell.registry._by_name["grow"] = cast.app.shell.registry._runnable["grow"] = registration
    ending = await cast.played(single(node))
    assert ending.ran == ["grow", "grow", "inner"]
    assert ending.status is GraphStatus.SUCCEEDED


# -- what cannot become one --------------------------------------------------------------------------------------------


def cyclic(cast: Cast) -> TaskGraph:
    a, b = cast("a"), cast("b")
    a.payload["args"][1], b.payload["args"][1] = b.result, a.result
    graph = TaskGraph()
    graph.add_task(a)
    graph.add_task(b)
    return graph


def wrong_argument(cast: Cast) -> TaskGraph:
    task = cast("a")
    task.payload = {"args": ["a", datetime.datetime], "kwargs": {}}
    return single(task)


def too_large(cast: Cast) -> TaskGraph:
    return single(cast("a", "x" * 300_000))


def early(cast: Cast) -> TaskGraph:
    task = cast("a")
    task.acks_late = False
    graph = TaskGraph()
    graph.add_task(task)
    return graph


REFUSED = {
    cyclic: ("GraphError", "wait for each other"),
    wrong_argument: ("ArgumentError", "play(), parameter 'how'"),
    too_large: ("TaskTooLarge", "bytes as a message"),
    early: ("GraphError", "acks_late=False"),
    lambda cast: TaskGraph(): ("GraphError", "at least one task"),
}


@pytest.mark.parametrize("make", REFUSED, ids=["cycle", "wrong argument", "too large", "acks early", "empty"])
async def test_a_graph_that_could_not_be_published_fails_the_node_with_the_reason(cast: Cast, make: Any) -> None:
    error_type, problem = REFUSED[make]
    node = growing(cast, lambda: make(cast))
    handle = await cast.publish(TaskGraphBuilder().add(node, on_failure=cast("handler")).then(cast("after")).build())
    await cast.stage.play()
    ending = await cast.ending(handle)
    assert ending.of("grow", "handler", "after") == (FAILED, SUCCEEDED, SKIPPED)
    assert ending.ran == ["grow", "handler"]
    (failure,) = await handle.failures()
    assert failure.reason == Reason.WrongArguments
    assert failure.error_type.endswith(error_type)
    assert problem in failure.message
    assert ending.reasons == [Reason.WrongArguments]


async def test_a_plain_task_cannot_become_a_graph(cast: Cast) -> None:
    handle = await cast.app.publish_task(growing(cast, lambda: single(cast("inner"))))
    await cast.stage.play()
    assert (await handle.info()).reason == Reason.ResultNotSerializable
    assert cast.app.state == ["grow"]


# -- maps --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def doubling(cast: Cast) -> Any:
    @cast.app.task
    async def double(state: list[Any], item: int, by: int = 2) -> int:
        state.append(item)
        if item < 0:
            raise ValueError(f"{item} is below 0")
        return item * by

    return double


@pytest.mark.parametrize("count", [0, 1, 250])
async def test_a_map_runs_each_item_once_and_keeps_the_order(cast: Cast, doubling: Any, count: int) -> None:
    @cast.app.task
    async def items(state: list[Any], count: int) -> list[int]:
        return [*range(count)]

    source = cast.app.create_task(items, count)
    builder = TaskGraphBuilder().add(source).map(doubling, over=source.result).then(cast("after"))
    mapped = cast.app.create_map(doubling, source.result, by=3)
    handle = await cast.publish(builder.add(mapped, depends_on=[source]).build())
    await cast.stage.play()
    assert (await handle.task(mapped)).result == [3 * number for number in range(count)]
    ran = cast.app.state
    assert sorted(one for one in ran if one != "after") == sorted([*range(count)] * 2)
    assert (await handle.status()).status is GraphStatus.SUCCEEDED
    assert await cast.stage.waiting() == []


async def test_a_map_is_added_to_a_graph_by_itself(cast: Cast, doubling: Any) -> None:
    graph = TaskGraph()
    mapped = graph.map(doubling, over=[4, 5])
    graph.add_task(cast("after"), [mapped.task_id])
    handle = await cast.publish(graph)
    await cast.stage.play()
    assert (await handle.task(mapped)).result == [8, 10]


async def test_an_item_that_fails_fails_the_map_when_the_others_have_ended(cast: Cast, doubling: Any) -> None:
    mapped = cast.app.options(task_id="map").create_map(doubling, [1, -1, 2, -2, 3])
    builder = TaskGraphBuilder().add(mapped, on_failure=cast("handler")).then(cast("after"))
    handle = await cast.publish(builder.build(cast("callback")))
    await cast.stage.play()
    ending = await cast.ending(handle)
    assert ending.ran == [1, -1, 2, -2, 3, "handler", "callback"]
    assert ending.of("map", "after") == (FAILED, SKIPPED)
    (failure,) = await handle.failures()
    assert failure.reason == Reason.GraphFailed
    items = await cast.app.graph(failure.graph_id).failures()
    assert [item.message for item in items] == ["-1 is below 0", "-2 is below 0"]
    with pytest.raises(GraphFailed, match="GraphFailed"):
        await handle.result()


@pytest.mark.parametrize("over", ["abc", 5, {"a": 1}, None])
async def test_a_map_over_what_is_no_list_fails(cast: Cast, doubling: Any, over: Any) -> None:
    @cast.app.task
    async def source(state: list[Any]) -> Any:
        return over

    one = cast.app.create_task(source)
    handle = await cast.publish(TaskGraphBuilder().add(one).map(doubling, over=one.result).build())
    await cast.stage.play()
    (failure,) = await handle.failures()
    assert failure.reason == Reason.WrongArguments
    assert cast.app.state == []


async def test_an_item_that_does_not_fit_fails_the_map_before_any_runs(cast: Cast, doubling: Any) -> None:
    mapped = cast.app.create_map(doubling, [1, "two"])
    handle = await cast.publish(single(mapped))
    await cast.stage.play()
    (failure,) = await handle.failures()
    assert (failure.reason, cast.app.state) == (Reason.WrongArguments, [])
    assert "double(), parameter 'item'" in failure.message


async def test_a_map_in_a_returned_graph_in_a_map(cast: Cast, doubling: Any) -> None:
    @cast.app.task
    async def inner(state: list[Any], count: int) -> Any:
        mapped = cast.app.create_map(doubling, [*range(count)])
        return TaskGraphBuilder().add(mapped).build()

    handle = await cast.publish(single(cast.app.create_map(inner, [0, 1, 3])))
    await cast.stage.play()
    assert await handle.result() == [[], [0], [0, 2, 4]]


async def test_items_are_as_their_function_is_registered(cast: Cast) -> None:
    @cast.app.task(queue="other", max_retries=1, should_dead_letter=False)
    async def fragile(state: list[Any], item: int) -> int:
        state.append(item)
        raise ValueError

    handle = await cast.publish(single(cast.app.create_map(fragile, [1])))
    await cast.stage.deliver_all()
    assert await cast.stage.play("other") == ["retry", "failure"]
    await cast.stage.deliver_all()  # that of the map's end
    await cast.stage.play()
    assert cast.app.state == [1, 1]
    assert await cast.stage.reasons() == ["GraphFailed"]
    assert [node.status async for node in handle.nodes()] == [NodeStatus.FAILED]


async def test_items_expire_as_their_function_says(cast: Cast) -> None:
    @cast.app.task(expires=10)
    async def urgent(state: list[Any], item: int) -> None:
        state.append(item)

    handle = await cast.publish(single(cast.app.create_map(urgent, [1])))
    assert await cast.stage.deliver() == "waiting"
    cast.stage.clock.now += 11
    await cast.stage.play()
    assert cast.app.state == []
    (failure,) = await handle.failures()
    (item,) = await cast.app.graph(failure.graph_id).failures()
    assert item.reason == Reason.Expired


async def test_a_map_over_a_function_that_must_not_run_twice_fails(cast: Cast) -> None:
    @cast.app.task(acks_late=False)
    async def charge(state: list[Any], item: int) -> None:
        state.append(item)

    handle = await cast.publish(single(cast.app.create_map(charge, [1])))
    await cast.stage.play()
    (failure,) = await handle.failures()
    assert (failure.reason, cast.app.state) == (Reason.WrongArguments, [])
    assert "acks_late=False" in failure.message


async def test_an_app_without_graphs_of_its_own_runs_those_of_others() -> None:
    assert "boilermaker_fn.map" in Boilermaker([]).shell.registry.runnable


# -- cancelling --------------------------------------------------------------------------------------------------------


async def test_cancelling_reaches_the_graphs_that_tasks_became(cast: Cast) -> None:
    inner = TaskGraphBuilder().add(cast("b", delay=60), on_failure=cast("inner handler")).build(cast("inner callback"))
    node = growing(cast, lambda: inner)
    handle = await cast.publish(TaskGraphBuilder().add(node, on_failure=cast("handler")).build(cast("callback")))
    await cast.stage.deliver_all()
    assert await handle.cancel()
    await cast.stage.play()
    ending = await cast.ending(handle)
    assert (ending.status, ending.ran, ending.reasons) == (GraphStatus.CANCELLED, ["grow"], [])
    assert (await cast.app.graph((await info(handle, "grow")).graph_id).status()).status is GraphStatus.CANCELLED


async def test_a_graph_below_that_is_cancelled_alone_fails_its_task_and_leaves_no_letter(cast: Cast) -> None:
    node = growing(cast, lambda: single(cast("b", delay=60)))
    handle = await cast.publish(TaskGraphBuilder().add(node, on_failure=cast("handler")).then(cast("c")).build())
    await cast.stage.deliver_all()
    assert await cast.app.graph((await info(handle, "grow")).graph_id).cancel()
    await cast.stage.play()
    ending = await cast.ending(handle)
    assert (ending.status, ending.ran, ending.reasons) == (GraphStatus.FAILED, ["grow", "handler"], [])
    assert (await info(handle, "grow")).reason == Reason.Cancelled


@pytest.mark.parametrize("dies", [False, True])
async def test_a_graph_that_is_returned_after_the_cancelling_does_not_begin(cast: Cast, dies: bool) -> None:
    stage, gate, inside = cast.stage, asyncio.Event(), asyncio.Event()

    @cast.app.task
    async def slow(state: list[str]) -> TaskGraph:
        inside.set()
        await gate.wait()
        return single(cast("b"))

    handle = await cast.publish(single(cast.app.options(task_id="slow").create_task(slow)))
    (delivery,) = await stage.engine.inbox(QUEUE).receive(1, 0)
    running = asyncio.ensure_future(stage.runner.handle(delivery))
    await inside.wait()
    assert await handle.cancel()
    assert (await handle.status()).status is GraphStatus.CANCELLING
    gate.set()
    await running
    if dies:
        stage.clock.now = delivery.locked_until
    else:
        await stage.engine.inbox(QUEUE).complete(delivery)
    await stage.play()
    ending = await cast.ending(handle)
    assert (ending.status, ending.ran, ending.reasons) == (GraphStatus.CANCELLED, [], [])
    assert (await info(handle, "slow")).reason == Reason.Cancelled


async def info(handle: GraphHandle, task_id: str) -> NodeInfo:
    """One task of a graph."""
    (one,) = [node async for node in handle.nodes() if node.task_id == task_id]
    return one
