"""A plan: everything that follows unfolded, checked as a whole, and numbered."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from boilermaker_fn import Boilermaker
from boilermaker_fn.errors import AlreadyPublished, ArgumentError
from boilermaker_fn.follow_ups import followers
from boilermaker_fn.graph.certainty import Question, answered
from boilermaker_fn.graph.plan import Input, Plan
from boilermaker_fn.graph_errors import GraphError
from boilermaker_fn.ids import NullTaskId
from boilermaker_fn.publishing import prepared, prepared_alone
from boilermaker_fn.task import PARENT_RESULTS, Task, TaskChain, TaskGraph, TaskGraphBuilder, TaskStatus
from tests.unit.random_graphs import Program, waits_of


def make(name: str, *args: Any, **fields: Any) -> Task:
    """A task whose name is its id."""
    return Task(function_name=name, task_id=name, payload={"args": list(args), "kwargs": {}}, **fields)


def tasks(names: str) -> list[Task]:
    return [make(name) for name in names]


def plan_of(*roots: Task) -> Plan:
    return TaskGraphBuilder().parallel(*roots).build().plan()


def edges(plan: Plan) -> dict[str, str]:
    """What each task waits for, by name: `ab` for parents, `!ab` for those that a handler guards."""
    waits = waits_of(plan)
    return {
        **{name: "".join(sorted(parents)) for name, parents in waits.parents.items()},
        **{name: "!" + "".join(sorted(guards)) for name, guards in waits.guards.items()},
    }


@given(st.randoms(use_true_random=False), st.integers(1, 12))
@settings(max_examples=300, deadline=None)
def test_a_plan_is_what_the_builder_was_told(random: random.Random, calls: int) -> None:
    program = Program(random, calls)
    try:
        plan = program.builder.build().plan()
    except GraphError as error:
        assume("runs only if that one has failed" not in str(error))
        raise
    assert waits_of(plan) == program.waits
    for number, step in enumerate(plan.steps):
        assert all(earlier < number for earlier in (*step.parents, *step.guards))
        assert not (step.parents and step.guards)
        assert followers(step.task, TaskStatus.Success) == followers(step.task, TaskStatus.Failure) == []
        assert step.task.graph_id == plan.graph_id
        assert set(step.parents) >= {source for one in step.inputs for source in one.sources}
    assert {plan.steps[final].task.task_id for final in plan.finals} == ends(program.waits.parents)
    assert plan.many == (len(plan.finals) != 1)


def ends(parents: dict[str, set[str]]) -> set[str]:
    """Those that run when nothing fails, without those that another such waits for."""
    running: set[str] = set()
    while more := {task_id for task_id, before in parents.items() if before <= running} - running:
        running |= more
    return running - {earlier for task_id in running for earlier in parents[task_id]}


# -- callbacks


def test_what_follows_a_success_is_a_child() -> None:
    a, b, c = tasks("abc")
    a >> b >> c
    assert edges(plan_of(a)) == {"a": "", "b": "a", "c": "b"}


def test_what_follows_several_is_a_child_of_all() -> None:
    a, b, c = tasks("abc")
    a.on_success = b.on_success = c
    assert edges(plan_of(a, b))["c"] == "ab"


def test_a_callback_that_was_added_too_is_one_step() -> None:
    a, b, c = tasks("abc")
    a >> b >> c
    plan = TaskGraphBuilder().add(a).then(b).add(c, depends_on=[a]).build().plan()
    assert edges(plan) == {"a": "", "b": "a", "c": "ab"}


def test_a_handler_and_what_follows_it() -> None:
    a, h, g, c = tasks("ahgc")
    a.on_failure, h.on_failure, h.on_success = h, g, c
    assert edges(plan_of(a)) == {"a": "", "h": "!a", "g": "!h", "c": "h"}


def test_a_handler_of_several_tasks_is_one_step() -> None:
    a, b, h, c = tasks("abhc")
    a.on_failure = b.on_failure = h
    h >> c
    plan = TaskGraphBuilder().parallel(a, b, on_failure=h).build().plan()
    assert edges(plan) == {"a": "", "b": "", "h": "!ab", "c": "h"}


def test_a_chain_runs_after_its_task_and_shares_a_handler() -> None:
    app = Boilermaker()
    a, b, c, g, h = tasks("abcgh")
    b.on_failure = g
    head = app.chain(a, b, c, on_failure=h)
    assert edges(plan_of(head)) == {"a": "", "b": "a", "c": "b", "g": "!b", "h": "!ac"}


def test_a_chain_in_a_chain_comes_before_the_rest() -> None:
    a, b, c, d, h, i = tasks("abcdhi")
    a.chain, a.chain_on_failure = [b, d], h
    b.chain, b.chain_on_failure = [c], i
    assert edges(plan_of(a)) == {"a": "", "b": "a", "c": "b", "d": "c", "h": "!a", "i": "!bcd"}


def test_chains_by_the_app_keep_the_handlers_they_had() -> None:
    app = Boilermaker()
    a, b, c, h, i = tasks("abchi")
    head = app.chain(a, app.chain(b, c, on_failure=i), on_failure=h)
    assert edges(plan_of(head)) == {"a": "", "b": "a", "c": "b", "h": "!a", "i": "!bc"}


def test_what_follows_can_be_long() -> None:
    count = 20_000
    head, *rest = [Task(function_name="work", task_id=f"t{number}") for number in range(count)]
    last = head
    for task in rest:
        last = last >> task
    assert len(plan_of(head).steps) == count
    chained = Boilermaker().chain(*[Task(function_name="work", task_id=f"t{number}") for number in range(count)])
    assert [step.parents for step in plan_of(chained).steps[1:]] == [(number,) for number in range(count - 1)]


def test_handlers_of_handlers_can_be_many() -> None:
    first, *rest = [Task(function_name="work", task_id=f"t{number}") for number in range(5000)]
    last = first
    for task in rest:
        last.on_failure = last = task
    assert [step.guards for step in plan_of(first).steps[1:]] == [(number,) for number in range(4999)]


def test_the_all_failed_callback_keeps_what_follows_it() -> None:
    a, x, y, z = tasks("axyz")
    x.on_success, x.on_failure, x.acks_late, z.acks_late = y, z, True, False
    plan = TaskGraphBuilder().add(a).build(x).plan()
    assert plan.callback is not None
    assert (plan.callback.on_success, plan.callback.on_failure) == (y, z)
    assert plan.callback.graph_id == plan.graph_id
    assert edges(plan) == {"a": ""}


def test_tasks_stay_what_they_were_but_for_the_graphs_id() -> None:
    a, b, h, x = tasks("abhx")
    a.on_success, a.on_failure = b, h
    graph = TaskGraphBuilder().add(a).build(x, graph_id="g")
    before = [task.graph_id for task in (a, b, h, x)]
    graph.plan()
    assert (before, [task.graph_id for task in (a, b, h, x)]) == ([None] * 4, ["g"] * 4)
    assert (a.on_success, a.on_failure) == (b, h)


def test_what_was_published_in_another_graph_is_refused() -> None:
    (a,) = tasks("a")
    graph = TaskGraphBuilder().add(a).build()
    graph.plan()
    a.mark_published()
    graph.plan()  # the same again is no change
    with pytest.raises(AlreadyPublished):
        TaskGraphBuilder().add(a).build().plan()


# -- what the result of a graph is


@pytest.mark.parametrize(
    ("build", "finals", "many"),
    [
        (lambda b, t: b.add(t[0]).then(t[1]), "b", False),
        (lambda b, t: b.parallel(t[1], t[0]), "ba", True),
        (lambda b, t: b.add(t[0]).parallel(t[2], t[1]), "cb", True),
        (lambda b, t: b.add(t[0], on_failure=t[1]), "a", False),
        (lambda b, t: b.add(t[0], on_failure=t[1]).add(t[2], depends_on=[t[1]]), "a", False),
        (lambda b, t: b.add(t[0], on_failure=t[1]).add(t[2], depends_on=[t[1], t[0]]), "a", False),
    ],
)
def test_the_result_is_that_of_those_that_nobody_waits_for(build: Any, finals: str, many: bool) -> None:
    plan = build(TaskGraphBuilder(), tasks("abc")).build().plan()
    assert ("".join(plan.steps[number].task.task_id for number in plan.finals), plan.many) == (finals, many)


# -- references


def test_a_result_is_an_argument() -> None:
    a, b = tasks("ab")
    c = Task(function_name="c", task_id="c", payload={"args": [1, a.result], "kwargs": {"key": b.result, "x": "y"}})
    *_, step = TaskGraphBuilder().parallel(a, b).then(c).build().plan().steps
    assert step.inputs == (Input(1, (0,)), Input("key", (1,)))
    assert step.task.payload == {"args": [1, None], "kwargs": {"key": None, "x": "y"}}
    assert c.payload["args"][1] is not None  # the task that was given is as it was


def test_lists_of_results_keep_their_order_and_repetitions() -> None:
    a, b = tasks("ab")
    for results in ([b.result, a.result, b.result], (b.result, a.result, b.result)):
        step = TaskGraphBuilder().parallel(a, b).then(make("c", results)).build().plan().steps[-1]
        assert step.inputs == (Input(0, (1, 0, 1), many=True),)
        assert step.parents == (0, 1)


def test_parent_results_are_those_of_what_it_depends_on() -> None:
    a, b, c = tasks("abc")
    gather = make("g", PARENT_RESULTS, c.result)
    *_, step = TaskGraphBuilder().parallel(a, b, c).add(gather, depends_on=[b, a]).build().plan().steps
    assert step.inputs == (Input(0, (1, 0), many=True), Input(1, (2,)))
    assert step.parents == (1, 0, 2)


def test_parent_results_of_a_callback_and_of_a_root() -> None:
    root, child = make("r", PARENT_RESULTS), make("c", PARENT_RESULTS)
    root >> child
    plan = plan_of(root)
    assert [step.inputs for step in plan.steps] == [(Input(0, (), many=True),), (Input(0, (0,), many=True),)]


def test_a_result_makes_a_dependency() -> None:
    a, b, c = tasks("abc")
    d = make("d", b.result)
    assert edges(TaskGraphBuilder().parallel(a, b, c).add(d, depends_on=[a]).build().plan())["d"] == "ab"
    e = make("e", d.result)
    plan = TaskGraphBuilder().add(e).add(d, depends_on=None).add(b, depends_on=None).build().plan()
    assert edges(plan) == {"b": "", "d": "b", "e": "d"}


def test_an_empty_list_and_a_none_are_values() -> None:
    step = plan_of(make("a", [], None)).steps[0]
    assert (step.inputs, step.task.payload["args"]) == ((), [[], None])


def test_a_handler_takes_results_of_what_all_that_it_guards_depend_on() -> None:
    a, b, c, d, r = tasks("abcdr")
    handler = make("h", r.result, [r.result, a.result])
    builder = TaskGraphBuilder().add(r).add(a).parallel(b, c, on_failure=handler).then(d, on_failure=handler)
    steps = {step.task.task_id: step for step in builder.build().plan().steps}
    assert steps["h"].inputs == (Input(0, (0,)), Input(1, (0, 1), many=True))
    assert (steps["h"].parents, len(steps["h"].guards)) == ((), 3)


def test_what_follows_a_handler_takes_the_same_results() -> None:
    a, b, h, g = tasks("abhg")
    after = make("x", a.result, h.result)
    last = make("l", a.result)
    b.on_failure, h.on_failure = h, g
    g.on_failure = last
    h.on_success = after
    expected = {"a": "", "b": "a", "h": "!b", "g": "!h", "x": "ah", "l": "!g"}
    assert edges(TaskGraphBuilder().add(a).then(b).build().plan()) == expected


def taking(source: Task) -> Task:
    return make("t", source.result)


def of_the_one_it_guards(a: Task, b: Task, h: Task) -> TaskGraphBuilder:
    return TaskGraphBuilder().add(a, on_failure=taking(a))


def of_one_of_those_it_guards(a: Task, b: Task, h: Task) -> TaskGraphBuilder:
    return TaskGraphBuilder().add_chain(TaskChain(a, b, on_any_failure=taking(a)))


def of_one_beside_the_one_it_guards(a: Task, b: Task, h: Task) -> TaskGraphBuilder:
    return TaskGraphBuilder().add(a).add(b, depends_on=None, on_failure=taking(a))


def of_one_behind_the_one_it_guards(a: Task, b: Task, h: Task) -> TaskGraphBuilder:
    return TaskGraphBuilder().add(a, on_failure=taking(b)).then(b)


def of_the_parent_of_one_of_them(a: Task, b: Task, h: Task) -> TaskGraphBuilder:
    return TaskGraphBuilder().add(a).then(b).add(h, depends_on=None).on_failure("b", t := taking(a)).on_failure("h", t)


def of_what_failed_before_the_handler(a: Task, b: Task, h: Task) -> TaskGraphBuilder:
    return TaskGraphBuilder().add(a, on_failure=h).on_failure("h", taking(a))


def of_what_failed_before_its_parent(a: Task, b: Task, h: Task) -> TaskGraphBuilder:
    return TaskGraphBuilder().add(a, on_failure=h).add(taking(a), depends_on=[h])


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (of_the_one_it_guards, "runs only if that one has failed"),
        (of_one_of_those_it_guards, "need not have succeeded"),
        (of_one_beside_the_one_it_guards, "need not have succeeded"),
        (of_one_behind_the_one_it_guards, "need not have succeeded"),
        (of_the_parent_of_one_of_them, "need not have succeeded"),
        (of_what_failed_before_the_handler, "runs only if that one has failed"),
        (of_what_failed_before_its_parent, "runs only if that one has failed"),
    ],
)
def test_results_that_need_not_be_there_are_refused(build: Callable[..., TaskGraphBuilder], why: str) -> None:
    with pytest.raises(GraphError, match=rf"task t \(t\) .*the result of task \w \(\w\),.* {why}") as caught:
        build(*tasks("abh")).build()
    assert caught.value.task_ids[0] == "t"


def test_many_handlers_with_results_of_many() -> None:
    sources, work = [make(f"s{n}") for n in range(1100)], [make(f"w{n}") for n in range(1100)]
    builder = TaskGraphBuilder().parallel(*sources).parallel(*work)
    for number, task in enumerate(work):
        builder.on_failure(task, make(f"h{number}", sources[number].result, sources[-number].result))
    assert len(builder.build().plan().steps) == 3300


Before = list[tuple[int, ...]]


@st.composite
def small_graphs(draw: st.DrawFn) -> tuple[Before, Before]:
    """Parents and guards of up to six tasks."""
    parents: Before = []
    guards: Before = []
    for number in range(draw(st.integers(2, 6))):
        before = tuple(sorted(draw(st.sets(st.integers(0, number - 1), max_size=3)))) if number else ()
        is_handler = draw(st.booleans())
        parents.append(() if is_handler else before)
        guards.append(before if is_handler else ())
    return parents, guards


def endings(parents: Before, guards: Before) -> set[tuple[bool | None, ...]]:
    """All ways in which a graph can end: for each task whether it succeeds, or None if it does not run."""
    found = set()
    for fate in itertools.product([True, False], repeat=len(parents)):
        ended: list[bool | None] = []
        for number, succeeds in enumerate(fate):
            runs = all(ended[parent] for parent in parents[number])
            if guards[number]:
                runs = any(ended[guarded] is False for guarded in guards[number])
            ended.append(succeeds if runs else None)
        found.add(tuple(ended))
    return found


@given(small_graphs())
@settings(max_examples=300, deadline=None)
def test_what_is_sure_is_so_in_every_ending(graph: tuple[Before, Before]) -> None:
    parents, guards = graph
    order = range(len(parents))
    questions = [Question(task, source) for task in order for source in range(task)]
    all_endings = endings(parents, guards)
    all_can_run = all(any(ending[task] is not None for ending in all_endings) for task in order)
    for (task, source), answer in answered(questions, order, parents, guards).items():
        seen = {ending[source] for ending in all_endings if ending[task] is not None}
        if not seen:
            continue  # who never runs takes nothing
        assert not answer.succeeded or seen == {True}
        assert not answer.failed or seen == {False}
        if guards[task] and all_can_run:
            assert answer.succeeded == (seen == {True})


# -- refusals


def refused(build: Callable[[], Any], why: str) -> list[str]:
    with pytest.raises(GraphError, match=why) as caught:
        build()
    return caught.value.task_ids


def test_circles_are_refused_with_the_whole_path() -> None:
    a, b, c, d = tasks("abcd")
    a >> b >> c >> b
    assert refused(lambda: plan_of(d, a), r"b \(b\) -> c \(c\) -> b \(b\)|c \(c\) -> b \(b\) -> c \(c\)")
    (e, f) = tasks("ef")
    e.on_failure, f.on_failure = f, e
    assert refused(lambda: TaskGraphBuilder().add(e).build(), "cannot both handle failures and follow") == ["e"]
    g = make("g")
    h = make("h", g.result)
    g.payload = {"args": [h.result], "kwargs": {}}
    assert sorted(refused(lambda: plan_of(g, h), "wait for each other"))[-2:] in (["g", "h"], ["h", "h"])


def test_a_long_circle_is_shown_in_part_and_kept_whole() -> None:
    long = [make(f"t{number}") for number in range(1000)]
    long[0].payload = {"args": [long[-1].result], "kwargs": {}}
    with pytest.raises(GraphError, match=r"-> \.\.\. 981 more \.\.\. ->") as caught:
        TaskGraphBuilder().sequence(*long).build()
    path = caught.value.task_ids
    assert (len(path), len(set(path)), path[0]) == (1001, 1000, path[-1])
    assert len(str(caught.value)) < 1000
    follows = {(f"t{number}", f"t{(number + 1) % 1000}") for number in range(1000)}
    assert set(itertools.pairwise(path)) == follows


def test_references_to_strangers_are_refused() -> None:
    a, stranger = tasks("as")
    why = r"task b \(b\) takes the result of task s \(s\), which is not in this graph"
    assert refused(lambda: plan_of(a, make("b", stranger.result)), why) == ["b", "s"]


def test_a_copied_task_is_the_same_to_references() -> None:
    app = Boilermaker()
    a, b, c = tasks("abc")
    head = app.chain(a, app.chain(b, c))  # which copies links
    assert edges(plan_of(head, make("d", b.result)))["d"] == "b"


def test_early_acknowledgement_is_refused_with_the_reason() -> None:
    early = make("e", acks_late=False)
    a, b = tasks("ab")
    b.on_failure = early
    why = r"task e \(e\) has acks_late=False: in a graph a message is settled after its task ran"
    assert refused(lambda: plan_of(early), why) == ["e"]
    assert refused(lambda: plan_of(b), why) == ["e"]
    assert refused(lambda: TaskGraphBuilder().add(a).build(early), why) == ["e"]


def test_a_prototype_is_refused() -> None:
    prototype = Task(function_name="p", task_id=NullTaskId)
    refused(lambda: plan_of(prototype), "never got an id of its own")


@pytest.mark.parametrize("place", ["chain", "on_success of a link", "link of two", "link and handler", "twins"])
def test_a_task_in_two_places_is_refused(place: str) -> None:
    a, b, c = tasks("abc")
    if place == "chain":
        a.chain = [b, b]
    elif place == "on_success of a link":
        a.chain, c.on_success = [b], b
    elif place == "link of two":
        a.chain, c.chain = [b], [b]
    elif place == "link and handler":
        a.chain, a.chain_on_failure = [b], b
    else:
        a.on_success, c.on_success = b, make("b")
    assert refused(lambda: plan_of(a, c), r"b \(b\) (is in this graph already|cannot both)") == ["b"]


def test_a_task_that_got_another_id_is_refused() -> None:
    (a,) = tasks("a")
    builder = TaskGraphBuilder().add(a)
    a.task_id = "z"
    assert refused(builder.build, "had the id a when it was added") == ["a"]


def test_what_follows_the_callback_is_not_in_the_graph_as_well() -> None:
    a, x = tasks("ax")
    x.chain = [a]
    assert refused(lambda: TaskGraphBuilder().add(a).build(x), r"a \(a\) is in this graph already") == ["a"]


def test_the_callback_takes_no_results() -> None:
    a, x = tasks("ax")
    x >> make("y", [{"deep": a.result}])
    assert refused(lambda: TaskGraphBuilder().add(a).build(x), r"y \(y\) runs when the graph has failed") == ["y"]


def test_a_handler_has_no_parents_to_take_results_of() -> None:
    a = make("a", on_failure=make("h", PARENT_RESULTS))
    assert refused(lambda: plan_of(a), r"h \(h\) takes PARENT_RESULTS, but it handles failures") == ["h"]


def test_results_among_other_values_are_refused() -> None:
    a = make("a")
    mixed = make("m", [a.result, 5])
    why = r"m \(m\): its argument 0 is a list of results and of 5: .* only inside a graph, as a whole argument"
    assert refused(lambda: plan_of(a, mixed), why) == ["m"]


def test_an_empty_graph_by_hand_is_refused() -> None:
    refused(TaskGraph().plan, "at least one task")


# -- outside a graph

ONLY_IN_A_GRAPH = "a result of another task can be passed only inside a graph, as a whole argument or a list of results"


def untyped(state: Any, value: Any) -> None: ...


def whole(state: Any, value: int) -> None: ...


def listed(state: Any, value: list[Any]) -> None: ...


def mapped(state: Any, value: dict[str, int]) -> None: ...


@pytest.mark.parametrize("fn", [untyped, whole, listed, mapped, None])
@pytest.mark.parametrize("wrap", [lambda r: r, lambda r: [r], lambda r: [[1, r]], lambda r: {"a": (r,)}, None])
def test_a_result_cannot_be_published_outside_a_graph(fn: Any, wrap: Any) -> None:
    app = Boilermaker()
    value = PARENT_RESULTS if wrap is None else wrap(make("a").result)
    if fn is None:
        task = make("unregistered", value)
    else:
        app.register_async(fn)
        task = app.create_task(fn, value)
    with pytest.raises(ArgumentError, match=ONLY_IN_A_GRAPH):
        prepared(task, app.shell.registry)


def test_other_refusals_are_as_they_were() -> None:
    app = Boilermaker().register_async(whole)
    loop: list[Any] = []
    loop.append(loop)
    for value in ("x", {"a": object()}, loop):
        with pytest.raises(ArgumentError, match="valid integer"):
            prepared(app.create_task(whole, value), app.shell.registry)


def test_arguments_of_a_step_are_checked_but_for_results() -> None:
    app = Boilermaker()

    def work(state: Any, first: int, second: str, *, third: float = 0) -> None: ...

    app.register_async(work)
    a = make("a")
    step = plan_of(a, app.create_task(work, a.result, "x", third=a.result)).steps[1]
    slots = frozenset(one.slot for one in step.inputs)
    ready = prepared_alone(step.task, app.shell.registry, slots)
    assert ready.payload == {"args": [None, "x"], "kwargs": {"third": None}}
    for arguments in ((a.result, 5), (a.result,), (a.result, "x", "y"), ([a], a.result)):
        step = plan_of(a, app.create_task(work, *arguments)).steps[1]
        with pytest.raises(ArgumentError):
            prepared_alone(step.task, app.shell.registry, frozenset(one.slot for one in step.inputs))


def test_references_say_what_they_are() -> None:
    assert repr(make("a").result) == "<the result of task a (a)>"
    assert repr(PARENT_RESULTS) == "PARENT_RESULTS"
    with pytest.raises(AttributeError):
        make("a").result = 5
