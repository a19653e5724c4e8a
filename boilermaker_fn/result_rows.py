"""How is a terminal row kept in a table? One row per task, in one of 256 partitions chosen by its id.

A fixed number of partitions lets old results be found and removed in batches of 100 without an index of their own.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

from .entities import MAX_PROPERTY_BYTES, Entity, Value
from .errors import StoreUnavailable
from .outcomes import ErrorInfo
from .task.row import MAX_RESULT_BYTES, TaskStatus, TerminalRow

_PARTITIONS: Final = 256
_CHUNKS: Final = MAX_RESULT_BYTES // MAX_PROPERTY_BYTES
#: The property by which old rows are found, in seconds since the epoch.
FINISHED: Final = "finished_at"

_TIMES = ("published_at", "started_at", "finished_at")


def partition_of(task_id: str) -> str:
    """The partition in which the row of this task is."""
    return _partition(zlib.crc32(task_id.encode()) % _PARTITIONS)


def partitions() -> list[str]:
    """All partitions, in order."""
    return [_partition(number) for number in range(_PARTITIONS)]


def _partition(number: int) -> str:
    return f"results-{number:02x}"


def to_entity(row: TerminalRow) -> Entity:
    """The row as an entity."""
    values: dict[str, Value] = {
        "status": str(row.status),
        "function": row.function,
        "attempts": row.attempts,
        "generation": row.generation,
    }
    if row.graph_id is not None:
        values["graph_id"] = row.graph_id
    for name in _TIMES:
        if (when := getattr(row, name)) is not None:
            values[name] = float(when)
    if row.status.succeeded:
        encoded = row.result.encode()
        for number, start in enumerate(range(0, len(encoded), MAX_PROPERTY_BYTES)):
            values[f"result{number}"] = encoded[start : start + MAX_PROPERTY_BYTES]
    if row.error is not None:
        values |= {
            "reason": row.reason,
            "error_type": row.error.type,
            "message": row.error.message,
            "traceback": row.error.traceback,
        }
    return Entity(partition_of(row.task_id), row.task_id, values)


def from_entity(entity: Entity) -> TerminalRow:
    """The row in an entity. Raises StoreUnavailable for one that cannot be read: its task is put off, not run again."""
    values = entity.values
    chunks = [values.get(f"result{number}") for number in range(_CHUNKS)]
    result = b"".join(chunk for chunk in chunks if isinstance(chunk, bytes)).decode(errors="replace")
    reason = _text(values, "reason")
    error = ErrorInfo(_text(values, "error_type"), _text(values, "message"), _text(values, "traceback"))
    graph_id = _text(values, "graph_id")
    return TerminalRow(
        task_id=entity.row,
        function=_text(values, "function"),
        status=_status(entity),
        attempts=_whole(values, "attempts"),
        generation=_whole(values, "generation"),
        graph_id=graph_id or None,
        result=result or "null",
        reason=reason,
        error=error if reason else None,
        published_at=_seconds(values, "published_at"),
        started_at=_seconds(values, "started_at"),
        finished_at=_seconds(values, "finished_at"),
    )


def _status(entity: Entity) -> TaskStatus:
    status = _text(entity.values, "status")
    try:
        return TaskStatus(status)
    except ValueError:
        raise StoreUnavailable(
            f"the row of task {entity.row} has the status {status!r}, which this version does not know: deploy the "
            f"version that wrote it, or remove row {entity.partition!r}/{entity.row!r}"
        ) from None


def _text(values: Mapping[str, Value], name: str) -> str:
    value = values.get(name, "")
    return value if isinstance(value, str) else ""


def _whole(values: Mapping[str, Value], name: str) -> int:
    value = values.get(name, 0)
    return value if isinstance(value, int) else 0


def _seconds(values: Mapping[str, Value], name: str) -> float | None:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) else None
