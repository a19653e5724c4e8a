"""Which nodes of a graph should be on their way? Told from all that has not succeeded, whoever has lost what.

Whoever is missing among those seen has succeeded, so a node for which nobody who is seen waits has all it waits for.
Ends are final: what they say stays true, however long ago each block was read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from ..entities import Entity
from ..messages import Message
from .block import Ready
from .children import Children, due
from .keys import BLOCK, GraphKey
from .messages import NodeMessage, node_message
from .rows import NodeRow, NodeStatus, nodes_in


class Heirs(NamedTuple):
    """Nodes that wait for another: as `guard`, or for its success."""

    numbers: range
    guard: bool


class Seen(NamedTuple):
    """What counts of a node that has not succeeded. `sent` says how it is sent, as in its row."""

    number: int
    status: NodeStatus
    attempt: int
    due: float
    claimed_until: float
    handler: bool
    sent: Children | None
    heirs: tuple[Heirs, ...]

    @property
    def guarding(self) -> Iterator[int]:
        """The handlers that wait for it."""
        return (number for heirs in self.heirs if heirs.guard for number in heirs.numbers)

    @property
    def children(self) -> Iterator[int]:
        """The others that wait for it."""
        return (number for heirs in self.heirs if not heirs.guard for number in heirs.numbers)


class Lost(NamedTuple):
    """What a graph seems to have lost.

    `ready` are nodes that should run or go on; `ended` those whose end has not led to what it must; `unneeded` are
    pending handlers of which all that they guard has ended well.
    """

    ready: tuple[Ready, ...]
    ended: tuple[int, ...]
    unneeded: tuple[int, ...]


def seen_in(entities: tuple[Entity, ...], block: int) -> tuple[Seen, ...]:
    """The nodes in rows of a block, which were selected as WATCHED."""
    return tuple(seen(row) for row in nodes_in(entities, block).values())


def seen(row: NodeRow) -> Seen:
    """What counts of a node."""
    heirs = tuple(Heirs(child.numbers, child.guard) for child in row.children)
    handler = row.guarded is not None
    return Seen(row.number, row.status, row.attempt, row.due, row.claimed_until, handler, row.sent, heirs)


def lost(nodes: Iterable[Seen], settled: Iterable[int], now: float) -> Lost:
    """What to do for a graph that runs; `settled` are blocks that have ended and no row says so."""
    nodes = tuple(nodes)
    around = _around(nodes)
    ready: list[Ready] = []
    ended = dict.fromkeys(block * BLOCK for block in settled)
    unneeded = []
    for one in nodes:
        if one.number in around.condemned and one.status is NodeStatus.PENDING:
            ended[around.condemned[one.number]] = None
        elif one.number in around.waiting or (begun := overdue(one, now)) is None:
            continue
        elif one.handler and one.status is NodeStatus.PENDING and one.number not in around.failed:
            unneeded.append(one.number)
        else:
            ready.append(begun)
    return Lost(tuple(ready), tuple(ended), tuple(unneeded))


def overdue(one: Seen, now: float) -> Ready | None:
    """A node for which a message should be on its way, if it waits for no other: pending and due, or nobody's claim."""
    child = one.sent or Children(one.number)
    if one.status is NodeStatus.PENDING and one.due <= now:
        begun = one.attempt > 1
    elif one.status is NodeStatus.WAITING or (one.status is NodeStatus.STARTED and one.claimed_until < now):
        begun = True
    else:
        return None
    # What was to be waited for before the first attempt is not waited for again.
    return Ready(one.number, child._replace(delay=0.0, eta=0.0) if begun else child, one.attempt)


def for_good(nodes: Iterable[Seen]) -> frozenset[int]:
    """Those that were skipped and will be in any other attempt at the graph: nothing that failed is the reason."""
    by_number = {one.number: one for one in nodes}
    guards = Counter(number for one in by_number.values() for number in one.guarding)
    following = [one.number for one in by_number.values() if one.handler and not guards[one.number]]
    found: set[int] = set()
    while following:
        number = following.pop()
        if number in found or number not in by_number:
            continue  # a handler can have succeeded in an epoch before this one
        found.add(number)
        one = by_number[number]
        guards.subtract(one.guarding)
        following += [handler for handler in one.guarding if not guards[handler]]
        following += one.children
    return frozenset(found)


def first(nodes: Iterable[Seen]) -> frozenset[int]:
    """Those that can run at once when a graph is begun anew: all that they wait for has succeeded."""
    nodes = tuple(nodes)
    waiting = {number for one in nodes for number in one.children}
    return frozenset(one.number for one in nodes if not one.handler and one.number not in waiting)


def message(graph: GraphKey, ready: Ready, *, home: str, now: float, generation: int = 0) -> Message:
    """The message for a node that is ready, due when its delay and its time have come."""
    attempt = NodeMessage(graph, ready.number, ready.attempt, generation)
    return node_message(attempt, queue=ready.child.queue or home, not_before=due(ready.child, now))


class _Around(NamedTuple):
    """What stands around nodes: those that wait for somebody who has not ended; those that cannot run any more, each
    with one who is to blame; handlers of which a guard has failed.
    """

    waiting: Collection[int]
    condemned: Mapping[int, int]
    failed: Collection[int]


def _around(nodes: Iterable[Seen]) -> _Around:
    waiting: set[int] = set()
    condemned: dict[int, int] = {}
    failed: set[int] = set()
    for one in nodes:
        if not one.status.ended:
            waiting.update(one.children, one.guarding)
            continue
        condemned |= dict.fromkeys(one.children, one.number)
        if one.status is NodeStatus.FAILED:
            failed.update(one.guarding)
    return _Around(waiting, condemned, failed)
