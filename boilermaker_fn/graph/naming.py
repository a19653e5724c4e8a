"""How are tasks named in what is said about a graph? By their functions and ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..outcomes import MAP

if TYPE_CHECKING:
    from ..task.task import Task

_LONGEST_PATH: Final = 20
_SHORT: Final = 8


def named(task: Task) -> str:
    """A task: its function and its id."""
    return f"task {function_of(task)} ({task.task_id})"


def function_of(task: Task) -> str:
    """What a task runs; of a map, the function that runs for each item."""
    if task.function_name != MAP:
        return task.function_name
    return f"map {next(iter(task.payload['args']), '')}"


def path_of(tasks: Sequence[Task]) -> str:
    """Tasks one after another; of many the first and the last."""
    names = [f"{function_of(task)} ({task.task_id})" for task in tasks]
    if len(names) > _LONGEST_PATH:
        half = _LONGEST_PATH // 2
        names[half:-half] = [f"... {len(names) - 2 * half} more ..."]
    return " -> ".join(names)


def short_id(task: Task) -> str:
    """The end of an id, which is where ids made at the same time differ."""
    return task.task_id if len(task.task_id) <= _SHORT else f"..{task.task_id[-_SHORT + 2 :]}"
