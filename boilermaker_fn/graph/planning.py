"""How does a graph become a plan? Everything that follows unfolded, checked as a whole, and numbered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ..graph_errors import GraphError
from ..task.task import Task
from .certainty import Question, answered
from .naming import named
from .nodes import Nodes, added_twice, cycle
from .ordering import Cycle, ordered
from .plan import Input, Plan, Step
from .references import Taken, holds_reference, taken_by, without
from .unfolding import unfolded


class Checked(NamedTuple):
    """A graph that can run. All are by position: tasks in the order in which they were added.

    `order` has the positions in an order in which the tasks can run; `after_failure` says which run only if another
    one has failed.
    """

    tasks: list[Task]
    parents: list[tuple[int, ...]]
    guards: list[tuple[int, ...]]
    inputs: list[tuple[Input, ...]]
    order: list[int]
    after_failure: list[bool]


def checked(nodes: Nodes, callback: Task | None) -> Checked:
    """A graph with all that follows its tasks, checked; in O(V + E). Raises GraphError."""
    everything = unfolded(nodes)
    tasks = [*everything.tasks.values()]
    _refuse_single(tasks, callback)
    positions = {task_id: position for position, task_id in enumerate(everything.tasks)}
    graph = _Positions(everything, tasks, positions)
    parents, guards = graph.parents(), graph.guards()
    inputs = [graph.inputs(task, parents[position]) for position, task in enumerate(tasks)]
    before = _with_sources(parents, guards, inputs)
    try:
        order = ordered([guards[position] or earlier for position, earlier in enumerate(before)])
    except Cycle as error:
        raise cycle([tasks[position] for position in error.path]) from None
    found = Checked(tasks, before, guards, inputs, order, _after_failure(order, before, guards))
    _refuse_uncertain(found)
    return found


def planned(graph_id: str, found: Checked, callback: Task | None) -> Plan:
    """The numbered form of a graph; its tasks are copies."""
    numbers = [0] * len(found.order)
    for number, position in enumerate(found.order):
        numbers[position] = number
    renumbered = _Renumbered(numbers)
    steps = tuple(
        Step(
            _alone(found.tasks[position], graph_id, found.inputs[position]),
            renumbered(found.parents[position]),
            renumbered(found.guards[position]),
            tuple(one._replace(sources=renumbered(one.sources)) for one in found.inputs[position]),
        )
        for position in found.order
    )
    finals = tuple(numbers[position] for position in _finals(found))
    callback = None if callback is None else callback.model_copy(update={"graph_id": graph_id})
    return Plan(graph_id, steps, callback, finals, many=len(finals) != 1)


class _Renumbered:
    """Positions as numbers; what is shared stays shared."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = numbers
        self._known: dict[int, tuple[int, ...]] = {}

    def __call__(self, positions: tuple[int, ...]) -> tuple[int, ...]:
        known = self._known.get(id(positions))
        if known is None:
            known = self._known[id(positions)] = tuple([self._numbers[position] for position in positions])
        return known


class _Positions:
    """What the tasks of a graph wait for, by position."""

    def __init__(self, nodes: Nodes, tasks: Sequence[Task], positions: dict[str, int]) -> None:
        self._nodes = nodes
        self._tasks = tasks
        self._of = positions

    def parents(self) -> list[tuple[int, ...]]:
        shared: dict[int, tuple[int, ...]] = {}
        found = []
        for task in self._tasks:
            ids = self._nodes.parents_of(task.task_id)
            if task.task_id in self._nodes.more:
                positions = self._known(task, ids)
            elif (known := shared.get(id(ids))) is not None:
                positions = known
            else:
                positions = shared[id(ids)] = self._known(task, ids)
            found.append(positions)
        return found

    def guards(self) -> list[tuple[int, ...]]:
        return [self._known(task, self._nodes.guards.get(task.task_id, ())) for task in self._tasks]

    def inputs(self, task: Task, parents: tuple[int, ...]) -> tuple[Input, ...]:
        return tuple(self._input(task, taken, parents) for taken in taken_by(task))

    def _input(self, task: Task, taken: Taken, parents: tuple[int, ...]) -> Input:
        if taken.sources is not None:
            return Input(taken.slot, tuple([self._position(task, source) for source in taken.sources]), taken.many)
        if task.task_id in self._nodes.guards:
            raise GraphError(
                f"{named(task)} takes PARENT_RESULTS, but it handles failures and has no parents: pass what it needs "
                "as an argument",
                [task.task_id],
            )
        return Input(taken.slot, parents, many=True)

    def _position(self, task: Task, source: Task) -> int:
        position = self._of.get(source.task_id)
        if position is None:
            raise GraphError(
                f"{named(task)} takes the result of {named(source)}, which is not in this graph: add it",
                [task.task_id, source.task_id],
            )
        return position

    def _known(self, task: Task, ids: Iterable[str]) -> tuple[int, ...]:
        try:
            return tuple([self._of[task_id] for task_id in ids])
        except KeyError as error:
            (missing,) = error.args
            raise GraphError(
                f"{named(task)} waits for {missing!r}, which is not in this graph: add that task, or leave it out",
                [task.task_id],
            ) from None


