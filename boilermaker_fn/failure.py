"""How does a task say "failed, and do not try again" without raising? It returns `TaskFailureResult`."""

from __future__ import annotations

from typing import Final


class TaskFailureResultType:
    """The type of `TaskFailureResult`; use it in a return annotation."""

    def __call__(self) -> TaskFailureResultType:
        # `return TaskFailureResult()` reads as well as `return TaskFailureResult`; both mean the one value.
        return self

    def __repr__(self) -> str:
        return "TaskFailureResult"


TaskFailureResult: Final = TaskFailureResultType()
