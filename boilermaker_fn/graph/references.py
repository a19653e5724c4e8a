"""How does a task take the results of others? By references among its arguments, known before anything has run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from ..graph_errors import GraphError
from .naming import named

if TYPE_CHECKING:
    from ..task.task import Task

Slot: TypeAlias = int | str

#: Why a reference is refused where it cannot be resolved.
ONLY_IN_A_GRAPH: Final = (
    "a result of another task can be passed only inside a graph, as a whole argument or a list of results"
)


class ResultOf:
    """What `task.result` is before the task has run: it can be an argument of another task of the same graph."""

    __slots__ = ("task",)

    def __init__(self, task: Task) -> None:
        self.task = task

    def __repr__(self) -> str:
        return f"<the result of {named(self.task)}>"


class ParentResults:
    """What PARENT_RESULTS is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "PARENT_RESULTS"


#: As an argument: the results of all tasks that the task was added to depend on, in that order, as a list.
PARENT_RESULTS: Final[Any] = ParentResults()


class Taken(NamedTuple):
    """An argument that is a result of `sources`, as a list of them if `many`; `sources` None: of all parents."""

    slot: Slot
    sources: tuple[Task, ...] | None
    many: bool


def taken_by(task: Task) -> list[Taken]:
    """The arguments of a task that are results of others. Raises GraphError for a list of results and other values."""
    payload = task.payload
    found = []
    for slot, value in (*enumerate(payload.get("args") or ()), *(payload.get("kwargs") or {}).items()):
        if isinstance(value, ResultOf):
            found.append(Taken(slot, (value.task,), many=False))
        elif isinstance(value, ParentResults):
            found.append(Taken(slot, None, many=True))
        elif isinstance(value, list | tuple) and value and isinstance(value[0], ResultOf):
            found.append(Taken(slot, _all_of(task, slot, value), many=True))
    return found


def without(payload: Mapping[str, Any], slots: set[Slot]) -> dict[str, Any]:
    """The arguments with None for those in `slots`."""
    args, kwargs = payload.get("args") or (), payload.get("kwargs") or {}
    return {
        **payload,
        "args": [None if position in slots else value for position, value in enumerate(args)],
        "kwargs": {name: None if name in slots else value for name, value in kwargs.items()},
    }


def holds_reference(value: object) -> bool:
    """Whether there is a reference in a value, however deep in its lists and dicts."""
    pending, seen = [value], set[int]()
    while pending:
        one = pending.pop()
        if isinstance(one, ResultOf | ParentResults):
            return True
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Mapping):
            pending += one.values()
        elif isinstance(one, list | tuple | set | frozenset):
            pending += one
    return False


def _all_of(task: Task, slot: Slot, values: Sequence[Any]) -> tuple[Task, ...]:
    for value in values:
        if not isinstance(value, ResultOf):
            raise GraphError(
                f"{named(task)}: its argument {slot!r} is a list of results and of {value!r:.80}: {ONLY_IN_A_GRAPH}",
                [task.task_id],
            )
    return tuple(value.task for value in values)
