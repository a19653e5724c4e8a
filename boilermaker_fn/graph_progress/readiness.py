"""Which nodes of a graph should be on their way? While it runs, and when it begins anew.

While it runs it is told from all that has not succeeded: who is missing among those has, so a node that waits for
none of them has all that it waits for. Ends are final: what they say stays true, however long ago each block was read.
"""

from __future__ import annotations

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
    """What counts of a node. `sent` says how it is sent, as in its row."""

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

    @property
    def waiting(self) -> Iterator[int]:
        """All that wait for it."""
        return (number for heirs in self.heirs for number in heirs.numbers)


class Lost(NamedTuple):
    """What a graph seems to have lost.

    `ready` are nodes that should run or go on; `ended` those whose end has not led to what it must; `unneeded` are
    pending handlers of which all that they guard has ended well.
    """

    ready: tuple[Ready, ...]
    ended: tuple[int, ...]
    unneeded: tuple[int, ...]


class Renewed(NamedTuple):
    """Who is to begin `anew`, and who of them at once: they come `first`."""

    anew: frozenset[int]
    first: frozenset[int]


def seen_in(entities: tuple[Entity, ...], block: int) -> tuple[Seen, ...]:
    """The nodes in rows of a block, which were selected as WATCHED."""
    return tuple(seen(row) for row in nodes_in(entities, block).values())


def seen(row: NodeRow) -> Seen:
    """What counts of a node."""
    heirs = tuple(Heirs(child.numbers, child.guard) for child in row.children)
    handler = row.guarded is not None
    return Seen(row.number, row.status, row.attempt, row.due, row.claimed_until, handler, row.sent, heirs)


def lost(nodes: Iterable[Seen], settled: Iterable[int], now: float, until: float) -> Lost:
    """What to do for a graph that runs, told from the nodes that have not succeeded.

    `settled` are blocks that have ended and no row says so; what is not due before `until` another look can see to.
    """
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
        elif begun.child.eta <= until:
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


def renewed(nodes: Iterable[Seen]) -> Renewed:
    """Who begins anew when an ended graph does, told from all of its nodes.

    Those that failed or were kept from running, and all that wait for them: handlers of theirs run, or do not, as if
    for the first time. Who was skipped because nothing had failed stays skipped, and with it all that wait for it.
    """
    by_number = {one.number: one for one in nodes}
    held_back = {heir for one in by_number.values() if one.status is not NodeStatus.SUCCEEDED for heir in one.children}
    causes = [number for number, one in by_number.items() if _begins_anew(one) and number not in held_back]
    found = _behind(causes, by_number, without=set())
    barred: set[int] = set()
    # Without those that are barred a handler of theirs may have nobody to wait for.
    while more := _barred(found, by_number):
        barred |= more
        found = _behind(causes, by_number, barred)
    awaiting = {heir for number in found for heir in by_number[number].waiting}
    return Renewed(frozenset(found), frozenset(causes) - awaiting)


def _behind(causes: Iterable[int], by_number: Mapping[int, Seen], without: Collection[int]) -> set[int]:
    """Those, and all that wait for them, but not through some."""
    found: set[int] = set()
    following = [*causes]
    while following:
        number = following.pop()
        if number not in found and number not in without:
            found.add(number)
            following += by_number[number].waiting
    return found


def _barred(found: Collection[int], by_number: Mapping[int, Seen]) -> set[int]:
    """Those that cannot begin anew, because they wait for the success of somebody who stays skipped."""
    following = [
        heir
        for one in by_number.values()
        if one.status is not NodeStatus.SUCCEEDED and one.number not in found
        for heir in one.children
    ]
    barred: set[int] = set()
    while following:
        number = following.pop()
        if number in found and number not in barred:
            barred.add(number)
            following += by_number[number].children
    return barred


def _begins_anew(one: Seen) -> bool:
    return one.status is NodeStatus.FAILED or (one.status is NodeStatus.SKIPPED and not one.handler)


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
