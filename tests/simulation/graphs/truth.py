"""What must always hold? Told from the plan alone, by rules that know nothing of how progress is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from boilermaker_fn.entities import Entity
from boilermaker_fn.graph.plan import Plan
from boilermaker_fn.graph_progress.keys import CALLBACK

ENDED: Final = frozenset({"success", "failure", "skipped"})


class Violation(AssertionError):
    """Something was written that must not be."""


class Node(NamedTuple):
    """What stands in a node's row."""

    status: str
    attempt: int = 1
    claim: str = ""
    reason: str = ""

    @classmethod
    def read(cls, row: Entity) -> Node:
        """What a row says."""
        values = row.values
        claim, reason = values.get("claim", ""), values.get("reason", "")
        return cls(str(values["status"]), int(str(values["attempt"])), str(claim), str(reason))


Nodes = Mapping[int, Node]


class Truth:
    """What may become of the nodes of a plan: step numbers, and CALLBACK for the all-failed callback."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._all = range(len(plan.steps))

    def runs(self, number: int, nodes: Nodes) -> bool | None:
        """Whether a node runs; None as long as that is open."""
        if number == CALLBACK:
            return self._handles([nodes[one].status for one in self._all])
        step = self._plan.steps[number]
        if step.guards:
            return self._handles([nodes[one].status for one in step.guards])
        parents = [nodes[one].status for one in step.parents]
        if any(status in ("failure", "skipped") for status in parents):
            return False
        return True if all(status == "success" for status in parents) else None

    @staticmethod
    def _handles(guarded: Sequence[str]) -> bool | None:
        if not all(status in ENDED for status in guarded):
            return None
        return "failure" in guarded

    def check_change(
        self, before: Nodes, after: Nodes, changed: Iterable[int], holds: Callable[[str], bool], *, aside: bool
    ) -> None:
        """Raise Violation if somebody must not have `changed` this who `holds` some claims; `aside`: a reaper."""
        for number in changed:
            was, now = before.get(number), after[number]
            if was is not None and was != now:
                self._check_node(number, was, now, after)
                if was.status == "started" and now.status != "started" and not holds(was.claim):
                    raise Violation(f"node {number} is claimed by {was.claim}, and ended by somebody else")
                if was.status == "pending" and now.status in ("success", "failure") and not aside:
                    raise Violation(f"node {number} ends without having been claimed")

    def _check_node(self, number: int, was: Node, now: Node, after: Nodes) -> None:
        if was.status in ENDED:
            if was.status != now.status:
                raise Violation(f"node {number} has ended and is written: {was.status}, {now.status}")
            return
        runs = self.runs(number, after)
        if now.status == "skipped" and runs is not False:
            raise Violation(f"node {number} is skipped though it must run, or may")
        if now.status in ("started", "success", "failure") and runs is not True:
            raise Violation(f"node {number} is {now.status} though it must not run, or not yet")
        if now.attempt < was.attempt:
            raise Violation(f"node {number} is at attempt {was.attempt}, and goes back to {now.attempt}")

    def check_end(self, status: str, nodes: Nodes) -> None:
        """Raise Violation if the graph must not have ended so."""
        for number, node in nodes.items():
            if node.status not in ENDED:
                raise Violation(f"the graph has ended, and node {number} is {node.status}")
            if (node.status == "skipped") == self.runs(number, nodes):
                raise Violation(f"the graph has ended, and node {number} is {node.status}")
        failed = any(nodes[number].status == "failure" for number in self._all)
        if status != ("failure" if failed else "success"):
            raise Violation(f"the graph has ended with {status}, and nodes failed: {failed}")
