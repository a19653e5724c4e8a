"""The builder: where its cursor stands, what it refuses at once, and that a refusal changes nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import pytest

from boilermaker_fn.errors import BoilermakerAppException
from boilermaker_fn.graph_errors import GraphError
from boilermaker_fn.task import LAST_ADDED, Task, TaskChain, TaskGraph, TaskGraphBuilder


def tasks(names: str) -> list[Task]:
    """A task for each letter, with the letter as its name and its id."""
    return [Task(function_name=name, task_id=name) for name in names]


def edges(graph: TaskGraph) -> dict[str, str]:
    """What each task waits for, by name: `ab` for parents, `!ab` for those that a handler guards."""
    steps = graph.plan().steps
    names = [step.task.task_id for step in steps]

    def joined(numbers: Iterable[int]) -> str:
        return "".join(sorted(names[number] for number in numbers))

    return {
        name: f"!{joined(step.guards)}" if step.guards else joined(step.parents)
        for name, step in zip(names, steps, strict=True)
    }


def test_then_follows_what_was_added_last() -> None:
    a, b, c = tasks("abc")
    assert edges(TaskGraphBuilder().add(a).then(b).then(c).build()) == {"a": "", "b": "a", "c": "b"}


def test_add_follows_too_unless_it_depends_on_nothing() -> None:
    a, b, c, d = tasks("abcd")
    builder = TaskGraphBuilder().add(a).add(b, depends_on=LAST_ADDED).add(c, depends_on=None).add(d)
    assert edges(builder.build()) == {"a": "", "b": "a", "c": "", "d": "c"}


def test_an_empty_list_is_no_dependency_either() -> None:
    a, b, c = tasks("abc")
    assert edges(TaskGraphBuilder().add(a).add(b, depends_on=[]).then(c).build()) == {"a": "", "b": "", "c": "b"}


def test_what_follows_parallel_tasks_follows_all_of_them() -> None:
    a, b, c, d, e = tasks("abcde")
    built = TaskGraphBuilder().add(a).parallel(b, c).parallel(d, e).build()
    assert edges(built) == {"a": "", "b": "a", "c": "a", "d": "bc", "e": "bc"}


def test_parallel_depends_on_what_is_said() -> None:
    a, b, c, d = tasks("abcd")
    assert edges(TaskGraphBuilder().add(a).parallel(b, c, depends_on=None).then(d).build())["d"] == "bc"
    assert edges(TaskGraphBuilder().add(a).add(b).parallel(c, d, depends_on=[a]).build())["c"] == "a"


def test_dependencies_are_tasks_ids_and_chains() -> None:
    a, b, c, d, e = tasks("abcde")
    chain = TaskChain(b, c)
    builder = TaskGraphBuilder().add(a).add_chain(chain).add(d, depends_on=None)
    assert edges(builder.add(e, depends_on=[d, "a", chain, d]).build())["e"] == "acd"


def test_a_chain_follows_and_is_followed() -> None:
    a, b, c, d = tasks("abcd")
    built = TaskGraphBuilder().add(a).add_chain(TaskChain(b, c)).then(d).build()
    assert edges(built) == {"a": "", "b": "a", "c": "b", "d": "c"}


def test_independent_chains_gather_at_the_cursor() -> None:
    a, b, c, d, e = tasks("abcde")
    builder = TaskGraphBuilder().add_chain(TaskChain(a, b), depends_on=None).add_chain(TaskChain(c, d), depends_on=None)
    assert edges(builder.then(e).build()) == {"a": "", "b": "a", "c": "", "d": "c", "e": "bd"}


def test_an_independent_chain_joins_what_was_there() -> None:
    a, b, c, d = tasks("abcd")
    builder = TaskGraphBuilder().parallel(a, b).add_chain(TaskChain(c), depends_on=None)
    assert edges(builder.then(d).build())["d"] == "abc"


def test_a_chain_with_dependencies_replaces_the_cursor() -> None:
    a, b, c, d = tasks("abcd")
    builder = TaskGraphBuilder().parallel(a, b).add_chain(TaskChain(c), depends_on=[a]).then(d)
    assert edges(builder.build()) == {"a": "", "b": "", "c": "a", "d": "c"}


def test_a_cursor_is_not_changed_by_what_is_added_to_it_later() -> None:
    a, b, c, d = tasks("abcd")
    builder = TaskGraphBuilder().add_chain(TaskChain(a), depends_on=None).parallel(b, c)
    assert edges(builder.add_chain(TaskChain(d), depends_on=None).build()) == {"a": "", "b": "a", "c": "a", "d": ""}


def test_a_sequence_follows_and_is_followed() -> None:
    a, b, c, d = tasks("abcd")
    assert edges(TaskGraphBuilder().add(a).sequence(b, c).then(d).build()) == {"a": "", "b": "a", "c": "b", "d": "c"}


def test_a_sequence_of_nothing_is_nothing() -> None:
    a, b = tasks("ab")
    assert edges(TaskGraphBuilder().add(a).sequence().then(b).build()) == {"a": "", "b": "a"}


def test_a_chain_knows_its_ends() -> None:
    a, b, c = tasks("abc")
    chain = TaskChain(a, b, on_any_failure=c)
    assert (len(chain), [*chain], chain.head, chain.last, chain.on_any_failure) == (2, [a, b], a, b, c)


def test_both_forms_of_on_failure_mean_the_same_and_leave_the_cursor() -> None:
    a, b, h = tasks("abh")
    expected = {"a": "", "b": "a", "h": "!a"}
    assert edges(TaskGraphBuilder().add(a, on_failure=h).then(b).build()) == expected
    assert edges(TaskGraphBuilder().add(a).on_failure("a", h).then(b).build()) == expected
    assert edges(TaskGraphBuilder().add(a).on_failure(a, h).on_failure(a, h).then(b).build()) == expected


def test_then_takes_a_handler() -> None:
    a, b, h = tasks("abh")
    assert edges(TaskGraphBuilder().add(a).then(b, on_failure=h).build()) == {"a": "", "b": "a", "h": "!b"}


def test_one_handler_of_several_tasks_is_one() -> None:
    a, b, c, d, h = tasks("abcdh")
    builder = TaskGraphBuilder().parallel(a, b, on_failure=h).add_chain(TaskChain(c, d, on_any_failure=h))
    assert edges(builder.build())["h"] == "!abcd"


def test_a_task_can_have_several_handlers() -> None:
    a, g, h = tasks("agh")
    assert edges(TaskGraphBuilder().add(a, on_failure=g).on_failure("a", h).build()) == {"a": "", "g": "!a", "h": "!a"}


def test_others_can_depend_on_a_handler() -> None:
    a, b, h = tasks("abh")
    built = TaskGraphBuilder().add(a, on_failure=h).add(b, depends_on=[h]).build()
    assert edges(built) == {"a": "", "h": "!a", "b": "h"}


def test_the_all_failed_callback_is_no_step() -> None:
    a, alarm = tasks("ax")
    for built in (
        TaskGraphBuilder().add(a).on_all_failed(alarm).build(),
        TaskGraphBuilder().add(a).build(on_all_failed=alarm),
    ):
        plan = built.plan()
        assert (len(plan.steps), plan.callback and plan.callback.task_id) == (1, "x")


def test_a_builder_goes_on_after_it_has_built() -> None:
    a, b = tasks("ab")
    builder = TaskGraphBuilder().add(a)
    first = builder.build()
    second = builder.then(b).build()
    assert (edges(first), edges(second)) == ({"a": ""}, {"a": "", "b": "a"})
    assert first.graph_id != second.graph_id


def test_a_graph_has_the_id_that_it_is_given() -> None:
    assert TaskGraphBuilder().add(*tasks("a")).build(graph_id="day-17").graph_id == "day-17"


@pytest.mark.parametrize("graph_id", ["", "x" * 65, "a/b", 7])
def test_an_id_that_cannot_be_one_is_refused(graph_id: Any) -> None:
    with pytest.raises(GraphError, match="graph_id"):
        TaskGraphBuilder().add(*tasks("a")).build(graph_id=graph_id)


A, B, H, NEW = tasks("abhn")


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (lambda builder: builder.add(A), r"task a \(a\) is in this graph already"),
        (lambda builder: builder.parallel(NEW, A), r"a \(a\) is in this graph already"),
        (lambda builder: builder.parallel(NEW, NEW), r"n \(n\) is in this graph already"),
        (lambda builder: builder.sequence(NEW, NEW), r"n \(n\) is in this graph already"),
        (lambda builder: builder.add_chain(TaskChain(NEW, A)), r"a \(a\) is in this graph already"),
        (lambda builder: builder.add(H), r"h \(h\) is in this graph already"),
        (lambda builder: builder.add(NEW, on_failure=B), r"b \(b\) cannot both handle failures and follow"),
        (lambda builder: builder.add(NEW, on_failure=NEW), r"n \(n\) cannot handle its own failure"),
        (lambda builder: builder.add(NEW, on_failure=H.model_copy()), r"h \(h\) is in this graph already"),
        (lambda builder: builder.on_failure("a", B), r"b \(b\) cannot both"),
        (lambda builder: builder.on_failure("nobody", NEW), "'nobody' is not in this graph: add it before"),
        (lambda builder: builder.add(NEW, depends_on=["nobody"]), "'nobody' is not in this graph: add it before"),
        (lambda builder: builder.parallel(NEW, depends_on=tasks("z")), "'z' is not in this graph"),
        (lambda builder: builder.add_chain(TaskChain(NEW), depends_on=["a", "z"]), "'z' is not in this graph"),
        (lambda builder: builder.add(NEW, depends_on=A), "depends_on is Task<a: a>: it must be a list"),
        (lambda builder: builder.add(NEW, depends_on="a"), "depends_on is 'a': it must be a list"),
        (lambda builder: builder.add(NEW, depends_on=[7]), "7 is no task, no id of one and no chain"),
        (lambda builder: builder.add(print), "is no task: make it one with app.create_task"),
        (lambda builder: builder.add(NEW, on_failure=print), "is no task"),
        (lambda builder: builder.add_chain(TaskChain(NEW, print)), "is no task"),
        (lambda builder: builder.parallel(), "at least one task"),
        (lambda builder: builder.add_chain(TaskChain()), "at least one task"),
        (lambda builder: builder.on_all_failed(A), r"a \(a\) is in this graph already"),
        (lambda builder: builder.on_all_failed(NEW).on_all_failed(NEW), "on_all_failed is set already"),
    ],
)
def test_a_refusal_comes_at_once_and_changes_nothing(refused: Callable[[Any], Any], why: str) -> None:
    builder = TaskGraphBuilder().add(A, on_failure=H).then(B)
    with pytest.raises(GraphError, match=why) as caught:
        refused(builder)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, BoilermakerAppException)
    (last,) = tasks("l")
    assert edges(builder.then(last).build()) == {"a": "", "b": "a", "h": "!a", "l": "b"}


def test_then_needs_something_to_follow() -> None:
    with pytest.raises(GraphError, match="nothing to follow"):
        TaskGraphBuilder().then(*tasks("a"))


def test_an_empty_graph_is_refused() -> None:
    with pytest.raises(GraphError, match="at least one task"):
        TaskGraphBuilder().build()


def test_the_callback_is_said_once() -> None:
    a, x, y = tasks("axy")
    with pytest.raises(GraphError, match="say it once"):
        TaskGraphBuilder().add(a).on_all_failed(x).build(on_all_failed=y)


def test_a_handler_that_comes_round_is_refused_with_the_path() -> None:
    a, b, c, h = tasks("abch")
    builder = TaskGraphBuilder().add(a, on_failure=h).add(b, depends_on=[h]).then(c, on_failure=h)
    with pytest.raises(GraphError, match=r"h \(h\) -> b \(b\) -> c \(c\) -> h \(h\)") as caught:
        builder.build()
    assert caught.value.task_ids == ["h", "b", "c", "h"]


# -- by hand


def test_by_hand_the_order_does_not_matter() -> None:
    a, b, h = tasks("abh")
    graph = TaskGraph()
    graph.add_failure_callback("b", h)
    graph.add_task(b, ["a", "a"])
    graph.add_task(a)
    assert edges(graph) == {"a": "", "b": "a", "h": "!b"}


def test_by_hand_a_circle_is_refused_and_the_graph_unchanged() -> None:
    a, b, c = tasks("abc")
    graph = TaskGraph()
    graph.add_task(b, ["a"])
    graph.add_task(c, ["b"])
    with pytest.raises(GraphError, match=r"a \(a\) -> b \(b\) -> c \(c\) -> a \(a\)") as caught:
        graph.add_task(a, ["c"])
    assert caught.value.task_ids == ["a", "b", "c", "a"]
    graph.add_task(a)
    assert edges(graph) == {"a": "", "b": "a", "c": "b"}


def test_by_hand_a_handler_of_what_follows_it_is_refused() -> None:
    a, b, h = tasks("abh")
    graph = TaskGraph()
    graph.add_task(a)
    graph.add_failure_callback("a", h)
    graph.add_task(b, ["h"])
    with pytest.raises(GraphError, match=r"h \(h\) -> b \(b\) -> h \(h\)"):
        graph.add_failure_callback("b", h)
    assert edges(graph) == {"a": "", "h": "!a", "b": "h"}


def test_by_hand_nothing_waits_for_itself() -> None:
    (a,) = tasks("a")
    graph = TaskGraph()
    with pytest.raises(GraphError, match=r"a \(a\) -> a \(a\)"):
        graph.add_task(a, ["a"])
    with pytest.raises(GraphError, match=r"a \(a\) -> a \(a\)"):
        graph.add_failure_callback("a", a)


def test_by_hand_a_task_is_added_once() -> None:
    a, b, h, x, y = tasks("abhxy")
    graph = TaskGraph()
    graph.add_task(a)
    graph.add_failure_callback("a", h)
    graph.add_all_failed_callback(x)
    for add in (
        lambda: graph.add_task(a, []),
        lambda: graph.add_task(h),
        lambda: graph.add_task(x),
        lambda: graph.add_failure_callback("a", x),
        lambda: graph.add_failure_callback("h", a),
        lambda: graph.add_all_failed_callback(y),
    ):
        with pytest.raises(GraphError, match=r"already|cannot both"):
            add()
    graph.add_task(b, ["a"])
    assert edges(graph) == {"a": "", "h": "!a", "b": "a"}


def test_a_callback_is_no_task_of_the_graph() -> None:
    (a,) = tasks("a")
    graph = TaskGraph()
    graph.add_task(a)
    with pytest.raises(GraphError, match="already"):
        graph.add_all_failed_callback(a)


def test_by_hand_what_is_missing_is_found_when_it_is_checked() -> None:
    a, h = tasks("ah")
    graph = TaskGraph()
    graph.add_task(a, ["nobody"])
    with pytest.raises(GraphError, match=r"task a \(a\) waits for 'nobody', which is not in this graph"):
        graph.check()
    graph = TaskGraph()
    graph.add_failure_callback("nobody", h)
    with pytest.raises(GraphError, match=r"task h \(h\) waits for 'nobody'"):
        graph.plan()


# -- size


def test_a_hundred_thousand_in_a_row() -> None:
    plan = TaskGraphBuilder().sequence(*many(100_000)).build().plan()
    assert [step.parents for step in plan.steps] == [(), *((number,) for number in range(99_999))]


def test_a_hundred_thousand_side_by_side() -> None:
    first, last, handler = tasks("flh")
    builder = TaskGraphBuilder().add(first).parallel(*many(100_000), on_failure=handler).then(last)
    plan = builder.build().plan()
    assert len(plan.steps) == 100_003
    by_id = {step.task.task_id: step for step in plan.steps}
    assert len(by_id["l"].parents) == len(by_id["h"].guards) == 100_000


def test_many_chains_gather() -> None:
    builder = TaskGraphBuilder()
    for task in many(20_000):
        builder.add_chain(TaskChain(task), depends_on=None)
    assert len(builder.then(*tasks("l")).build().plan().steps[-1].parents) == 20_000


def test_layers_share_what_they_wait_for() -> None:
    plan = TaskGraphBuilder().parallel(*many(1000)).parallel(*many(1000, "z")).build().plan()
    assert len(plan.steps[1000].parents) == 1000
    assert len({id(step.parents) for step in plan.steps[1000:]}) == 1


@lru_cache
def many(count: int, prefix: str = "t") -> list[Task]:
    """Tasks, with numbers for ids."""
    return [Task(function_name="work", task_id=f"{prefix}{number}") for number in range(count)]


def test_an_app_that_builds_no_graph_loads_none() -> None:
    code = (
        "import sys, boilermaker_fn; boilermaker_fn.Boilermaker().create_task\n"
        "loaded = [name for name in sys.modules if name.startswith('boilermaker_fn.graph.')]\n"
        "from boilermaker_fn.task import TaskGraphBuilder\n"
        "print(loaded, 'boilermaker_fn.graph.builder' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[] True"


def test_what_is_not_there_is_not_there() -> None:
    import boilermaker_fn.task

    with pytest.raises(AttributeError, match="nonsense"):
        boilermaker_fn.task.nonsense  # noqa: B018
