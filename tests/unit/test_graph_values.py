"""Do results travel? From node to node, typed, in order, large and small; and out of the graph."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from pydantic import BaseModel

from boilermaker_fn import Boilermaker
from boilermaker_fn.errors import ArgumentError
from boilermaker_fn.graph.builder import TaskGraphBuilder
from boilermaker_fn.graph.references import PARENT_RESULTS
from boilermaker_fn.graph_errors import GraphFailed
from boilermaker_fn.graph_handle import GraphHandle
from boilermaker_fn.graph_progress.heads import GraphStatus
from boilermaker_fn.graph_progress.keys import GraphKey
from boilermaker_fn.outcomes import Reason
from boilermaker_fn.task import Task
from tests.stage import Stage, staged

KIB = 1024


class Order(BaseModel):
    number: int
    placed: datetime.datetime
    lines: list[str] = []


class Day(BaseModel):
    orders: list[Order]
    total: int


app = Boilermaker([])


@app.task
async def order(state: list[Any], number: int) -> Order:
    placed = datetime.datetime(2030, 1, 1, number % 24, tzinfo=datetime.UTC)
    return Order(number=number, placed=placed, lines=[f"line {number}"])


@app.task
async def day(state: list[Any], orders: list[Order], *, note: str = "") -> Day:
    assert all(isinstance(one, Order) for one in orders)
    state.append(orders)
    return Day(orders=orders, total=sum(one.number for one in orders))


@app.task
async def latest(state: list[Any], when: datetime.datetime, orders: tuple[Order, ...], of: Day) -> datetime.datetime:
    state.append((when, orders, of))
    return max(one.placed for one in orders)


@app.task
async def when(state: list[Any], one: Order) -> datetime.datetime:
    return one.placed


@app.task
async def echo(state: list[Any], value: Any = "nothing", *more: Any, **named: Any) -> Any:
    state.append([value, *more, named] if more or named else value)
    return value


@app.task
async def filled(state: list[Any], size: int) -> str:
    return "x" * (size - 2)  # two more are the quotes


@app.task
async def repeated(state: list[Any], text: str, times: int) -> str:
    return text * times


@app.task
async def length(state: list[Any], *texts: str) -> int:
    return sum(len(text) for text in texts)


@app.task
async def number(state: list[Any], value: int) -> int:
    return value


def task(fn: Any, *args: Any, **kwargs: Any) -> Task:
    return app.create_task(fn, *args, **kwargs)


@pytest.fixture
async def on_stage() -> Any:
    app.state.clear()
    async with staged(app) as stage:
        yield stage


async def played(stage: Stage, *tasks: Task, builder: TaskGraphBuilder | None = None) -> GraphHandle:
    """Publish tasks that follow one another by their references alone, and play them."""
    graph = (builder or TaskGraphBuilder().parallel(*tasks, depends_on=None)).build()
    handle = await app.publish_graph(graph)
    await stage.play()
    return handle


# -- types -------------------------------------------------------------------------------------------------------------


async def test_results_arrive_as_what_they_were(on_stage: Stage) -> None:
    orders = [task(order, number) for number in range(3)]
    summary = task(day, [one.result for one in orders], note="of three")
    first = task(when, orders[0].result)
    last = task(latest, first.result, [orders[2].result, orders[1].result], of=summary.result)
    handle = await played(on_stage, *orders, summary, first, last)
    expected = [Order(number=n, placed=datetime.datetime(2030, 1, 1, n, tzinfo=datetime.UTC), lines=[f"line {n}"])
                for n in range(3)]  # fmt: skip
    assert app.state[0] == expected
    assert app.state[1] == (expected[0].placed, (expected[2], expected[1]), Day(orders=expected, total=3))
    assert await handle.result() == expected[2].placed


async def test_the_graphs_value_is_revived_too(on_stage: Stage) -> None:
    one, two = task(order, 1), task(day, [])
    handle = await played(on_stage, one, two)
    first, second = await handle.result()
    assert (type(first), first.number, type(second), second.total) == (Order, 1, Day, 0)


async def test_what_does_not_fit_where_it_arrives_fails_the_node(on_stage: Stage) -> None:
    text = task(echo, "no number")
    handle = await played(on_stage, text, task(number, text.result))
    (failure,) = await handle.failures()
    assert (failure.function, failure.reason) == ("number", Reason.WrongArguments)
    assert "number(), parameter 'value'" in failure.message
    assert await on_stage.reasons() == [Reason.WrongArguments]


async def test_other_arguments_are_checked_when_the_graph_is_published(on_stage: Stage) -> None:
    source = task(echo)
    with pytest.raises(ArgumentError, match="unexpected keyword argument 'notes'"):
        await played(on_stage, source, task(day, source.result, notes=1))
    assert await on_stage.waiting() == []


async def test_none_is_a_result(on_stage: Stage) -> None:
    source = task(echo, None)
    last = task(echo, source.result, named=[source.result])
    handle = await played(on_stage, source, last)
    assert app.state == [None, [None, {"named": [None]}]]
    assert await handle.result() is None


# -- forms -------------------------------------------------------------------------------------------------------------


async def test_results_are_given_by_position_by_keyword_and_in_lists(on_stage: Stage) -> None:
    a, b = task(echo, "a"), task(echo, "b")
    last = task(echo, 1, a.result, [b.result, a.result, b.result], k=b.result, ks=[a.result], plain={"x": [2]})
    await played(on_stage, a, b, last)
    assert app.state[-1] == [1, "a", ["b", "a", "b"], {"k": "b", "ks": ["a"], "plain": {"x": [2]}}]


@pytest.mark.parametrize("count", [1, 3, 250])
async def test_the_results_of_all_parents_come_in_the_order_of_the_dependencies(on_stage: Stage, count: int) -> None:
    parts = [task(echo, number) for number in range(count)]
    builder = TaskGraphBuilder().parallel(*parts)
    builder.add(task(echo, PARENT_RESULTS), depends_on=[*reversed(parts)])
    handle = await played(on_stage, builder=builder)
    assert await handle.result() == [*reversed(range(count))]


async def test_a_node_takes_results_of_other_blocks_that_are_no_parents(on_stage: Stage) -> None:
    layers = [[task(echo, layer * 100 + number) for number in range(100)] for layer in range(3)]
    builder = TaskGraphBuilder()
    for layer in layers:
        builder.parallel(*layer)
    last = task(echo, layers[0][7].result, layers[1][99].result, [one.result for one in layers[2][::-50]])
    builder.add(last, depends_on=[layers[2][0]])
    await played(on_stage, builder=builder)
    assert app.state[-1] == [7, 199, [299, 249], {}]


async def test_a_handler_takes_results_of_what_came_before_the_failure(on_stage: Stage) -> None:
    source = task(echo, "before")
    bad = task(number, source.result)
    builder = TaskGraphBuilder().add(source).then(bad, on_failure=task(echo, "failed after", source.result))
    await played(on_stage, builder=builder)
    assert app.state[-1] == ["failed after", "before", {}]


async def test_a_retry_gets_its_arguments_again(on_stage: Stage) -> None:
    source = task(echo, "again")
    builder = TaskGraphBuilder().add(source).then(task(echo, source.result))
    handle = await app.publish_graph(builder.build())
    await on_stage.deliver()
    await on_stage.crash()
    await on_stage.play()
    assert app.state == ["again", "again"]
    assert (await handle.status()).status is GraphStatus.SUCCEEDED


# -- sizes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [256 * KIB, 300 * KIB, 5 * KIB * KIB, 8 * KIB * KIB])
async def test_a_large_result_goes_into_the_next_node_and_out_of_the_graph(on_stage: Stage, size: int) -> None:
    source, beside = task(filled, size), task(filled, 300 * KIB)
    builder = TaskGraphBuilder().parallel(source, beside).add(task(length, source.result, beside.result))
    handle = await played(on_stage, builder=builder)
    assert await handle.result() == size + 300 * KIB - 4
    assert (await handle.task(source)).result == "x" * (size - 2)
    builder = TaskGraphBuilder().add(task(filled, size))
    handle = await played(on_stage, builder=builder)
    assert await handle.result() == "x" * (size - 2)


async def test_bytes_count_and_not_characters(on_stage: Stage) -> None:
    source = task(repeated, "\u00fc", 4 * KIB * KIB)
    handle = await played(on_stage, source, task(length, source.result))
    (failure,) = await handle.failures()
    assert f"the result is {8 * KIB * KIB + 2} bytes" in failure.message
    source = task(repeated, "\u00fc", 4 * KIB * KIB - 1)
    handle = await played(on_stage, source, task(length, source.result))
    assert await handle.result() == 4 * KIB * KIB - 1


async def test_a_result_beyond_8_mib_fails_its_node_with_what_to_do(on_stage: Stage) -> None:
    source = task(filled, 8 * KIB * KIB + 1)
    handle = await played(on_stage, source, task(length, source.result))
    (failure,) = await handle.failures()
    assert (failure.reason, failure.error_type) == (
        Reason.ResultNotSerializable,
        "boilermaker_fn.errors.ResultTooLarge",
    )
    assert "return a reference" in failure.message
    with pytest.raises(GraphFailed):
        await handle.result()


async def test_parts_that_a_dead_attempt_left_are_not_mixed_with_those_of_the_next(on_stage: Stage) -> None:
    sizes = iter([5 * KIB * KIB, 2 * KIB * KIB])

    @app.task(name=f"shrinking-{id(sizes)}")
    async def shrinking(state: list[Any]) -> str:
        return "x" * next(sizes)

    source = task(shrinking)
    handle = await app.publish_graph(TaskGraphBuilder().add(source).then(task(length, source.result)).build())
    table = on_stage.engine.table
    assert table is not None
    (delivery,) = await on_stage.engine.inbox("tasks").receive(1, 0)
    with pytest.MonkeyPatch.context() as patch:
        write = table.write
        writes = []

        async def dying(operations: Any) -> list[str]:
            writes.append(operations)
            if len(writes) == 4:  # the claim, and two of six parts
                raise MemoryError
            return await write(operations)

        patch.setattr(table, "write", dying)
        with pytest.raises(MemoryError):
            await on_stage.runner.handle(delivery)
    on_stage.clock.now = delivery.locked_until
    await on_stage.play()
    assert await handle.result() == 2 * KIB * KIB


# -- nodes that became graphs ------------------------------------------------------------------------------------------


async def test_the_result_of_a_map_is_an_argument_like_any_other(on_stage: Stage) -> None:
    numbers = task(echo, [3, 1, 2])
    orders = app.create_map(order, numbers.result)
    summary = task(day, orders.result)
    handle = await played(on_stage, numbers, orders, summary)
    result = await handle.result()
    assert isinstance(result, Day)
    assert [one.number for one in result.orders] == [3, 1, 2]


async def test_parents_that_became_graphs_are_gathered_with_the_others(on_stage: Stage) -> None:
    @app.task(name=f"nest-{id(on_stage)}")
    async def nest(state: list[Any], value: int) -> Any:
        return TaskGraphBuilder().add(task(filled, 300 * KIB)).then(task(echo, value)).build()

    parts = [task(echo, 1), app.create_map(number, [2, 3]), task(nest, 4), app.create_map(number, [])]
    handle = await played(on_stage, builder=TaskGraphBuilder().parallel(*parts).add(task(echo, PARENT_RESULTS)))
    assert await handle.result() == [1, [2, 3], 4, []]


async def test_the_rows_of_a_large_result_lie_beside_its_node(on_stage: Stage) -> None:
    source = task(filled, 2 * KIB * KIB)
    handle = await played(on_stage, source)
    table, graph = on_stage.engine.table, GraphKey(handle.graph_id)
    assert table is not None
    found = [entity.row for entity in (await table.query(graph.block_partition(0))).entities]
    assert found[-1] == "node-00"
    assert len(found) == 4  # three parts of at most 896 KiB
