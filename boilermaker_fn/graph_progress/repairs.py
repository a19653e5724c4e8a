"""What does the watchdog send? Messages for what a graph seems to have lost, under a generation of their own.

Their ids are new in each round, so that no queue takes them for those that were lost. They can repeat what is still
queued; nothing of it runs beside a live claim, and whoever meets an ended node only repeats what its end led to.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..messages import Message
from . import readiness
from .advance import Visit
from .block import Ready
from .heads import Counts, GraphStatus, HeadPartition, HeadRow, Parent
from .keys import CALLBACK, block_of
from .messages import NodeMessage, WatchMessage, node_message
from .rows import NodeRow, NodeStatus


def of_nodes(watch: WatchMessage, head: HeadRow, lost: readiness.Lost, now: float) -> list[Message]:
    """For nodes that should run, and for ended ones that should repeat what their end leads to."""
    ready = (
        readiness.message(watch.graph, one, home=head.queue, now=now, generation=watch.round) for one in lost.ready
    )
    return [*ready, *(of_ended(watch, head, number) for number in lost.ended)]


def of_ended(watch: WatchMessage, head: HeadRow, number: int) -> Message:
    """For a node that has ended: whoever gets it runs nothing."""
    return node_message(NodeMessage(watch.graph, number, generation=watch.round), queue=head.queue)


def of_end(watch: WatchMessage, head: HeadRow, found: HeadPartition, now: float) -> list[Message]:
    """For a graph that has not ended though all of its blocks have."""
    callback = found.callback
    if callback is None or (callback.status is NodeStatus.PENDING and not _calls_back(head, found)):
        return [of_ended(watch, head, 0)]
    if callback.status.ended:
        return [of_ended(watch, head, CALLBACK)]
    ready = readiness.overdue(readiness.seen(callback._replace(sent=head.callback)), now)
    return [] if ready is None else [_of_ready(watch, head, ready, now)]


def of_parent(watch: WatchMessage, parent: Parent) -> Message:
    """For the node that became this graph."""
    attempt = NodeMessage(parent.graph, parent.number, parent.attempt, generation=watch.round)
    return node_message(attempt, queue=parent.queue, suffix=f"/{watch.graph.graph_id[:32]}")


def visits(unneeded: Iterable[int]) -> list[Visit]:
    """Handlers that will never run, to be marked: of what they guard only their own block could be told."""
    blocks: dict[int, list[int]] = {}
    for number in unneeded:
        blocks.setdefault(block_of(number), []).append(number)
    return [Visit(block, condemned=tuple(numbers)) for block, numbers in blocks.items()]


def waits_for(row: NodeRow, head: HeadRow) -> bool:
    """Whether a node waits for this graph."""
    return row.status is NodeStatus.WAITING and row.subgraph == head.graph.graph_id


def _of_ready(watch: WatchMessage, head: HeadRow, ready: Ready, now: float) -> Message:
    return readiness.message(watch.graph, ready, home=head.queue, now=now, generation=watch.round)


def _calls_back(head: HeadRow, found: HeadPartition) -> bool:
    counts = sum((end.counts for end in found.ends), Counts())
    return bool(counts.failed) and head.status is not GraphStatus.CANCELLING
