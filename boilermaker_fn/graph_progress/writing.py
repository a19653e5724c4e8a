"""Which operations does an attempt of a node lead to? Its claim, and the one transaction in which it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..entities import MAX_PROPERTY_BYTES, Entity, Insert, Operation, Value
from ..outcomes import Failed, Reason
from ..task.task import Task
from .advance import skips
from .children import Children, falling
from .keys import GraphKey, block_of
from .rows import Claim, NodeRow, NodeStatus, changed, chunked, ended_as, failure_values

#: The largest result of a node in bytes of JSON.
MAX_RESULT_BYTES: Final = 8 * 1024 * 1024

# What of a result lies in the node's own row at most; a larger one gets a row for every so many bytes.
_IN_ROW: Final = 4 * MAX_PROPERTY_BYTES
_PART: Final = 14 * MAX_PROPERTY_BYTES


def claimed(graph: GraphKey, row: NodeRow, claim: Claim, until: float, now: float) -> tuple[Operation, ...]:
    """The node is ours until then, if its row is still as we have read it."""
    values: dict[str, Value] = {
        "status": str(NodeStatus.STARTED),
        "claim": str(claim),
        "claimed_until": until,
        "started_at": now,
    }
    return (changed(graph, row.number, row.etag, **values),)


def retried(graph: GraphKey, row: NodeRow, policy: str, due: float) -> tuple[Operation, ...]:
    """The next attempt is asked for; nobody has it yet."""
    values: dict[str, Value] = {
        "status": str(NodeStatus.PENDING),
        "attempt": row.attempt + 1,
        "due": due,
        "policy": policy,
        "claim": "",
    }
    return (changed(graph, row.number, row.etag, **values),)


def cancelled(graph: GraphKey, row: NodeRow, now: float) -> tuple[Operation, ...]:
    """The node will not run, because its graph was cancelled."""
    return (changed(graph, row.number, row.etag, **ended_as(NodeStatus.SKIPPED, now, reason=str(Reason.Cancelled))),)


def succeeded(graph: GraphKey, row: NodeRow, now: float, result: bytes, claim: Claim) -> tuple[Operation, ...]:
    """The node has succeeded, and handlers in its block that wait for it alone are not needed."""
    if fits_row(result):
        values = chunked("result", result)
    else:
        parts = -(-len(result) // _PART)
        values = {"chunks": parts, "written_by": str(claim), "written_in": graph.epoch}
    own = changed(graph, row.number, row.etag, **ended_as(NodeStatus.SUCCEEDED, now, **values))
    return own, *skips(graph, _here(row, [child for child in row.children if child.guard and child.alone]), now)


def failed(graph: GraphKey, row: NodeRow, now: float, failure: Failed) -> tuple[Operation, ...]:
    """The node has failed, and so all in its block that wait for it cannot run."""
    values = ended_as(NodeStatus.FAILED, now, **failure_values(failure.reason, failure.error))
    own = changed(graph, row.number, row.etag, **values)
    return own, *skips(graph, _here(row, [child for child in row.children if not child.guard]), now)


def with_arguments(task: Task, values: Mapping[int | str, Any]) -> Task:
    """The task with the arguments that are results put where None stands for them."""
    args, kwargs = list(task.payload.get("args") or []), dict(task.payload.get("kwargs") or {})
    for slot, value in values.items():
        if isinstance(slot, int):
            args[slot] = value
        else:
            kwargs[slot] = value
    return task.model_copy(update={"payload": {"args": args, "kwargs": kwargs}})


def fits_row(result: bytes) -> bool:
    """Whether a result lies in the node's own row."""
    return len(result) <= _IN_ROW


def parts(graph: GraphKey, row: NodeRow, result: bytes, claim: Claim) -> list[Operation]:
    """The rows of a result that does not fit its node's, each to be written by itself."""
    return [
        Insert(Entity(*graph.chunk(row.number, str(claim), index), chunked("part", result[start : start + _PART])))
        for index, start in enumerate(range(0, len(result), _PART))
    ]


def _here(row: NodeRow, children: list[Children]) -> list[int]:
    """The children, and what falls with them, as far as they lie in the node's block."""
    block = block_of(row.number)
    found: dict[int, None] = {}
    for child in children:
        for number in child.numbers:
            if block_of(number) == block:
                found |= dict.fromkeys(falling(number, child.below))
    return [*found]
