"""When are two machines in the same state? When these are equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from boilermaker_fn.graph_progress.layout import Layout
from boilermaker_fn.messages import Delivery
from boilermaker_fn.rules import Rules
from boilermaker_fn.task.task import Task


def frozen(value: Any) -> Any:
    """The same for values that are equal, and hashable."""
    freeze = _FREEZE.get(type(value))
    if freeze is None:
        kind = tuple if issubclass(type(value), tuple) else Mapping if isinstance(value, Mapping) else object
        freeze = _FREEZE[type(value)] = _FREEZE[kind]
    return freeze(value)


_FREEZE: Final[dict[type, Callable[[Any], Any]]] = {
    tuple: lambda value: (type(value).__name__, *map(frozen, value)),
    Mapping: lambda value: tuple(sorted((name, frozen(one)) for name, one in value.items())),
    object: lambda value: value,
    Task: lambda task: (task.task_id, task.attempt),
    Delivery: lambda one: (one.message_id, one.sequence_number, one.delivery_count, one.queue, frozen(one.properties)),
    # There is one of each.
    Rules: lambda rules: "rules",
    Layout: lambda layout: "layout",
}
