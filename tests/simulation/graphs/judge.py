"""May these rows become those? Asks the truth about every change, once."""

from __future__ import annotations

from collections.abc import Callable

from boilermaker_fn.graph_progress.keys import CALLBACK, HEAD
from boilermaker_fn.graph_progress.node_messages import CLAIMS

from .machines import COPIES, Machines
from .truth import Node, Truth
from .world import REAPED, Held

Rows = tuple[int, ...]


class Judge:
    """Knows what stands in rows that have a number."""

    def __init__(self, machines: Machines) -> None:
        layout = machines.layout
        self._machines = machines
        self._truth = Truth(layout.plan)
        self._steps = dict(zip(layout.numbers, range(len(layout.numbers)), strict=True)) | {CALLBACK: CALLBACK}
        self._places = {machines.graph.node(number): step for number, step in self._steps.items()}
        self._nodes: dict[int, dict[int, Node]] = {0: {}}
        self._right: set[tuple[Rows, Rows, Held]] = set()

    def status(self, rows: Rows) -> str:
        """Where the graph stands, "" before it was published."""
        head = self._machines.rows[rows[0]].get(HEAD)
        return "" if head is None else str(head.values["status"])

    def check(self, before: Rows, after: Rows, held: Held) -> None:
        """Raise Violation if whoever holds this message must not change the rows so."""
        key = (before, after, held)
        if key in self._right:
            return
        then, now = self._all(before), self._all(after)
        aside = bool(held) and held[3] == REAPED
        self._truth.check_change(then, now, now, self._holds(held), aside=aside)
        if (status := self.status(after)) in ("success", "failure"):
            self._truth.check_end(status, now)
        self._right.add(key)

    def _holds(self, held: Held) -> Callable[[str], bool]:
        if not held:
            return lambda claim: False
        message, copy, delivery, place = held
        own, left = message * COPIES + copy + 1, str(self._machines.messages[message].properties.get(CLAIMS, ""))
        if place == REAPED:
            return lambda claim: claim.startswith(f"{own}.") or claim in left.split()
        return lambda claim: claim == f"{own}.{delivery}"

    def _all(self, rows: Rows) -> dict[int, Node]:
        nodes: dict[int, Node] = {}
        for number in rows:
            nodes |= self._in(number)
        return nodes

    def _in(self, number: int) -> dict[int, Node]:
        if number not in self._nodes:
            self._nodes[number] = {
                self._places[address]: Node.read(entity)
                for entity in self._machines.rows[number].values()
                if (address := entity[:2]) in self._places
            }
        return self._nodes[number]
