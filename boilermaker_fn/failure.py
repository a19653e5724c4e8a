"""How does a task say "failed, and do not try again" without raising? It returns `TaskFailureResult`."""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import core_schema


class TaskFailureResultType:
    """The type of `TaskFailureResult`; use it in a return annotation."""

    def __call__(self) -> TaskFailureResultType:
        """The one value: `return TaskFailureResult()` reads as well as `return TaskFailureResult`."""
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        # So that `-> str | TaskFailureResultType` is an annotation results can be written and revived by.
        return core_schema.is_instance_schema(cls)

    def __repr__(self) -> str:
        return "TaskFailureResult"


TaskFailureResult: Final = TaskFailureResultType()
