"""What can be done with rows, and what happened then? The words with which a graph's progress is kept.

Beside `effects.py`, and apart from it so that an app without graphs does not load them. Each effect is performed on
the Table port and yields one event, or StoreDown. Times are seconds since the epoch.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from .entities import Entity, Operation, Where


class Read(NamedTuple):
    """Read one row; `select` names the properties wanted, None means all. Yields Found."""

    partition: str
    row: str
    select: tuple[str, ...] | None = None


class Query(NamedTuple):
    """Read all rows with `first <= row key < before` that meet all conditions. Yields Queried."""

    partition: str
    first: str
    before: str
    where: tuple[Where, ...] = ()
    select: tuple[str, ...] | None = None


class Write(NamedTuple):
    """Do all operations in one partition, or none. Yields Written, Refused, or Missing."""

    operations: tuple[Operation, ...]


TableEffect: TypeAlias = Read | Query | Write


class Found(NamedTuple):
    """The row, or None."""

    entity: Entity | None
    now: float


class Queried(NamedTuple):
    """The rows, by row key."""

    entities: tuple[Entity, ...]
    now: float


class Written(NamedTuple):
    """All is durable. `etags` are the new ones, in the order of the operations."""

    etags: tuple[str, ...]
    now: float


class Refused(NamedTuple):
    """A row was there already, or somebody else has changed it; nothing was written."""

    now: float


class Missing(NamedTuple):
    """A row to change is not there; nothing was written."""

    now: float


TableEvent: TypeAlias = Found | Queried | Written | Refused | Missing