def _with_sources(
    parents: Sequence[tuple[int, ...]], guards: Sequence[tuple[int, ...]], inputs: Sequence[tuple[Input, ...]]
) -> list[tuple[int, ...]]:
    """The parents, and among them those whose results a task takes; a handler waits for its guards only."""
    sets: dict[int, frozenset[int]] = {}
    found = []
    for earlier, guarded, taken in zip(parents, guards, inputs, strict=True):
        sources = () if guarded else _sources(taken, earlier)
        if sources:
            known = sets.get(id(earlier))
            if known is None:
                known = sets[id(earlier)] = frozenset(earlier)
            if not known.issuperset(sources):
                earlier = tuple(dict.fromkeys((*earlier, *sources)))
        found.append(earlier)
    return found


def _sources(taken: Iterable[Input], parents: tuple[int, ...] = ()) -> list[int]:
    """Whose results a task takes, beside all those of its parents."""
    return [source for one in taken if one.sources is not parents for source in one.sources]


def _alone(task: Task, graph_id: str, inputs: tuple[Input, ...]) -> Task:
    """A copy of a task without what follows it: in a graph that are steps of their own."""
    changes: dict[str, Any] = {
        "graph_id": graph_id,
        "on_success": None,
        "on_failure": None,
        "chain": [],
        "chain_on_failure": None,
    }
    if inputs:
        changes["payload"] = without(task.payload, {one.slot for one in inputs})
    return task.model_copy(update=changes)


def _after_failure(
    order: Sequence[int], parents: Sequence[Sequence[int]], guards: Sequence[Sequence[int]]
) -> list[bool]:
    after = [bool(guarded) for guarded in guards]
    for position in order:
        after[position] = after[position] or any(after[parent] for parent in parents[position])
    return after


def _finals(found: Checked) -> Iterator[int]:
    """Those for whom nobody waits, without what runs only after a failure."""
    awaited = [False] * len(found.order)
    for parents, after_failure in zip(found.parents, found.after_failure, strict=True):
        if not after_failure:
            for parent in parents:
                awaited[parent] = True
    return (
        position
        for position, (later, after_failure) in enumerate(zip(awaited, found.after_failure, strict=True))
        if not later and not after_failure
    )


# -- refusals ----------------------------------------------------------------------------------------------------------


def _refuse_single(tasks: Sequence[Task], callback: Task | None) -> None:
    """Refuses what can be seen without looking at the edges."""
    if not tasks:
        raise GraphError("a graph has at least one task: add one")
    for task in tasks if callback is None else (*tasks, callback):
        if task.is_prototype:
            raise GraphError(f"{named(task)} never got an id of its own: make it with app.create_task()")
        if not task.acks_late:
            raise GraphError(
                f"{named(task)} has acks_late=False: in a graph a message is settled after its task ran and its "
                "progress is written, or the graph could stop for ever; leave acks_late=False out",
                [task.task_id],
            )
    if callback is not None:
        _refuse_callback(callback, {task.task_id for task in tasks})


def _refuse_callback(callback: Task, known: set[str]) -> None:
    """What follows the callback is sent when it ends: as tasks on their own, which are not in the graph as well."""
    pending, seen = [callback], set[int]()
    while pending:
        task = pending.pop()
        if id(task) in seen:
            continue
        seen.add(id(task))
        if task.task_id in known:
            raise added_twice(task)
        if holds_reference(task.payload):
            raise GraphError(
                f"{named(task)} runs when the graph has failed, so it can take no results of its tasks", [task.task_id]
            )
        following = (task.on_success, task.on_failure, *task.chain, task.chain_on_failure)
        pending += [one for one in following if one is not None]


def _refuse_uncertain(found: Checked) -> None:
    """Refuses references to results that need not be there, or cannot be."""
    questions = [
        Question(position, source)
        for position, taken in enumerate(found.inputs)
        if taken and found.after_failure[position]
        for source in dict.fromkeys(_sources(taken))
    ]
    answers = answered(questions, found.order, found.parents, found.guards)
    for question, answer in answers.items():
        task, source = found.tasks[question.task], found.tasks[question.source]
        if answer.failed:
            raise GraphError(
                f"{named(task)} takes the result of {named(source)}, but it runs only if that one has failed",
                [task.task_id, source.task_id],
            )
        if not answer.succeeded:
            raise GraphError(
                f"{named(task)} handles failures and takes the result of {named(source)}, which need not have "
                "succeeded by then: take results only of what all that it guards depend on",
                [task.task_id, source.task_id],
            )
