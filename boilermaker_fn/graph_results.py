"""What can be read of a published graph? Where it and its nodes stand, why some failed, and the values it ends with."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final

from . import effects as fx
from . import table_effects as tx
from .entities import Entity, Where
from .errors import StoreUnavailable
from .graph_errors import GraphNotFound
from .graph_progress import resolution
from .graph_progress.advance import NOT_SUCCEEDED
from .graph_progress.heads import ENDS, Counts, GraphStatus, HeadPartition, HeadRow, head_partition, head_row
from .graph_progress.inputs import decoded_runs
from .graph_progress.keys import CALLBACK, GraphKey
from .graph_progress.rows import NodeRow, NodeStatus, node_row, nodes_in, whole
from .graph_states import GraphState, NodeInfo, info_of, result_of, state_of
from .performing import performed
from .ports import Table
from .task.result import TaskResult

#: What is read of a node to say where it stands.
_INFO: Final = (
    "status", "task_id", "function", "attempt", "due", "reason", "error_type", "message", "traceback", "started_at",
    "finished_at", "subgraph",
)  # fmt: skip
_FAILED: Final = (Where("status", "eq", NodeStatus.FAILED.value),)


class GraphRows:
    """The rows of one graph. Everything raises GraphNotFound when there is no such graph, and StoreUnavailable."""

    def __init__(self, table: Table, clock: Callable[[], float], graph_id: str) -> None:
        self._table = table
        self._clock = clock
        self._graph_id = graph_id

    async def status(self) -> GraphStatus:
        """Where the graph stands, by reading two properties of one row."""
        return (await self._head(("epoch", "status"))).status

    async def state(self) -> GraphState:
        """The counts: of blocks that have ended from one query for all, of others from one query each."""
        found = await self._head_partition()
        head = _head(found, self._graph_id)
        counts = sum((end.counts for end in found.ends), Counts())
        standing: dict[NodeStatus, int] = {NodeStatus.PENDING: 0, NodeStatus.STARTED: 0, NodeStatus.WAITING: 0}
        if not head.status.ended:
            for block in sorted({*range(head.blocks)} - {end.block for end in found.ends}):
                for row in await self._nodes(head.graph, block, NOT_SUCCEEDED, ("status", "reason")):
                    if row.status.ended:
                        counts += _counts(row)
                    else:
                        standing[row.status] += 1
            others = counts.failed + counts.skipped + counts.cancelled + sum(standing.values())
            counts = counts._replace(succeeded=head.nodes - others)
        return state_of(head, counts, found.callback, standing)

    async def nodes(self) -> AsyncIterator[NodeInfo]:
        """All nodes, block by block, and then the callback."""
        head = await self._head()
        for block in range(head.blocks):
            for row in await self._nodes(head.graph, block, (), _INFO):
                yield info_of(row)
        callback = None if head.callback is None else await self._node(head.graph, CALLBACK, _INFO)
        if callback is not None:
            yield info_of(callback)

    async def failures(self) -> AsyncIterator[NodeInfo]:
        """Those that failed; only blocks are read in which there are some, or may be."""
        found = await self._head_partition()
        head = _head(found, self._graph_id)
        without = {end.block for end in found.ends if not end.counts.failed}
        for block in range(head.blocks) if found.ends or not head.status.ended else ():
            if block not in without:
                for row in await self._nodes(head.graph, block, _FAILED, _INFO):
                    yield info_of(row)
        if found.callback is not None and found.callback.status is NodeStatus.FAILED:
            yield info_of(await self._node(head.graph, CALLBACK, _INFO) or found.callback)

    async def number_of(self, task_id: str) -> int | None:
        """The number of a task, by looking into one block after another."""
        head = await self._head()
        where = (Where("task_id", "eq", task_id),)
        for block in range(head.blocks):
            for row in await self._nodes(head.graph, block, where, ("status", "task_id")):
                return row.number
        callback = None if head.callback is None else await self._node(head.graph, CALLBACK, ("status", "task_id"))
        return CALLBACK if callback is not None and callback.task_id == task_id else None

    async def result_of(self, number: int) -> TaskResult:
        """What became of a node."""
        head = await self._head()
        row = await self._node(head.graph, number, _INFO)
        if row is None:
            raise GraphNotFound(self._graph_id)
        value = None
        if row.status is NodeStatus.SUCCEEDED:
            (value,) = await self._values(head.graph, [number], lambda text: json.loads(text.data or b"null"))
        return result_of(head, row, value)

    async def value(self, revived: Callable[[resolution.Text], Any]) -> Any:
        """What a graph that has succeeded gives: the value of its only final node, or a list."""
        head = await self._head()
        numbers = [number for run in decoded_runs(head.finals) for number in run.numbers]
        values = await self._values(head.graph, numbers, revived)
        return values if head.many else values[0]

    async def _values(
        self, graph: GraphKey, numbers: Iterable[int], revived: Callable[[resolution.Text], Any]
    ) -> list[Any]:
        numbers = [*numbers]
        state, effect = resolution.started(graph, numbers)
        while effect is not None:
            state, effect = resolution.step(state, await self._answer(effect))
        if state.lost is not None:  # it was purged in between
            raise GraphNotFound(self._graph_id)
        values = resolution.values_of(state, revived)
        return [values[resolution.Source(graph, number)] for number in numbers]

    async def _head(self, select: tuple[str, ...] | None = None) -> HeadRow:
        event = await self._answer(tx.Read(*GraphKey(self._graph_id).head, select))
        if not isinstance(event, tx.Found) or event.entity is None:
            raise GraphNotFound(self._graph_id)
        return head_row(self._graph_id, event.entity)

    async def _head_partition(self) -> HeadPartition:
        graph = GraphKey(self._graph_id)
        entities = await self._rows(tx.Query(*graph.ends, select=ENDS))
        epoch = max((whole(one.values, "epoch") for one in entities if one.row == graph.head.row), default=0)
        current = tuple(one for one in entities if whole(one.values, "epoch") == epoch)
        return head_partition(graph._replace(epoch=epoch), current)

    async def _nodes(
        self, graph: GraphKey, block: int, where: tuple[Where, ...], select: tuple[str, ...]
    ) -> Iterable[NodeRow]:
        entities = await self._rows(tx.Query(*graph.nodes(block), where=where, select=select))
        return nodes_in(entities, block).values()

    async def _node(self, graph: GraphKey, number: int, select: tuple[str, ...]) -> NodeRow | None:
        event = await self._answer(tx.Read(*graph.node(number), select))
        entity = event.entity if isinstance(event, tx.Found) else None
        return None if entity is None else node_row(entity, number)

    async def _rows(self, query: tx.Query) -> tuple[Entity, ...]:
        event = await self._answer(query)
        return event.entities if isinstance(event, tx.Queried) else ()

    async def _answer(self, effect: tx.TableEffect) -> tx.TableEvent:
        event = await performed(effect, self._table, self._clock)
        if isinstance(event, fx.StoreDown):
            raise StoreUnavailable(event.error)
        return event


def _head(found: HeadPartition, graph_id: str) -> HeadRow:
    if found.head is None:
        raise GraphNotFound(graph_id)
    return found.head


def _counts(row: NodeRow) -> Counts:
    if row.status is NodeStatus.FAILED:
        return Counts(failed=1)
    return Counts(cancelled=1) if row.reason else Counts(skipped=1)
