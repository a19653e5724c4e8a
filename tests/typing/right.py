"""What type checkers must accept, and which types they must see."""

from __future__ import annotations

from typing import Any, assert_type

from boilermaker_fn import Boilermaker, RetryPolicy, Task
from boilermaker_fn.failure import TaskFailureResult, TaskFailureResultType
from boilermaker_fn.handle import TaskHandle
from boilermaker_fn.sync_client import SyncHandle
from boilermaker_fn.task import (
    LAST_ADDED,
    PARENT_RESULTS,
    TaskChain,
    TaskGraph,
    TaskGraphBuilder,
    TaskOf,
    TaskResult,
    TaskStatus,
)


class State:
    """An application's."""

    count: int = 0


app = Boilermaker(State())


@app.task
async def bare(state: State, number: int) -> str:
    return str(number)


@app.task()
async def empty(state: State) -> None:
    state.count += 1


@app.task(max_retries=5, retry_delay=2.0, timeout=30, name="full")
async def full(state: State, number: int, /, text: str = "", *, flag: bool = False) -> list[int]:
    return [number]


@app.task(policy=RetryPolicy.default(), retry_on=(OSError,), acks_late=False, should_dead_letter=False, queue="q")
def blocking(state: State, number: int) -> float:
    return number / 2


@app.task(cpu_bound=True, timeout=60)
def compute(number: int, *, base: int = 10) -> bytes:
    return b""


@app.task()
async def may_fail(state: State) -> int | TaskFailureResultType:
    return TaskFailureResult


async def regular(state: State, /, *numbers: int, **options: str) -> int:
    return sum(numbers)


app.register_async(regular, policy=RetryPolicy.default()).register_many_async([regular])


async def publishing() -> None:
    assert_type(await app.apply_async(bare, 1), TaskHandle[str])
    assert_type(await app.apply_async(bare, number=1), TaskHandle[str])
    assert_type(await app.apply_async(empty), TaskHandle[None])
    assert_type(await app.apply_async(full, 1, "x", flag=True), TaskHandle[list[int]])
    assert_type(await app.apply_async(blocking, 1), TaskHandle[float])
    assert_type(await app.apply_async(compute, 1, base=2), TaskHandle[bytes])
    assert_type(await app.apply_async(may_fail), TaskHandle[int | TaskFailureResultType])
    assert_type(await app.apply_async(regular, 1, 2, key="value"), TaskHandle[int])
    assert_type(await app.options(delay=5, queue="q").apply_async(bare, 1), TaskHandle[str])
    assert_type(app.create_task(bare, 1), TaskOf[str])
    assert_type(app.options(timeout=5).create_task(compute, 1), TaskOf[bytes])
    assert_type(app.create_task(bare, 1) >> app.create_task(empty), Task)
    assert_type(app.chain(app.create_task(bare, 1), app.create_task(empty), on_failure=app.create_task(empty)), Task)
    assert_type(Task.si(bare, 1, policy=RetryPolicy.default()), Task)
    assert_type(await app.publish_task(app.create_task(bare, 1), delay=5), TaskHandle[Any])
    assert_type(await app.publish_many([app.create_task(bare, 1)]), list[TaskHandle[Any]])
    assert_type(await app.publish_by_name("elsewhere", 1, key="value"), TaskHandle[Any])


async def following() -> None:
    handle = await app.apply_async(bare, 1)
    assert_type(await handle.result(timeout=5), str)
    assert_type(await handle.status(), TaskStatus)
    assert_type(await handle.info(), TaskResult)
    assert_type(await handle.cancel(), bool)
    await wider(handle)


async def wider(handle: TaskHandle[str | None]) -> None:
    """A handle is covariant."""
    assert_type(await handle.result(), str | None)


def in_a_graph() -> None:
    first = app.create_task(bare, 1)
    assert_type(first.result, str)
    assert_type(app.create_task(blocking, 1).result, float)
    assert_type(app.create_task(compute, 1).result, bytes)
    assert_type(app.create_task(empty).result, None)
    assert_type(app.create_task(may_fail).result, int)  # or it would have failed
    assert_type(Task.si(bare, 1).result, Any)
    second = app.create_task(full, app.create_task(regular).result, first.result)
    third = app.create_task(gather, [app.create_task(blocking, 1).result, app.create_task(blocking, 2).result])
    fourth = app.create_task(gather, PARENT_RESULTS)
    handler = app.create_task(empty)
    builder = TaskGraphBuilder()
    assert_type(builder.add(first, on_failure=handler).then(second), TaskGraphBuilder)
    builder.parallel(third, fourth, depends_on=[first, second.task_id], on_failure=handler)
    builder.add_chain(TaskChain(app.create_task(empty), on_any_failure=handler), depends_on=None)
    builder.sequence(app.create_task(empty)).on_failure(first.task_id, app.create_task(empty))
    builder.add(app.create_task(empty), depends_on=LAST_ADDED).on_all_failed(app.create_task(empty))
    graph = builder.build(graph_id="orders")
    assert_type(graph, TaskGraph)
    assert_type(graph.to_mermaid({first.task_id: "success"}), str)
    by_hand = TaskGraph()
    by_hand.add_task(first)
    by_hand.add_task(second, parent_ids=[first.task_id])
    takes_any(first)


async def gather(state: State, values: list[float]) -> float:
    return sum(values)


def takes_any(task: Task) -> TaskOf[object]:
    """A task of something is a task, and covariant."""
    assert_type(task.result, Any)
    return app.create_task(bare, 1)


def without_a_loop() -> None:
    assert_type(app.sync.apply(bare, 1), SyncHandle[str])
    assert_type(app.sync.apply(blocking, 1).result(timeout=5), float)
    assert_type(app.sync.apply(compute, 1, base=2).result(), bytes)
    assert_type(app.sync.options(delay=5).apply(full, 1).result(), list[int])
    with app.sync as client:
        assert_type(client.result(client.apply(empty)), None)


async def still_functions() -> None:
    """A decorated function can be called as if it were not."""
    assert_type(await bare(State(), 1), str)
    assert_type(blocking(State(), 1), float)
    assert_type(compute(1, base=2), bytes)


async def life() -> None:
    async with app as same:
        assert_type(same, Boilermaker)
    await app.run(concurrency=4, grace=5)
