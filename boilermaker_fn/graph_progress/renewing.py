"""What does a row of an ended epoch become in the next one? It stays, or is again as it was published."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..entities import Entity, Insert
from .block import Ready
from .children import Children
from .heads import Counts, EndRow
from .keys import GraphKey, number_at
from .rows import NodeRow, NodeStatus, inserted, node_row


def copied(graph: GraphKey, entity: Entity, block: int, anew: Collection[int]) -> Insert:
    """A node's row for the epoch of `graph`, as it is unless the node is one of those that begin `anew`."""
    row = node_row(entity, number_at(block, entity.row))
    if row.number in anew:
        return as_published(graph, row)
    # Who was cancelled and would not have run in any case is skipped now like others.
    values = {name: value for name, value in entity.values.items() if name != "reason"}
    return Insert(Entity(*graph.node(row.number), {**values, "epoch": graph.epoch}))


def as_published(graph: GraphKey, row: NodeRow) -> Insert:
    """The row of a node that begins anew in the epoch of `graph`."""
    published = NodeRow(
        row.number,
        epoch=graph.epoch,
        root=row.root,
        guarded=row.guarded,
        size=row.size,
        home=row.home,
        sent=row.sent,
        task_id=row.task_id,
        function=row.function,
        task=row.task,
        children=row.children,
        inputs=row.inputs,
        build=row.build,
    )
    return inserted(graph, published)


def ready(row: NodeRow) -> Ready:
    """A node that begins anew at once."""
    return Ready(row.number, row.sent or Children(row.number))


def end(block: int, rows: Iterable[NodeRow], anew: Collection[int]) -> EndRow | None:
    """The end of a block, if nobody in it begins anew."""
    rows = [*rows]
    if any(row.number in anew for row in rows):
        return None
    succeeded = sum(row.status is NodeStatus.SUCCEEDED for row in rows)
    return EndRow(block, Counts(succeeded, skipped=len(rows) - succeeded))
