"""What is left of a graph when it is to be published? Its tasks by number, checked, with all that follows unfolded."""

from __future__ import annotations

from typing import NamedTuple

from ..task.task import Task


class Input(NamedTuple):
    """An argument that is the result of other tasks: of `sources` in this order, as a list if `many`.

    `slot` is the position of the argument, or its keyword. In the task's payload None stands in its place.
    """

    slot: int | str
    sources: tuple[int, ...]
    many: bool = False


class Step(NamedTuple):
    """One task: it runs when all `parents` have succeeded; or, as a handler, when all `guards` ended and one failed.

    It has parents, or guards, or neither (then it runs at once). Numbers are positions in the plan. A handler's inputs
    can come from others than those it guards: from what all of these depend on.
    """

    task: Task
    parents: tuple[int, ...] = ()
    guards: tuple[int, ...] = ()
    inputs: tuple[Input, ...] = ()


class Plan(NamedTuple):
    """A graph ready to be laid out: no cycles, each step behind those that it waits for.

    `callback` runs once after all else if a task failed. `finals` are the steps whose results are the graph's: a list
    of them if `many`, else of the only one.
    """

    graph_id: str
    steps: tuple[Step, ...]
    callback: Task | None = None
    finals: tuple[int, ...] = ()
    many: bool = False
