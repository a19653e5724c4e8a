"""What does a row of an ended epoch become in the next one? It stays, or is again as it was published.

What has come for those that begin anew from blocks in which nobody does stands in rows of its own, as at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from ..entities import Entity, Insert, Operation, in_transactions
from .block import Ready
from .children import Children
from .heads import Counts, EndRow, arrival_inserted
from .keys import GraphKey, block_of, number_at, place_of
from .readiness import Renewed
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


def arrivals(
    graph: GraphKey, block: int, rows: Mapping[int, NodeRow], renewed: Renewed
) -> Iterator[tuple[Operation, ...]]:
    """What those that begin anew wait for in a block, beside others, if nobody in it begins anew: it has come.

    Whoever it waits for has succeeded, or is guarded by it and has not failed. In transactions, for each block one.
    """
    running = sum(1 << place_of(number) for number in rows if number in renewed.anew)
    found: dict[int, dict[int, Insert]] = {}
    for child in {child: None for row in rows.values() for child in row.children}:
        if child.blocks > 1 and not child.mask & running:
            for number in child.numbers:
                if number in renewed.anew and number not in renewed.first:
                    arrival = arrival_inserted(graph, number, block, failed=False)
                    found.setdefault(block_of(number), {})[number] = arrival
    for some in found.values():
        yield from in_transactions(some[number] for number in sorted(some))
