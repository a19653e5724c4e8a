"""What does a table look like whose rows can be taken out and put back? The port, on dictionaries."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from boilermaker_fn.entities import (
    ANY_ETAG,
    Delete,
    Entity,
    Insert,
    Merge,
    Operation,
    Page,
    Value,
    Where,
    check_operations,
    check_query,
)
from boilermaker_fn.errors import Conflict, NotFound

#: The rows of one partition, by row key.
Rows = dict[str, Entity]


class MemoryRows:
    """The port Table; only a `strict` one knows limits.

    `etag` names what a row holds, whenever it is written. A row itself is never changed, another one takes its place.
    """

    def __init__(
        self, partitions: dict[str, Rows], etag: Callable[[Mapping[str, Value]], str], *, strict: bool = True
    ) -> None:
        self.partitions = partitions
        self._etag = etag
        self._strict = strict

    async def read(self, partition: str, row: str, select: Sequence[str] | None = None) -> Entity | None:
        """One row."""
        found = self.partitions.get(partition, {}).get(row)
        return None if found is None else _selected(found, select)

    async def query(
        self,
        partition: str,
        *,
        first: str = "",
        before: str | None = None,
        where: Sequence[Where] = (),
        select: Sequence[str] | None = None,
        limit: int = 1000,
        continuation: str | None = None,
    ) -> Page:
        """All rows that meet the conditions; more than `limit` are an error of the test."""
        if self._strict:
            check_query(where, limit)
        rows = self.partitions.get(partition, {})
        found = [
            rows[key]
            for key in sorted(rows)
            if first <= key and (before is None or key < before) and all(_matches(rows[key], one) for one in where)
        ]
        assert len(found) <= limit
        return Page([_selected(entity, select) for entity in found])

    async def write(self, operations: Sequence[Operation]) -> list[str]:
        """All or none. Raises Conflict, NotFound, LimitExceeded."""
        if self._strict:
            check_operations(operations)
        rows = self.partitions.setdefault(operations[0].entity.partition, {})
        changes = [self._changed(rows, operation) for operation in operations]
        for operation, changed in zip(operations, changes, strict=True):
            if changed is None:
                del rows[operation.entity.row]
            else:
                rows[changed.row] = changed
        return ["" if changed is None else changed.etag for changed in changes]

    async def close(self) -> None:
        """There is nothing to close."""

    def _changed(self, rows: Rows, operation: Operation) -> Entity | None:
        entity = operation.entity
        old = rows.get(entity.row)
        if isinstance(operation, Insert):
            if old is not None:
                raise Conflict(entity.partition, entity.row)
        elif old is None:
            raise NotFound(entity.partition, entity.row)
        elif entity.etag not in (ANY_ETAG, old.etag):
            raise Conflict(entity.partition, entity.row)
        if isinstance(operation, Delete):
            return None
        values = {**old.values, **entity.values} if old and isinstance(operation, Merge) else dict(entity.values)
        return Entity(entity.partition, entity.row, values, self._etag(values))


def _selected(entity: Entity, select: Iterable[str] | None) -> Entity:
    if select is None:
        return entity
    values = entity.values
    return entity._replace(values={name: values[name] for name in select if name in values})


def _matches(entity: Entity, condition: Where) -> bool:
    value = entity.values.get(condition.name)
    if value is None or type(value) is not type(condition.value):
        return False
    return _COMPARISONS[condition.comparison](value, condition.value)


_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
