"""What stands in the partition of a graph's head? The head, the ends of its blocks, arrivals at a node."""

from __future__ import annotations

import enum
import json
from typing import Final, NamedTuple

from ..entities import Entity, Insert, Merge, Value
from ..errors import StoreUnavailable
from .children import Children, decoded, encoded
from .keys import CALLBACK, HEAD, GraphKey
from .rows import NodeRow, chunked, joined, node_row, seconds, whole


class GraphStatus(enum.StrEnum):
    """Where a graph stands."""

    #: The graph of a node that does not wait for it yet: it does not count.
    PREPARED = "prepared"
    RUNNING = "running"
    SUCCEEDED = "success"
    FAILED = "failure"
    #: No node starts any more; those that run end.
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    #: Its publisher died before it was complete; the watchdog has removed what there was.
    ABANDONED = "abandoned"

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs or will run."""
        return self not in (GraphStatus.PREPARED, GraphStatus.RUNNING, GraphStatus.CANCELLING)


class Counts(NamedTuple):
    """How many nodes have ended how."""

    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0

    def __add__(self, other: object) -> Counts:
        if not isinstance(other, Counts):
            return NotImplemented
        return Counts(*(one + more for one, more in zip(self, other, strict=True)))


class Parent(NamedTuple):
    """The attempt of a node that became this graph and waits for it; `queue` is where its messages go."""

    graph: GraphKey
    number: int
    attempt: int
    queue: str


class HeadRow(NamedTuple):
    """A graph. Written last when it is published: from then on it counts.

    `graph` has the epoch it is in; `blocks` and `nodes` are how many (without the callback), `callback` is how the
    all-failed callback is sent, None if there is none. `queue` is where messages go whose task names none. `finals`
    are the nodes whose results are the graph's (see inputs.py), a list of them if `many`. `build` is a digest of all
    that was published.
    """

    graph: GraphKey
    status: GraphStatus
    blocks: int
    nodes: int
    callback: Children | None
    queue: str
    published_at: float
    build: str
    finals: bytes = b""
    many: bool = False
    parent: Parent | None = None
    finished_at: float = 0.0
    etag: str = ""


class EndRow(NamedTuple):
    """All nodes of a block have ended."""

    block: int
    counts: Counts


def head_inserted(row: HeadRow) -> Insert:
    """The operation that makes a graph count."""
    values: dict[str, Value] = {
        "epoch": row.graph.epoch,
        "status": str(row.status),
        "blocks": row.blocks,
        "nodes": row.nodes,
        "callback": encoded([row.callback] if row.callback else []),
        "queue": row.queue,
        "published_at": row.published_at,
        "build": row.build,
        **chunked("finals", row.finals),
        "many": row.many,
    }
    if row.parent is not None:
        values["parent"] = json.dumps([*row.parent.graph, *row.parent[1:]])
    if row.finished_at:
        values["finished_at"] = row.finished_at
    return Insert(Entity(*row.graph.head, values))


def head_changed(row: HeadRow, **values: Value) -> Merge:
    """The operation that changes a head, if nobody else has."""
    return Merge(Entity(*row.graph.head, values, row.etag))


def end_inserted(graph: GraphKey, end: EndRow) -> Insert:
    """The operation that ends a block."""
    values: dict[str, Value] = {"epoch": graph.epoch, **end.counts._asdict()}
    return Insert(Entity(*graph.end(end.block), values))


def arrival_inserted(graph: GraphKey, child: int, block: int, *, failed: bool) -> Insert:
    """The operation that says that all a child waits for in a block has come (for a handler: with a failure or not)."""
    return Insert(Entity(*graph.arrival(child, block), {"failed": failed}))


class HeadPartition(NamedTuple):
    """What a query of `GraphKey.ends` found for one epoch; no `head`: the graph is in another one, or gone."""

    head: HeadRow | None
    callback: NodeRow | None
    ends: tuple[EndRow, ...]


def head_partition(graph: GraphKey, entities: tuple[Entity, ...]) -> HeadPartition:
    """What is in the rows. Raises StoreUnavailable when they cannot be read."""
    head, callback, ends = None, None, []
    for entity in entities:
        if entity.row == HEAD:
            head = head_row(graph.graph_id, entity)
        elif entity.row == graph.node(CALLBACK).row:
            callback = node_row(entity, CALLBACK)
        elif entity.row.startswith("end-"):
            ends.append(_end_row(entity))
    return HeadPartition(head, callback, tuple(ends))


def head_row(graph_id: str, entity: Entity) -> HeadRow:
    """The head in a row. Raises StoreUnavailable when it cannot be read."""
    values = entity.values
    callback = values.get("callback")
    try:
        return HeadRow(
            graph=GraphKey(graph_id, whole(values, "epoch")),
            status=GraphStatus(str(values.get("status"))),
            blocks=whole(values, "blocks"),
            nodes=whole(values, "nodes"),
            callback=next(iter(decoded(callback)), None) if isinstance(callback, bytes) else None,
            queue=str(values.get("queue", "")),
            published_at=seconds(values, "published_at"),
            build=str(values.get("build", "")),
            finals=joined(values, "finals"),
            many=values.get("many") is True,
            parent=_parent(values.get("parent")),
            finished_at=seconds(values, "finished_at"),
            etag=entity.etag,
        )
    except (ValueError, TypeError) as error:
        raise StoreUnavailable(
            f"the head of graph {graph_id} cannot be read ({error}): deploy the version that wrote it"
        ) from None


def is_cancelling(head: Entity | None) -> bool:
    """Whether a graph is being cancelled, by what STANDING selects of its head."""
    return head is not None and head.values.get("status") == GraphStatus.CANCELLING


def _parent(text: object) -> Parent | None:
    if not isinstance(text, str):
        return None
    graph_id, epoch, *rest = json.loads(text)
    return Parent(GraphKey(graph_id, epoch), *rest)


def _end_row(entity: Entity) -> EndRow:
    counts = Counts(*(whole(entity.values, name) for name in Counts._fields))
    return EndRow(int(entity.row.rpartition("-")[2]), counts)


#: What says where a graph stands.
STANDING: Final = ("epoch", "status")
#: What deciding about the end needs of the callback's row beside its status, and of the head.
ENDS: Final = (
    "epoch", "status", "blocks", "nodes", "callback", "queue", "published_at", "build", "many", "parent",
    "finished_at", "attempt", "due", "claim", "claimed_until", *Counts._fields,
)  # fmt: skip
