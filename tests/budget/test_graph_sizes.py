"""Does the cost of a graph grow with its size, and with nothing else? Whole graphs, published and run to their end."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

import pytest

from boilermaker_fn.graph_progress.heads import GraphStatus
from boilermaker_fn.task import TaskGraphBuilder
from tests.budget.counted import Cost
from tests.budget.graph_till import GraphTill

SIZES = (10, 100, 1_000, pytest.param(10_000, marks=pytest.mark.slow))
#: How many deliveries are under way at once: as many as a worker has places.
AT_ONCE = 16


class Shape(NamedTuple):
    """A graph of so many tasks, and how many arrivals and blocks of results it has (see docs/budget.md)."""

    built: Callable[[GraphTill, int], TaskGraphBuilder]
    arrivals: Callable[[int], int]
    results: Callable[[int], int]


def _chain(till: GraphTill, size: int) -> TaskGraphBuilder:
    return till.sequence(*till.tasks(size))


def _fan(till: GraphTill, size: int) -> TaskGraphBuilder:
    """One, then all but two, then one that gathers their results."""
    tasks = till.tasks(size - 2)
    last = till.task(None, [one.result for one in tasks])
    return TaskGraphBuilder().add(till.task()).parallel(*tasks).then(last)


def _diamonds(till: GraphTill, size: int) -> TaskGraphBuilder:
    """One, then two beside each other, then one for which both wait, and so on."""
    graph = TaskGraphBuilder().add(till.task())
    for _ in range(size // 3):
        graph.parallel(*till.tasks(2)).then(till.task())
    return graph


def _blocks_before_the_last(size: int) -> int:
    return ceil((size - 1) / 100)


def _several(blocks: int) -> int:
    """Nobody needs to be told of arrivals who waits for one block alone."""
    return blocks if blocks > 1 else 0


def _torn_diamonds(size: int) -> int:
    """Whose two sides, which have the numbers 3i + 1 and 3i + 2, lie in two blocks."""
    return sum(number % 100 == 99 for number in range(1, size - 1, 3))


SHAPES = {
    "chain": Shape(_chain, lambda size: 0, lambda size: 0),
    "fan": Shape(_fan, lambda size: _several(_blocks_before_the_last(size)), _blocks_before_the_last),
    "diamonds": Shape(_diamonds, lambda size: 2 * _torn_diamonds(size), lambda size: 0),
}


async def cost_of(shape: str, size: int, *, at_once: int = 1) -> Cost:
    """What it costs to publish and run a graph of this shape, to its end."""
    till = GraphTill()
    with till.app.shell.rewired(till.wiring):
        handle = await till.publish(SHAPES[shape].built(till, size))
        while await till.deliver_some(at_once):
            pass
        spent = Cost() + till.spent
        state = await handle.status()
        assert (state.status, state.succeeded) == (GraphStatus.SUCCEEDED, size)
        await till.engine.close()
    return spent


def operations(shape: str, size: int) -> int:
    """What docs/budget.md allows at the table."""
    blocks = ceil(size / 100)
    publishing = 1 + blocks + 2
    running = 4 * size + 2 * blocks + 1
    return publishing + running + 2 * SHAPES[shape].arrivals(size) + SHAPES[shape].results(size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_graph_costs_about_four_operations_a_task(shape: str, size: int) -> None:
    cost = await cost_of(shape, size)
    assert cost.at_the_table == operations(shape, size) <= 4.2 * size + 20
    assert cost.messages == size + 1, "one for each, and one for the watchdog"


@pytest.mark.parametrize("shape", SHAPES)
def test_a_hundred_times_the_tasks_cost_no_more_each(shape: str) -> None:
    assert operations(shape, 10_000) / 10_000 <= 1.05 * operations(shape, 100) / 100


@pytest.mark.parametrize("shape", SHAPES)
async def test_whoever_ends_in_the_same_moment_does_no_more_than_look_for_all(shape: str) -> None:
    """All who see that nobody of a block is left say so, and look what is left elsewhere; one would do."""
    size = 1_000
    cost = await cost_of(shape, size, at_once=AT_ONCE)
    seen_by_others = (AT_ONCE - 1) * ceil(size / 100)
    assert operations(shape, size) <= cost.at_the_table <= operations(shape, size) + 4 * seen_by_others
