"""How are rows kept? The port Table on SQLite, with the semantics and the limits of Azure Table Storage."""

from __future__ import annotations

import base64
import datetime
import json
import operator
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from ..entities import (
    ANY_ETAG,
    MAX_PAGE,
    MAX_TRANSACTION_BYTES,
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
from ..errors import Conflict, NotFound
from .connection import Connection
from .database import Database

_READ: Final = "SELECT etag, properties FROM entities WHERE partition = ? AND row = ?"
_QUERY: Final = "SELECT row, etag, properties FROM entities WHERE partition = ? AND row >= ? ORDER BY row"
_QUERY_BEFORE: Final = (
    "SELECT row, etag, properties FROM entities WHERE partition = ? AND row >= ? AND row < ? ORDER BY row"
)
_INSERT: Final = (
    "INSERT INTO entities (partition, row, etag, properties) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (partition, row) DO NOTHING"
)
_PUT: Final = (
    "INSERT INTO entities (partition, row, etag, properties) VALUES (?1, ?2, ?3, ?4) "
    "ON CONFLICT (partition, row) DO UPDATE SET etag = ?3, properties = ?4"
)
_DELETE: Final = "DELETE FROM entities WHERE partition = ? AND row = ?"

_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}

# JSON has no types for these two; a value is never an object otherwise.
_BYTES: Final = "b"
_DATETIME: Final = "d"


