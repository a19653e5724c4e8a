"""Of which type will a task's result be? Type checkers know; when the program runs, it is a Task like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from .task import Task

R_co = TypeVar("R_co", covariant=True)

if TYPE_CHECKING:

    class TaskOf(Task, Generic[R_co]):
        """A task whose function returns `R_co`; `app.create_task` makes them."""

        @property
        def result(self) -> R_co:
            """The task's result, to pass to another task of the same graph."""
            ...

else:
    TaskOf = Task
