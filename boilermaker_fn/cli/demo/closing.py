"""How does the demo end? With the day's report: a graph over what was shipped, once every order has ended."""

from __future__ import annotations

from typing import Any

import click

from ...app import Boilermaker
from ...graph.graph import TaskGraph
from ...graph_handle import GraphHandle
from ...graph_states import GraphState, NodeInfo
from ...wiring import Wiring
from . import example
from .counting import Operations
from .ledger import Ledger
from .runs import Run


class Closing:
    """The graph of one run. It is followed by a `wiring` that does not count; what `app` does is in `operations`."""

    def __init__(self, app: Boilermaker, wiring: Wiring, run: Run, ledger: Ledger, operations: Operations) -> None:
        self._app = app
        self._wiring = wiring
        self._run = run
        self._ledger = ledger
        self._operations = operations
        self._graph: TaskGraph | None = None
        self._state: GraphState | None = None
        self._nodes: list[NodeInfo] = []
        self._mapped = 0
        self._report: Any = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self._state is not None and self._state.status.ended

    async def begin(self) -> None:
        """Publish the report over what was shipped. Again is harmless: the ids are the run's, and so are the tasks."""
        shipped = [case.label for case in self._ledger.succeeded]
        self._graph = example.closing().day_report(self._app, shipped, self._run.name)
        self._before = copy(operations)
        await self._app.publish_graph(self._graph)

    async def look(self) -> tuple[bool, bool]:
        """Read where it stands: whether that has changed, and whether it has ended."""
        assert self._graph is not None  # noqa: S101 for the type checker: it has begun
        handle = self._handle(self._graph.graph_id)
        before, self._state = self._state, await handle.status()
        if self.ended:
            self._nodes = [node async for node in handle.nodes()]
            parts = [await self._handle(node.graph_id).status() for node in self._nodes if node.graph_id]
            self._mapped = sum(part.nodes for part in parts)
            self._report = (await handle.task(f"{self._graph.graph_id}.day")).result
        return self._state != before, self.ended

    def _handle(self, graph_id: str) -> GraphHandle:
        return GraphHandle(graph_id, self._wiring, self._app.shell.registry)

    def as_json(self) -> dict[str, Any] | None:
        """All of it, for programs; None if it has not ended."""
        if self._graph is None or self._state is None or not self.ended:
            return None
        done = self._operations
        return {
            "graph_id": self._graph.graph_id,
            "status": self._state.status,
            "tasks": self._tasks,
            "mapped": self._mapped,
            "statuses": self._statuses,
            "operations": {
                "reads": done.reads,
                "queries": done.queries,
                "writes": done.writes,
                "messages": done.messages,
                "sent_again": len(done.sent) - done.messages,
            },
            "report": self._report,
            "mermaid": self._graph.to_mermaid(self._statuses),
        }

    def print(self) -> None:
        """The picture, what failed, the report, and what it cost, for people."""
        if self._graph is None:
            return
        click.echo(f"\nThe day's report\n{self._graph.to_text(self._statuses)}")
        for node in self._nodes:
            if node.message:
                click.echo(f"{node.function}: {node.reason}, {node.error_type.rpartition('.')[2]}: {node.message}")
        takings = ", ".join(f"{amount} {currency}" for currency, amount in self._report["takings"].items())
        click.echo(f"{self._report['parcels']} parcels to {len(self._report['regions'])} regions: {takings}")
        done = self._operations
        click.echo(
            f"{self._tasks} tasks, {self._mapped} of them made by the map: {done.rows} table operations "
            f"({done.reads} reads, {done.queries} queries, {done.writes} writes), {done.rows / self._tasks:.1f} a task; "
            f"{done.messages} messages, {len(done.sent) - done.messages} of them sent again and dropped by the queue"
        )

    @property
    def _tasks(self) -> int:
        return len(self._nodes) + self._mapped

    @property
    def _statuses(self) -> dict[str, str]:
        return {node.task_id: str(node.status) for node in self._nodes}
