"""Which ids do the lines of a delivery carry? Those bound here, as structlog's contextvars, which it need not make.

structlog takes whatever context variable has a name with its prefix. Importing it is a twentieth of a cold start, and
most apps log through `logging` alone: so until somebody imports it the variables are ours, and then its own.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from typing import Any, Final, TypeAlias

from ..messages import Delivery
from ..task.task import Task

_PREFIX: Final = "structlog_"
_IDS: Final = {
    name: ContextVar[Any](_PREFIX + name) for name in ("message_id", "task_id", "function", "attempt", "graph_id")
}

_Bind: TypeAlias = Callable[..., Mapping[str, Token[Any]]]


class Bound:
    """Binds the ids of a delivery for all lines written in the block. Entered for every message, so no generator."""

    def __init__(self, delivery: Delivery, task: Task | None) -> None:
        ids: dict[str, object] = {"message_id": delivery.message_id}
        if task is not None:
            ids |= {"task_id": task.task_id, "function": task.function_name, "attempt": task.attempt}
            if task.graph_id is not None:
                ids["graph_id"] = task.graph_id
        self._ids = ids

    def __enter__(self) -> None:
        bind: _Bind = getattr(sys.modules.get("structlog.contextvars"), "bind_contextvars", _bind)
        self._tokens = bind(**self._ids)

    def __exit__(self, *error: object) -> None:
        for token in self._tokens.values():
            token.var.reset(token)


def bound() -> dict[str, Any]:
    """What is bound here and now, by us and with structlog."""
    context = contextvars.copy_context()
    return {
        variable.name.removeprefix(_PREFIX): value
        for variable, value in context.items()
        if variable.name.startswith(_PREFIX) and value is not ...  # which is structlog's way to unbind
    }


def _bind(**ids: object) -> Mapping[str, Token[Any]]:
    return {name: _IDS[name].set(value) for name, value in ids.items()}
