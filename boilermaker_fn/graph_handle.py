"""What became of the graph that I published? Its handle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from .graph_control import GraphControl
from .graph_errors import (
    GraphAbandoned,
    GraphCancelled,
    GraphFailed,
    GraphsNotKept,
    GraphTimeout,
    NodeNotFound,
    NodeResultMismatch,
)
from .graph_progress.heads import GraphStatus
from .graph_progress.resolution import Text
from .graph_results import GraphRows
from .graph_states import GraphState, NodeInfo
from .ids import GraphId
from .task.result import TaskResult
from .task.task import Task

if TYPE_CHECKING:
    from .registry import Registry
    from .wiring import Wiring

# Seconds between looks at the graph: quick for short ones, cheap for long ones.
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 1.0
#: How many failed tasks an error names.
_NAMED: Final = 10


class GraphHandle:
    """Follows one graph by its id. `numbers` has the places of its tasks in it, by task id, where they are known.

    Raises GraphsNotKept for an app without a store. Its methods raise GraphNotFound when there is no such graph, and
    StoreUnavailable when the store does not answer.
    """

    def __init__(
        self, graph_id: str, wiring: Wiring, registry: Registry, numbers: Mapping[str, int] | None = None
    ) -> None:
        if wiring.results is None:
            raise GraphsNotKept(graph_id)
        self.graph_id = GraphId(graph_id)
        self._rows = GraphRows(wiring.results.table, wiring.clock, graph_id)
        self._control = GraphControl(wiring.results.table, wiring.engine.transport, wiring.clock, graph_id)
        self._registry = registry
        self._numbers = numbers

    def __repr__(self) -> str:
        return f"GraphHandle({self.graph_id!r})"

    async def status(self) -> GraphState:
        """Where the graph stands and how many of its tasks stand how.

        Costs one query, and one for each hundred tasks of which some have not ended.
        """
        return await self._rows.state()

    async def result(self, timeout: float | None = None) -> Any:
        """Wait for the graph to end and return its value, revived by return annotations.

        That is the value of the only task that no other waits for, or a list of their values in the order in which
        they were added. Raises GraphFailed (GraphCancelled, GraphAbandoned) naming tasks that failed, GraphTimeout
        after `timeout` seconds, and NodeResultMismatch for a value that does not fit its annotation.
        """
        status = await self._rows.status()  # however short the time, there is one look
        if not status.ended:
            status = await self._ended_within(timeout)
        if status is not GraphStatus.SUCCEEDED:
            raise await self._failure(status)
        return await self._rows.value(self._revived)

    async def failures(self) -> list[NodeInfo]:
        """The tasks that have failed so far, with their errors."""
        return [node async for node in self._rows.failures()]

    def nodes(self) -> AsyncIterator[NodeInfo]:
        """All tasks, handlers, and the all-failed callback, read a hundred at a time: `async for node in ...`."""
        return self._rows.nodes()

    async def task(self, task: Task | str) -> TaskResult:
        """What became of one task, given itself or by its id; its value is JSON data. Raises NodeNotFound.

        A task that was skipped has the status cancelled and the reason Skipped. A handle that was made from an id
        looks for the task, which costs a query for each hundred tasks.
        """
        task_id = task.task_id if isinstance(task, Task) else task
        number = await self._rows.number_of(task_id) if self._numbers is None else self._numbers.get(task_id)
        if number is None:
            raise NodeNotFound(self.graph_id, task_id)
        return await self._rows.result_of(number)

    async def cancel(self) -> bool:
        """Keep from running what has not started, also in graphs that tasks became.

        True if the graph has been cancelled or will be when the tasks that run have ended (they get no other attempt,
        and nothing follows them); False if it ended before. Raises NotSent; what was begun then goes on by itself.
        Costs a look at each hundred tasks, and for each hundred that waited a mark and another look.
        """
        return await self._control.cancel() in (GraphStatus.CANCELLING, GraphStatus.CANCELLED)

    async def retry_failed(self) -> None:
        """Begin a graph anew that failed or was cancelled: what did not succeed runs, and what waits for it.

        What has succeeded keeps its result and does not run again, except a handler and those behind it, when what it
        guards runs again. Raises GraphNotRetried for any other graph; after NotSent or StoreUnavailable the graph may
        begin anew some minutes later by itself, and it is safe to ask again.
        """
        await self._control.retry_failed()

    async def _ended_within(self, timeout: float | None) -> GraphStatus:
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                return await self._ended()
        except TimeoutError:
            if limit.expired():
                raise GraphTimeout(self.graph_id, timeout or 0) from None
            raise

    async def _ended(self) -> GraphStatus:
        pause = _FIRST_PAUSE
        while True:
            await asyncio.sleep(pause)
            if (status := await self._rows.status()).ended:
                return status
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def _failure(self, status: GraphStatus) -> GraphFailed:
        first: list[NodeInfo] = []
        async for node in self._rows.failures():
            first.append(node)
            if len(first) == _NAMED:
                break
        state = await self._rows.state()
        count = max(len(first), state.failed)
        kind = {GraphStatus.CANCELLED: GraphCancelled, GraphStatus.ABANDONED: GraphAbandoned}.get(status, GraphFailed)
        return kind(self.graph_id, status, first, count)

    def _revived(self, text: Text) -> Any:
        data = json.loads(text.data or b"null")
        registration = self._registry.get(text.function)
        if registration is None:
            return data
        try:
            return registration.signature.result.revive(data)
        except ValidationError as error:
            problem = str(error.errors(include_url=False)[0]["msg"])
            raise NodeResultMismatch(self.graph_id, text.task_id, text.function, problem) from error
