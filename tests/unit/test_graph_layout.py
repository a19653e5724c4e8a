"""Where the tasks of a graph go, and what each node knows of those that wait for it, against the plainest reckoning."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boilermaker_fn.envelopes import decode
from boilermaker_fn.graph.plan import Input, Plan, Step
from boilermaker_fn.graph_progress import inputs
from boilermaker_fn.graph_progress.children import Children, decoded, encoded, falling
from boilermaker_fn.graph_progress.keys import BLOCK, CALLBACK, block_of, place_of
from boilermaker_fn.graph_progress.layout import Layout, callback_of, callback_row, laid_out, roots_of, rows_of
from boilermaker_fn.graph_progress.rows import NodeRow
from boilermaker_fn.task import Task, TaskGraphBuilder
from tests.unit.random_graphs import Program, random_plan


class Known(NamedTuple):
    """What a node knows of one that waits for it."""

    mask: int
    blocks: int
    guard: bool
    below: frozenset[int]
    queue: str | None
    delay: float


def all_rows(layout: Layout) -> list[NodeRow]:
    return [row for block in range(len(layout.blocks)) for row in rows_of(layout, block)]


def reckoned(layout: Layout) -> dict[int, dict[int, Known]]:
    """For each number, by the numbers of those that wait for it, what it is to know."""
    steps, numbers = layout.plan.steps, layout.numbers
    falls: dict[int, set[int]] = defaultdict(set)  # all that cannot run if this one does not
    for index in reversed(range(len(steps))):
        for parent in steps[index].parents:
            falls[parent] |= {index} | falls[index]
    found: dict[int, dict[int, Known]] = {number: {} for number in numbers}
    for index, step in enumerate(steps):
        number = numbers[index]
        before = [numbers[one] for one in step.parents or step.guards]
        below = {numbers[one] for one in falls[index] if block_of(numbers[one]) == block_of(number)}
        for one in before:
            mask = sum(1 << place_of(other) for other in before if block_of(other) == block_of(one))
            blocks = len({block_of(other) for other in before})
            queue = None if step.task.queue == layout.queue else step.task.queue
            found[one][number] = Known(mask, blocks, bool(step.guards), frozenset(below), queue, step.task.delay)
    return found


def known(row: NodeRow) -> dict[int, Known]:
    found: dict[int, Known] = {}
    for one in row.children:
        for number in one.numbers:
            assert number not in found
            below = frozenset(falling(number, one.below)) - {number}
            found[number] = Known(one.mask, one.blocks, one.guard, below, one.queue, one.delay)
    return found


def check(plan: Plan) -> None:
    """All that must be true of every layout."""
    layout = laid_out(plan, "home")
    rows = all_rows(layout)
    by_number = {row.number: row for row in rows}
    assert len(rows) == len(by_number) == len(plan.steps)
    for block in range(len(layout.blocks)):
        places = [place_of(row.number) for row in rows_of(layout, block)]
        assert places == [*range(len(places))]
        assert 1 <= len(places) <= BLOCK
        assert {block_of(row.number) for row in rows_of(layout, block)} == {block}
        assert {row.size for row in rows_of(layout, block)} == {len(places)}
    reckoning = reckoned(layout)
    for index, step in enumerate(plan.steps):
        row = by_number[layout.numbers[index]]
        assert decode(row.task) == step.task
        assert (row.task_id, row.function, row.home) == (step.task.task_id, step.task.function_name, "home")
        assert row.root == (not step.parents and not step.guards)
        assert (row.guarded is not None) == bool(step.guards)
        assert row.guarded is None or row.guarded in {layout.numbers[guarded] for guarded in step.guards}
        assert known(row) == reckoning[row.number]
        assert decoded(encoded(row.children)) == row.children
        given = [
            Input(one.slot, tuple(layout.numbers.index(number) for number in one.numbers), one.many)
            for one in inputs.decoded(row.inputs)
        ]
        assert tuple(given) == step.inputs
    assert [root.first for root in roots_of(layout)] == [
        number for number, step in zip(layout.numbers, plan.steps, strict=True) if not step.parents and not step.guards
    ]
    finals = [number for run in inputs.decoded_runs(layout.finals) for number in run.numbers]
    assert finals == [layout.numbers[step] for step in plan.finals]


@given(st.randoms(use_true_random=False), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_layouts_of_what_builders_build(random: random.Random, calls: int) -> None:
    program = Program(random, calls)
    try:
        plan = program.builder.build().plan()
    except ValueError:
        return  # results that cannot be there
    check(plan)


@pytest.mark.parametrize("seed", range(40))
def test_layouts_of_large_graphs(seed: int) -> None:
    rng = random.Random(seed)
    check(random_plan(rng, rng.choice([99, 100, 101, 250, 450])))


def many(count: int, prefix: str = "t") -> list[Task]:
    return [Task(function_name="work", task_id=f"{prefix}{number}") for number in range(count)]


def test_a_handler_stands_in_the_block_of_the_only_one_that_it_guards() -> None:
    tasks = many(333)
    builder = TaskGraphBuilder().parallel(*tasks)
    for task, handler in zip(tasks, many(333, "h"), strict=True):
        handler.on_failure = Task(function_name="last", task_id=f"l{handler.task_id}")
        builder.on_failure(task, handler)
    plan = builder.build().plan()
    check(plan)
    layout = laid_out(plan, "home")
    for index, step in enumerate(plan.steps):
        for guarded in step.guards:
            assert block_of(layout.numbers[guarded]) == block_of(layout.numbers[index])


def test_more_handlers_of_one_task_than_a_block_holds() -> None:
    (task,) = many(1)
    builder = TaskGraphBuilder().add(task)
    for handler in many(250, "h"):
        builder.on_failure(task, handler)
    plan = builder.build().plan()
    check(plan)
    assert [len(block) for block in laid_out(plan, "home").blocks] == [100, 100, 51]


def test_children_that_are_alike_take_little_room() -> None:
    first, last = many(2, "x")
    plan = TaskGraphBuilder().add(first).parallel(*many(10_000)).then(last).build().plan()
    rows = all_rows(laid_out(plan, "home"))
    assert len(rows[0].children) == 2  # the last of them stands beside what waits for it, and knows that it falls too
    assert max(len(encoded(row.children)) for row in rows) < 100
    results = [step.task.result for step in plan.steps]
    gather = Task(function_name="sum", task_id="g", payload={"args": [results[1:-1]], "kwargs": {}})
    plan = TaskGraphBuilder().parallel(*[step.task for step in plan.steps]).then(gather).build().plan()
    assert len(all_rows(laid_out(plan, "home"))[-1].inputs) < 100


def test_a_callback_is_no_row_of_a_block() -> None:
    alarm = Task(function_name="alarm", task_id="a", queue="alarms", delay=3)
    layout = laid_out(TaskGraphBuilder().add(*many(1)).build(alarm).plan(), "home")
    row, sent = callback_row(layout), callback_of(layout)
    assert row is not None
    assert sent == Children(CALLBACK, queue="alarms", delay=3)
    assert (row.number, row.task_id, decode(row.task)) == (CALLBACK, "a", layout.plan.callback)
    assert [row.number for row in all_rows(layout)] == [0]
    bare = laid_out(TaskGraphBuilder().add(*many(1)).build().plan(), "home")
    assert (callback_row(bare), callback_of(bare)) == (None, None)


def test_a_build_says_what_a_graph_does_not_what_its_ids_are() -> None:
    def build(prefix: str, argument: int = 1, *, handler: bool = False) -> str:
        a, b, h = (Task(function_name="work", task_id=prefix + name) for name in "abh")
        b.payload = {"args": [argument], "kwargs": {}}
        builder = TaskGraphBuilder().add(a).then(b, on_failure=h if handler else None)
        return laid_out(builder.build(graph_id="day").plan(), "home").build

    assert build("x") == build("y")
    assert len({build("x"), build("x", 2), build("x", handler=True)}) == 3


@given(st.lists(st.integers(0, 40)))
def test_runs_keep_every_number_in_order(numbers: list[int]) -> None:
    runs = inputs.runs_of(numbers)
    assert [number for run in inputs.decoded_runs(inputs.encoded_runs(runs)) for number in run.numbers] == numbers


def test_many_children_are_one_range() -> None:
    plan = Plan("g", tuple(Step(task, parents=(0,) if number else ()) for number, task in enumerate(many(20_000))))
    layout = laid_out(plan, "home")
    assert len(layout.blocks) == 200
    assert [one.numbers for one in layout.children[0]] == [range(1, 20_000)]
