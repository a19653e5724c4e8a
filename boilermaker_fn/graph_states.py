"""What do users see of a graph? Where it stands, and each of its tasks."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .graph_progress.heads import Counts, GraphStatus, HeadRow
from .graph_progress.rows import NodeRow, NodeStatus
from .ids import GraphId, TaskId
from .outcomes import Reason
from .task.result import TaskResult
from .task.row import TaskStatus


class GraphState(NamedTuple):
    """Where a graph stands, and how many of its `nodes` stand how; handlers are among them.

    `waiting` are those that returned a graph of their own which has not ended. `callback` is where the all-failed
    callback stands, None if there is none; it is not counted.
    """

    status: GraphStatus
    nodes: int
    pending: int = 0
    started: int = 0
    waiting: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0
    callback: NodeStatus | None = None
    published_at: datetime.datetime | None = None
    finished_at: datetime.datetime | None = None


class NodeInfo(NamedTuple):
    """A task of a graph. `number` is its place in the graph, -1 for the all-failed callback.

    `attempt` is the one that is asked for, or was the last; `reason`, `error_type`, `message` and `traceback` say why
    it failed. `due` is when a retry is. `graph_id` is that of the graph that it returned.
    """

    number: int
    task_id: str
    function: str
    status: NodeStatus
    attempt: int
    reason: str = ""
    error_type: str = ""
    message: str = ""
    traceback: str = ""
    due: datetime.datetime | None = None
    started_at: datetime.datetime | None = None
    finished_at: datetime.datetime | None = None
    graph_id: str = ""


def info_of(row: NodeRow) -> NodeInfo:
    """The node in a row."""
    error = row.error
    return NodeInfo(
        row.number,
        row.task_id,
        row.function,
        row.status,
        row.attempt,
        row.reason,
        *(("", "", "") if error is None else error),
        due=_instant(row.due),
        started_at=_instant(row.started_at),
        finished_at=_instant(row.finished_at),
        graph_id=row.subgraph,
    )


def result_of(head: HeadRow, row: NodeRow, value: Any) -> TaskResult:
    """The node in a row, in the form of a task on its own; `value` is its result as JSON data."""
    info = info_of(row)
    return TaskResult(
        task_id=TaskId(info.task_id),
        graph_id=GraphId(head.graph.graph_id),
        status=_ENDED_BADLY.get(info.reason, _STATUS[info.status]),
        result=value,
        errors=[info.message] if info.status is NodeStatus.FAILED else None,
        formatted_exception=info.traceback or None,
        function_name=info.function,
        reason=info.reason or ("Skipped" if info.status is NodeStatus.SKIPPED else ""),
        error_type=info.error_type,
        attempts=info.attempt,
        published=_instant(head.published_at),
        started=info.started_at,
        finished_at=info.finished_at,
    )


def state_of(head: HeadRow, counts: Counts, callback: NodeRow | None, standing: Mapping[NodeStatus, int]) -> GraphState:
    """A graph of whose nodes so many have ended, and so many are `standing` where they are."""
    return GraphState(
        head.status,
        head.nodes,
        pending=standing[NodeStatus.PENDING],
        started=standing[NodeStatus.STARTED],
        waiting=standing[NodeStatus.WAITING],
        succeeded=counts.succeeded,
        failed=counts.failed,
        skipped=counts.skipped,
        cancelled=counts.cancelled,
        callback=None if callback is None else callback.status,
        published_at=_instant(head.published_at),
        finished_at=_instant(head.finished_at),
    )


#: Whoever was skipped was kept from running: among the words for tasks, that is cancelled; the reason tells them apart.
_STATUS: Final = {
    NodeStatus.PENDING: TaskStatus.Pending,
    NodeStatus.STARTED: TaskStatus.Started,
    NodeStatus.WAITING: TaskStatus.Started,
    NodeStatus.SUCCEEDED: TaskStatus.Success,
    NodeStatus.FAILED: TaskStatus.Failure,
    NodeStatus.SKIPPED: TaskStatus.Cancelled,
}
#: Of those that failed, or were skipped, some have a word of their own.
_ENDED_BADLY: Final[Mapping[str, TaskStatus]] = {
    Reason.RetriesExhausted: TaskStatus.RetriesExhausted,
    Reason.Expired: TaskStatus.Expired,
}


def _instant(seconds: float) -> datetime.datetime | None:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC) if seconds else None
