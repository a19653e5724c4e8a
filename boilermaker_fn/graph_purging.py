"""How are old graphs removed? With all their rows, a bounded number of table operations at a time.

They are found in the list of graphs (`graph_progress.listing`). The head is removed after the blocks, and the place in
the list last, so that a purge that was interrupted is made good by the next one. A graph that a node became goes when
the graph of that node is gone, which has its value.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

from .entities import MAX_OPERATIONS, Entity, Where
from .graph_progress.heads import HeadRow, head_row
from .graph_progress.keys import GraphKey
from .graph_progress.listing import PUBLISHED, Listed, address_of, partitions, read
from .graph_progress.publishing import PUBLISHER_TIME
from .results import Purged, removed

if TYPE_CHECKING:
    from .ports import Table

#: How many table operations one page may take, about.
_OPERATIONS: Final = 200

#: Where a purge of graphs begins.
BEGINNING: Final = partitions()[0]


class GraphPurge:
    """One page of removing graphs that ended before an instant (seconds since the epoch)."""

    def __init__(self, table: Table, before: float) -> None:
        self._table = table
        self._before = before
        self._left = _OPERATIONS

    async def page(self, resume: str) -> Purged:
        """Remove some graphs, or a part of one; `resume` is BEGINNING, or that of the page before."""
        partition, _, place = resume.partition("|")
        done, _, first = place.partition("|")
        count = 0
        async for one in self._listed(partition, first):
            emptied = int(done) if one.graph_id == first else 0
            if self._left <= 0:
                return Purged(count, f"{partition}|{emptied}|{one.graph_id}")
            doomed = await self._doomed(one)
            emptied = await self._emptied(doomed, emptied)
            if emptied < len(doomed):
                return Purged(count, f"{partition}|{emptied}|{one.graph_id}")
            if doomed:
                count += await removed(self._table, [Entity(*address_of(one.graph_id))])
        following = partitions()[partitions().index(partition) + 1 :]
        return Purged(count, following[0] if following else None)

    async def _listed(self, partition: str, first: str) -> AsyncIterator[Listed]:
        """Graphs that may be old enough, from an id on."""
        where, continuation = [Where(PUBLISHED, "lt", self._before)], None
        while True:
            page = await self._table.query(partition, first=first, where=where, continuation=continuation)
            self._left -= 1
            for entity in page.entities:
                yield read(entity)
            if page.continuation is None:
                return
            continuation = page.continuation

    async def _doomed(self, one: Listed) -> Sequence[str]:
        """The partitions of a graph that is to be removed, that of its head last; none if it is to stay."""
        head = await self._head(one.graph_id)
        if not (await self._head(one.parent) is None if one.parent else self._is_old(one, head)):
            return ()
        # Whoever began a new epoch and died has left rows of the one that follows.
        epochs, blocks = (1, one.blocks) if head is None else (head.graph.epoch + 2, head.blocks)
        keys = [GraphKey(one.graph_id, epoch) for epoch in range(epochs)]
        return [*(key.block_partition(block) for key in keys for block in range(blocks)), keys[0].head_partition]

    def _is_old(self, one: Listed, head: HeadRow | None) -> bool:
        if head is None:  # its publisher died, or is still at work
            return one.published_at < self._before - PUBLISHER_TIME
        return head.status.ended and max(head.finished_at, head.published_at) < self._before

    async def _emptied(self, doomed: Sequence[str], emptied: int) -> int:
        """Go on where `emptied` are done already; how many are done now."""
        while emptied < len(doomed) and self._left > 0:
            await self._empty(doomed[emptied])
            emptied += 1
        return emptied

    async def _empty(self, partition: str) -> None:
        continuation = None
        while True:
            page = await self._table.query(partition, select=["epoch"], continuation=continuation)
            self._left -= 1
            for start in range(0, len(page.entities), MAX_OPERATIONS):
                await removed(self._table, page.entities[start : start + MAX_OPERATIONS])
                self._left -= 1
            if page.continuation is None:
                return
            continuation = page.continuation

    async def _head(self, graph_id: str) -> HeadRow | None:
        entity = await self._table.read(*GraphKey(graph_id).head)
        self._left -= 1
        return None if entity is None else head_row(graph_id, entity)
