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
        self._mapped: dict[str, int] = {}
        self._report: Any = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self._state is not None and self._state.status.ended

    async def begin(self) -> None:
        """Publish the report over what was shipped. Again is harmless: the ids are the run's, and so are the tasks."""
        shipped = [case.label for case in self._ledger.succeeded]
        self._graph = graph = example.closing().day_report(self._app, shipped, self._run.name)
        self._operations.clear()  # messages of earlier runs, which look after their graphs, have come by now
        await self._app.publish_graph(graph)

    async def look(self) -> tuple[bool, bool]:
        """Read where it stands: whether that has changed, and whether it has ended."""
        if self._graph is None:
            return False, False
        handle = self._handle(self._graph.graph_id)
        before, self._state = self._state, await handle.status()
        if self.ended:
            self._nodes = [node async for node in handle.nodes()]
            grown = [node for node in self._nodes if node.graph_id]
            self._mapped = {node.task_id: (await self._handle(node.graph_id).status()).nodes for node in grown}
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
            "mapped": sum(self._mapped.values()),
            "statuses": self._statuses,
            "operations": {
                "reads": done.reads,
                "queries": done.queries,
                "writes": done.writes,
                "messages": done.messages,
                "dropped": done.dropped,
            },
            "report": self._report,
            "mermaid": self._graph.to_mermaid(self._statuses),
        }

    def print(self) -> None:
        """The picture, what failed, the report, and what it cost, for people."""
        if self._graph is None or self._state is None:
            return
        sizes = {task_id: f", tasks of its own: {size}" for task_id, size in self._mapped.items()}
        standing = {task_id: f"{status}{sizes.get(task_id, '')}" for task_id, status in self._statuses.items()}
        click.echo(f"\nThe day's report is a graph. It ended as {self._state.status}:\n{self._graph.to_text(standing)}")
        for node in self._nodes:
            if node.message:
                click.echo(f"{node.function}: {node.reason}, {node.error_type.rpartition('.')[2]}: {node.message}")
        if self._report is not None:
            takings = ", ".join(f"{amount} {currency}" for currency, amount in self._report["takings"].items())
            click.echo(f"{self._report['parcels']} parcels to {len(self._report['regions'])} regions: {takings}")
        click.echo(self._cost())

    def _cost(self) -> str:
        done = self._operations
        since = " since this run went on" if self._run.continued else ""
        kinds = f"{done.reads} reads, {done.queries} queries, {done.writes} writes"
        return (
            f"{self._tasks} tasks took {done.rows} table operations{since}, {done.rows / self._tasks:.1f} a task "
            f"({kinds}), {done.messages} messages, and {done.dropped} that the queue dropped as duplicates"
        )

    @property
    def _tasks(self) -> int:
        return len(self._nodes) + sum(self._mapped.values())

    @property
    def _statuses(self) -> dict[str, str]:
        return {node.task_id: str(node.status) for node in self._nodes}
