"""How do rows travel? Between our entities and those of the SDK."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ..entities import Entity, Merge, Operation, Value

if TYPE_CHECKING:
    from azure.data.tables import TableEntity

PARTITION: Final = "PartitionKey"
ROW: Final = "RowKey"
_INT64: Final = "Edm.Int64"


def to_properties(entity: Entity) -> dict[str, Any]:
    """An entity as the SDK takes it. Raises TypeError for a value that no row can keep."""
    return {PARTITION: entity.partition, ROW: entity.row} | {n: _sent(value) for n, value in entity.values.items()}


def to_entity(found: TableEntity) -> Entity:
    """An entity as the SDK gives it; a property that was asked for and is not there comes as None."""
    values = {n: _received(value) for n, value in found.items() if n not in (PARTITION, ROW) and value is not None}
    return Entity(found[PARTITION], found[ROW], values, found.metadata["etag"] or "")


def holds(found: Entity, wanted: Operation) -> bool:
    """Whether a row is as an insertion, a replacement or a merge would have left it."""
    now, then = _comparable(found.values), _comparable(wanted.entity.values)
    return then.items() <= now.items() if isinstance(wanted, Merge) else then == now


def _comparable(values: Mapping[str, Value]) -> dict[str, str]:
    # As text, for NaN is not equal to itself, and True is equal to 1 and 1.0.
    return {name: repr(_sent(value)) for name, value in values.items()}


def _sent(value: Value) -> Any:
    if isinstance(value, bool | bytes):
        return value
    if isinstance(value, int):
        # All of them with 64 bits: a condition only finds what has its literal's type.
        return int(value), _INT64
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC)
    raise TypeError(f"a row cannot keep {value!r}: use str, int, float, bool, bytes or a datetime with a time zone")


def _received(value: Any) -> Value:
    if isinstance(value, tuple):
        value = value[0]
    if isinstance(value, datetime.datetime):
        # The SDK's own class: equal, and slower to pickle and to compare.
        return datetime.datetime.combine(value.date(), value.timetz())
    if isinstance(value, str | int | float | bytes):
        return value
    return str(value)
