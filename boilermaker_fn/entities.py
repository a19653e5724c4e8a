"""What is a row of a table, and how much fits? The semantics of Azure Table Storage, and no more.

Limits are those the service documents; every implementation of the Table port calls `check_operations` before it
writes, so that the local ones are as strict as Azure.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from .errors import LimitExceeded

Value: TypeAlias = str | int | float | bool | bytes | datetime.datetime
Comparison: TypeAlias = Literal["eq", "ne", "lt", "le", "gt", "ge"]

MAX_OPERATIONS: Final = 100
MAX_TRANSACTION_BYTES: Final = 4 * 1024 * 1024
MAX_ENTITY_BYTES: Final = 1024 * 1024
MAX_PROPERTY_BYTES: Final = 64 * 1024
MAX_PROPERTIES: Final = 252  # 255 with the two keys and the timestamp
MAX_KEY_BYTES: Final = 1024
MAX_PAGE: Final = 1000
MAX_CONDITIONS: Final = 12  # 15 comparisons with the partition and the range of row keys
MAX_NAME: Final = 255

ANY_ETAG: Final = "*"

_FORBIDDEN_IN_KEYS: Final = r"[/\\#?\x00-\x1f\x7f-\x9f\ud800-\udfff]"
_SURROGATE: Final = "[\ud800-\udfff]"
_OWN_NAMES = frozenset({"PartitionKey", "RowKey", "Timestamp"})
_FIRST_YEAR = 1601
# What a request holds beside the data: the heading of an operation; for a property its type, quotes and colons.
_WIRE_OPERATION = 768
_WIRE_PROPERTY = 64


class Entity(NamedTuple):
    """A row: its partition and row key, its properties, and the ETag it had when it was read ("" when new)."""

    partition: str
    row: str
    values: Mapping[str, Value] = MappingProxyType({})
    etag: str = ""


class Insert(NamedTuple):
    """Write a row that must not exist yet; else Conflict."""

    entity: Entity


class Replace(NamedTuple):
    """Replace all properties of an existing row if its ETag is `entity.etag` ("*": whatever it is)."""

    entity: Entity


class Merge(NamedTuple):
    """Change only the given properties of an existing row if its ETag is `entity.etag` ("*": whatever it is)."""

    entity: Entity


class Delete(NamedTuple):
    """Remove an existing row if its ETag is `entity.etag` ("*": whatever it is). The values do not matter."""

    entity: Entity


Operation: TypeAlias = Insert | Replace | Merge | Delete


class Where(NamedTuple):
    """One condition of a query: `name comparison value`. A row without the property does not match."""

    name: str
    comparison: Comparison
    value: Value


class Page(NamedTuple):
    """Rows of a query in the order of their row keys, and where to go on (None: that was all).

    A page can be empty and still have a continuation: the filter threw away all that was read.
    """

    entities: Sequence[Entity]
    continuation: str | None = None


def size_of(entity: Entity) -> int:
    """Bytes the service counts for a row (documented formula: 4, the keys, and for each property 8, name and data)."""
    return _size_of_keys(entity) + sum(
        8 + 2 * len(name) + _size_of_value(value) for name, value in entity.values.items()
    )


def _size_of_keys(entity: Entity) -> int:
    return 4 + 2 * (len(entity.partition) + len(entity.row))


def check_operations(operations: Sequence[Operation]) -> None:
    """Raise LimitExceeded if a transaction is more than the service takes. Nothing is written then."""
    if not 1 <= len(operations) <= MAX_OPERATIONS:
        raise LimitExceeded(f"a transaction has 1 to {MAX_OPERATIONS} operations, this one has {len(operations)}")
    partitions = {operation.entity.partition for operation in operations}
    if len(partitions) > 1:
        raise LimitExceeded(f"a transaction touches one partition, this one {sorted(partitions)[:5]}")
    if len({operation.entity.row for operation in operations}) < len(operations):
        raise LimitExceeded("a transaction touches each row once")
    check_key(operations[0].entity.partition)
    total = 0
    for operation in operations:
        if not isinstance(operation, Insert) and not operation.entity.etag:
            raise LimitExceeded(f"{type(operation).__name__} of row {operation.entity.row!r} needs an ETag, or '*'")
        total += _checked_size(operation.entity)
    # As JSON nothing grows to more than six times its size: small transactions need not be measured.
    if 6 * total + _WIRE_OPERATION * len(operations) > MAX_TRANSACTION_BYTES:
        _check_request(operations)


def in_transactions(operations: Iterable[Operation]) -> Iterator[tuple[Operation, ...]]:
    """Operations on one partition, in order, in as few transactions as the service takes."""
    some: list[Operation] = []
    size = 0
    for operation in operations:
        more = _wire_size(operation.entity)
        if some and (len(some) == MAX_OPERATIONS or size + more > MAX_TRANSACTION_BYTES):
            yield tuple(some)
            some, size = [], 0
        some.append(operation)
        size += more
    if some:
        yield tuple(some)


def _check_request(operations: Sequence[Operation]) -> None:
    """The service limits the request, not the data: bytes travel as base64, and text as JSON."""
    size = sum(_wire_size(operation.entity) for operation in operations)
    if size > MAX_TRANSACTION_BYTES:
        raise LimitExceeded(
            f"a transaction's request has at most {MAX_TRANSACTION_BYTES} bytes (data of type bytes counts 4/3), this "
            f"one would have {size}: write it in several"
        )


def _wire_size(entity: Entity) -> int:
    # The keys are in the address, where a byte can take three, and in the body.
    size = _WIRE_OPERATION + 5 * len((entity.partition + entity.row).encode())
    for name, value in entity.values.items():
        size += _WIRE_PROPERTY + 2 * (len(name) + 2)  # as JSON, and once more for its type
        if isinstance(value, bytes):
            size += 4 * ((len(value) + 2) // 3)
        elif isinstance(value, str):
            size += len(json.dumps(value))
    return size


def check_query(where: Sequence[Where], limit: int) -> None:
    """Raise LimitExceeded if a query is more than the service takes."""
    if not 1 <= limit <= MAX_PAGE:
        raise LimitExceeded(f"a page has 1 to {MAX_PAGE} rows, limit is {limit}")
    if len(where) > MAX_CONDITIONS:
        raise LimitExceeded(f"a query has at most {MAX_CONDITIONS} conditions, this one has {len(where)}")
    for condition in where:
        _check_name("of a condition", condition.name)
        _checked_size_of_value("of a condition", condition.name, condition.value)
        if isinstance(condition.value, float) and not math.isfinite(condition.value):
            raise LimitExceeded(f"condition on {condition.name!r}: nothing can be compared with {condition.value}")


def check_key(key: str) -> None:
    """Raise LimitExceeded if `key` cannot be a partition or row key."""
    if bad := sorted(set(re.findall(_FORBIDDEN_IN_KEYS, key))):
        raise LimitExceeded(f"key {key[:80]!r} contains {', '.join(map(repr, bad))}, which the service refuses")
    # A character has at most four bytes: short keys need not be encoded to be measured.
    if 4 * len(key) > MAX_KEY_BYTES and (size := len(key.encode())) > MAX_KEY_BYTES:
        raise LimitExceeded(f"a key has at most {MAX_KEY_BYTES} bytes, {key[:40]!r}... has {size}")


def _checked_size(entity: Entity) -> int:
    check_key(entity.row)
    if len(entity.values) > MAX_PROPERTIES:
        raise LimitExceeded(f"row {entity.row!r} has {len(entity.values)} properties, at most {MAX_PROPERTIES} fit")
    size = _size_of_keys(entity)
    where = f"of row {entity.row!r}"
    for name, value in entity.values.items():
        _check_name(where, name)
        size += 8 + 2 * len(name) + _checked_size_of_value(where, name, value)
    if size > MAX_ENTITY_BYTES:
        raise LimitExceeded(f"row {entity.row!r} has {size} bytes, at most {MAX_ENTITY_BYTES} fit")
    return size


def _check_name(where: str, name: str) -> None:
    if not (name.isidentifier() and name.isascii()) or len(name) > MAX_NAME or name in _OWN_NAMES:
        raise LimitExceeded(
            f"property {name[:80]!r} {where}: a name has at most {MAX_NAME} ASCII letters, digits and _, does "
            f"not begin with a digit, and is none of {', '.join(sorted(_OWN_NAMES))}"
        )


def _checked_size_of_value(where: str, name: str, value: Value) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        raise LimitExceeded(f"property {name!r} {where} is {value}: integers have 64 bits")
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        raise LimitExceeded(f"property {name!r} {where} is {value!r} without a time zone: add tzinfo=datetime.UTC")
    if isinstance(value, datetime.datetime) and value.year < _FIRST_YEAR:
        raise LimitExceeded(f"property {name!r} {where} is {value}: times begin in {_FIRST_YEAR}")
    if isinstance(value, str) and not value.isascii() and re.search(_SURROGATE, value):
        raise LimitExceeded(f"property {name!r} {where} contains half a surrogate pair, which is no text")
    size = _size_of_value(value)
    if size > MAX_PROPERTY_BYTES:
        raise LimitExceeded(f"property {name!r} {where} has {size} bytes, at most {MAX_PROPERTY_BYTES} fit")
    return size


def _size_of_value(value: Value) -> int:
    if isinstance(value, str):
        return 2 * len(value) if value.isascii() else len(value.encode("utf-16-le", errors="surrogatepass"))
    if isinstance(value, bytes):
        return len(value)
    return 1 if isinstance(value, bool) else 8
