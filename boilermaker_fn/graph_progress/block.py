"""What does a look at a block say? Who can run now, who never will, what has come together, and whether all have ended.

A look is a query for *everything that has not succeeded* (who is missing from it has). Asking only for what has not
ended would hide that a parent failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from .children import Children, falling
from .heads import Counts
from .keys import block_of, place_of
from .rows import Looked, NodeRow, NodeStatus


class Ready(NamedTuple):
    """A node to be sent; `child` says how. `due` is that of a retry (seconds since the epoch), 0 of a first attempt."""

    number: int
    child: Children
    attempt: int = 1
    due: float = 0.0


class Arrival(NamedTuple):
    """All that a child waits for in `block`, one of several, has come; for a handler: with a failure, or not."""

    number: int
    block: int
    child: Children
    failed: bool


class Judgement(NamedTuple):
    """What follows from one look.

    `condemned` are pending nodes of this block that will never run; as long as there are some, nothing else counts:
    mark them, and look again. `elsewhere` are those of other blocks. `counts` says how all of the block have ended,
    None if some have not.
    """

    condemned: tuple[int, ...] = ()
    ready: tuple[Ready, ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    elsewhere: tuple[int, ...] = ()
    counts: Counts | None = None


def judged(block: int, rows: Looked, starts: Sequence[NodeRow]) -> Judgement:
    """What follows for those that wait for `starts`, ended nodes of this block, and for those below them.

    `rows` are the nodes of the block that have not succeeded.
    """
    look = _Look(block, rows)
    for start in starts:
        look.walk(start)
    if look.condemned:
        return Judgement(condemned=tuple(look.condemned))
    return Judgement(
        ready=tuple(look.ready.values()),
        arrivals=tuple(look.arrivals.values()),
        elsewhere=tuple(look.elsewhere),
        counts=_counts(starts[0].size, rows),
    )


class _Look:
    """One walk over a block. Masks have a bit for each place."""

    def __init__(self, block: int, rows: Looked) -> None:
        self._block = block
        self._rows = rows
        self._unsettled = self._failed = skipped = 0
        for number, status in rows.statuses.items():
            place = 1 << place_of(number)
            if not status.ended:
                self._unsettled |= place
            elif status is NodeStatus.FAILED:
                self._failed |= place
            else:
                skipped |= place
        self._lost = self._failed | skipped
        self._walked: set[int] = set()
        # Dictionaries, to keep the order: what follows from the same rows is always the same.
        self.condemned: dict[int, None] = {}
        self.ready: dict[int, Ready] = {}
        self.arrivals: dict[int, Arrival] = {}
        self.elsewhere: dict[int, None] = {}

    def walk(self, start: NodeRow) -> None:
        """Look at all who wait for an ended node; whoever is skipped is an ended node too."""
        following = [start]
        while following:
            row = following.pop()
            if row.number in self._walked:
                continue
            self._walked.add(row.number)
            for child in row.children:
                following += self._skipped(child, row) if self._never_runs(child) else self._on_its_way(child)

    def _never_runs(self, child: Children) -> bool:
        if not child.guard:
            return bool(child.mask & self._lost)
        # A handler over several blocks: the last of them decides.
        return child.blocks == 1 and not child.mask & (self._unsettled | self._failed)

    def _skipped(self, child: Children, parent: NodeRow) -> list[NodeRow]:
        if not child.guard and parent.status is NodeStatus.SUCCEEDED:
            return []  # another parent condemns it, and that one's own delivery sees to it
        following = []
        for number in child.numbers:
            if block_of(number) != self._block:
                self.elsewhere |= dict.fromkeys(falling(number, child.below))
            elif (row := self._rows.get(number)) is not None and row.status in _NEVER_RAN:
                if row.status is NodeStatus.PENDING:
                    self._condemn(number)
                following.append(row)
        return following

    def _condemn(self, number: int) -> None:
        self.condemned[number] = None
        self._lost |= 1 << place_of(number)
        self._unsettled &= ~(1 << place_of(number))

    def _on_its_way(self, child: Children) -> list[NodeRow]:
        following: list[NodeRow] = []
        if child.mask & self._unsettled:
            return following
        for number in child.numbers:
            row = self._rows.get(number)
            if block_of(number) == self._block and (row is None or row.status is not NodeStatus.PENDING):
                # It runs, or has run; or as a handler it is not needed, and who has skipped it may have died since.
                if child.guard and row is not None and row.status is NodeStatus.SKIPPED:
                    following.append(row)
                continue
            if child.blocks > 1:
                self.arrivals[number] = Arrival(number, self._block, child, bool(child.mask & self._failed))
            elif row is None:
                self.ready[number] = Ready(number, child)
            else:
                self.ready[number] = Ready(number, child, row.attempt, row.due)
        return following


_NEVER_RAN: Final = (NodeStatus.PENDING, NodeStatus.SKIPPED)


def _counts(size: int, rows: Looked) -> Counts | None:
    failed = skipped = cancelled = 0
    for number, status in rows.statuses.items():
        if status is NodeStatus.FAILED:
            failed += 1
        elif status is not NodeStatus.SKIPPED:
            return None
        elif (row := rows.get(number)) is not None and row.reason:
            cancelled += 1
        else:
            skipped += 1
    return Counts(size - failed - skipped - cancelled, failed, skipped, cancelled)
