"""Which graphs are there? One row for each, in one of 16 partitions chosen by its id.

It is written before all others, so whatever there is of a graph can be found and removed. Graphs that nodes became are
listed too, with the graph that they belong to.
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple

from ..entities import Entity, Insert, Value
from .keys import Address
from .rows import seconds, whole

_PARTITIONS: Final = 16
#: The property by which old graphs are found, in seconds since the epoch.
PUBLISHED: Final = "published_at"


class Listed(NamedTuple):
    """A graph whose publishing began at `published_at` (seconds since the epoch), with this many `blocks`.

    `parent` is the graph of which a node became this one, "" for one that users have published.
    """

    graph_id: str
    published_at: float
    blocks: int
    parent: str = ""


def listed(one: Listed) -> Insert:
    """The operation that lists a graph."""
    values: dict[str, Value] = {PUBLISHED: one.published_at, "blocks": one.blocks, "parent": one.parent}
    return Insert(Entity(*address_of(one.graph_id), values))


def address_of(graph_id: str) -> Address:
    """The row that lists a graph."""
    return Address(_partition(zlib.crc32(graph_id.encode()) % _PARTITIONS), graph_id)


def read(entity: Entity) -> Listed:
    """The graph in a row."""
    values = entity.values
    return Listed(entity.row, seconds(values, PUBLISHED), whole(values, "blocks"), str(values.get("parent", "")))


def partitions() -> list[str]:
    """All partitions, in order."""
    return [_partition(number) for number in range(_PARTITIONS)]


def _partition(number: int) -> str:
    return f"graphs-{number:02x}"