class LocalTable:
    """Rows in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered = _Remembered()

    async def close(self) -> None:
        """Finish what was begun and close the file; used again, the table opens it again."""
        await self._database.close()

    async def read(self, partition: str, row: str, select: Sequence[str] | None = None) -> Entity | None:
        """One row, or None. Raises StoreUnavailable."""

        def work(connection: sqlite3.Connection) -> tuple[str, str] | None:
            found: tuple[str, str] | None = connection.execute(_READ, (partition, row)).fetchone()
            return found

        found = await self._database.read(work)
        return None if found is None else _entity(partition, row, *found, select)

    async def query(
        self,
        partition: str,
        *,
        first: str = "",
        before: str | None = None,
        where: Sequence[Where] = (),
        select: Sequence[str] | None = None,
        limit: int = MAX_PAGE,
        continuation: str | None = None,
    ) -> Page:
        """Rows with `first <= row key < before` that meet all conditions, by row key.

        A value of another type than the condition's does not match. As with Azure, a page ends after looking at 1000
        rows or 4 MiB, whatever the conditions left of them. Raises LimitExceeded, StoreUnavailable.
        """
        check_query(where, limit)
        start = first if continuation is None else continuation
        return await self._database.read(
            lambda connection: _page(connection, self._remembered, partition, start, before, where, select, limit)
        )

    async def write(self, operations: Sequence[Operation]) -> list[str]:
        """All operations or none. Returns the new ETags. Raises Conflict, NotFound, LimitExceeded, StoreUnavailable."""
        check_operations(operations)
        encoded = ["" if isinstance(o, Delete) else _ENCODER.encode(dict(o.entity.values)) for o in operations]
        return await self._database.write(lambda connection: _write(connection, operations, encoded))


class _Remembered:
    """What rows were to queries like this one, by ETag: no two writes have the same. Many look at the same again."""

    def __init__(self) -> None:
        self._queries: dict[object, dict[str, Entity | None]] = {}

    def of(self, where: Sequence[Where], select: Sequence[str] | None) -> dict[str, Entity | None]:
        """The rows as they were handed out, None for those that were not; to be looked up, and added to."""
        key = tuple((one, type(one.value)) for one in where), None if select is None else tuple(select)
        rows = self._queries.get(key)
        if rows is None:
            if len(self._queries) == _REMEMBERED_QUERIES:
                self._queries.clear()
            rows = self._queries[key] = {}
        elif len(rows) >= _REMEMBERED_ROWS:
            rows.clear()
        return rows


_REMEMBERED_QUERIES: Final = 16
_REMEMBERED_ROWS: Final = 2048
_REMEMBERED_BYTES: Final = 8192


def _page(
    connection: sqlite3.Connection,
    remembered: _Remembered,
    partition: str,
    start: str,
    before: str | None,
    where: Sequence[Where],
    select: Sequence[str] | None,
    limit: int,
) -> Page:
    if before is None:
        rows = connection.execute(_QUERY, (partition, start))
    else:
        rows = connection.execute(_QUERY_BEFORE, (partition, start, before))
    known = remembered.of(where, select)
    entities: list[Entity] = []
    size = 0
    continuation = None
    for looked_at, (row, etag, properties) in enumerate(rows):
        if len(entities) == limit or looked_at == MAX_PAGE or size >= MAX_TRANSACTION_BYTES:
            continuation = row
            break
        size += len(properties)
        if etag in known:
            entity = known[etag]
        else:
            entity = _found(partition, row, etag, properties, where, select)
            if len(properties) <= _REMEMBERED_BYTES:
                known[etag] = entity
        if entity is not None:
            entities.append(entity)
    rows.close()
    return Page(entities, continuation)


def _write(connection: Connection, operations: Sequence[Operation], encoded: Sequence[str]) -> list[str]:
    if len(operations) == 1 and isinstance(operations[0], Insert):
        return [_insert(connection, operations[0].entity, encoded[0])]
    existing = [_checked(connection, operation) for operation in operations]
    etags = []
    for operation, old, new in zip(operations, existing, encoded, strict=True):
        entity = operation.entity
        if isinstance(operation, Delete):
            connection.execute(_DELETE, (entity.partition, entity.row))
            etags.append("")
            continue
        if isinstance(operation, Merge):
            new = _ENCODER.encode({**json.loads(old), **json.loads(new)})
        etag = next(connection.etags)
        connection.execute(_PUT, (entity.partition, entity.row, etag, new))
        etags.append(etag)
    return etags


def _insert(connection: Connection, entity: Entity, encoded: str) -> str:
    """The most frequent write by far, in one statement."""
    etag = next(connection.etags)
    if not connection.execute(_INSERT, (entity.partition, entity.row, etag, encoded)).rowcount:
        raise Conflict(entity.partition, entity.row)
    return etag


def _checked(connection: sqlite3.Connection, operation: Operation) -> str:
    """The properties the row has now, encoded. Raises Conflict, NotFound."""
    entity = operation.entity
    found = connection.execute(_READ, (entity.partition, entity.row)).fetchone()
    if isinstance(operation, Insert):
        if found is not None:
            raise Conflict(entity.partition, entity.row)
        return ""
    if found is None:
        raise NotFound(entity.partition, entity.row)
    if entity.etag not in (ANY_ETAG, found[0]):
        raise Conflict(entity.partition, entity.row)
    return str(found[1])


def _entity(partition: str, row: str, etag: str, properties: str, select: Sequence[str] | None) -> Entity:
    return Entity(partition, row, _selected(_decoded(properties), select), etag)


def _found(
    partition: str, row: str, etag: str, properties: str, where: Sequence[Where], select: Sequence[str] | None
) -> Entity | None:
    """The row if it meets all conditions; not to be changed, for others get the same one."""
    values = _decoded(properties)
    if not all(_matches(values, condition) for condition in where):
        return None
    return Entity(partition, row, MappingProxyType(_selected(values, select)), etag)


def _selected(values: dict[str, Value], select: Sequence[str] | None) -> dict[str, Value]:
    return values if select is None else {name: values[name] for name in select if name in values}


def _matches(values: Mapping[str, Value], condition: Where) -> bool:
    value = values.get(condition.name)
    if value is None or type(value) is not type(condition.value):
        return False
    return _COMPARISONS[condition.comparison](value, condition.value)


def _tagged(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {_BYTES: base64.b64encode(value).decode()}
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return {_DATETIME: value.astimezone(datetime.UTC).isoformat()}
    raise TypeError(f"a row cannot keep {value!r}: use str, int, float, bool, bytes or a datetime with a time zone")


_ENCODER: Final = json.JSONEncoder(default=_tagged)


def _decoded(properties: str) -> dict[str, Value]:
    values: dict[str, Any] = json.loads(properties)
    for name, value in values.items():
        if isinstance(value, dict):
            values[name] = _untagged(value)
    return values


def _untagged(tagged: dict[str, str]) -> Value:
    if _BYTES in tagged:
        return base64.b64decode(tagged[_BYTES])
    return datetime.datetime.fromisoformat(tagged[_DATETIME])
