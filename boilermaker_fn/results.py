"""Where are results kept? One store, written once, on the Table port."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .errors import Conflict, NotFound, StoreUnavailable
from .ids import GraphId, TaskId
from .outcomes import ErrorInfo, Reason
from .task.row import TaskStatus, TerminalRow

if TYPE_CHECKING:
    from .entities import Delete, Entity
    from .ports import Table
    from .task.result import TaskResult


class Purged(NamedTuple):
    """One page of a purge: how many results and graphs were removed, and the token to go on with (None: all done)."""

    removed: int
    resume: str | None


class ResultStore:
    """Reads, writes and removes terminal rows."""

    def __init__(self, table: Table) -> None:
        self._table = table

    @property
    def table(self) -> Table:
        """Where the rows are."""
        return self._table

    async def close(self) -> None:
        """Let go of connections."""
        await self._table.close()

    async def read(self, task_id: str) -> TerminalRow | None:
        """The terminal row of a task; None while it has not ended."""
        # Here and below: many an instance works for long, or for ever, without touching a row.
        from .result_rows import from_entity, partition_of

        entity = await self._table.read(partition_of(task_id), task_id)
        return None if entity is None else from_entity(entity)

    async def insert(self, row: TerminalRow) -> TerminalRow | None:
        """Write a row once. Returns None, or the row that was there already and stays."""
        from .entities import Insert
        from .result_rows import to_entity

        try:
            await self._table.write([Insert(to_entity(row))])
        except Conflict:
            winner = await self.read(row.task_id)
            if winner is None:
                raise StoreUnavailable(
                    f"the row of task {row.task_id} was there and is gone: it is being purged"
                ) from None
            return winner
        return None

    async def cancel(self, task_id: str, now: float) -> bool:
        """Mark a task that has not ended as cancelled. False if it ended before."""
        error = ErrorInfo(Reason.Cancelled, "cancelled before it ended")
        row = TerminalRow(task_id, "", TaskStatus.Cancelled, reason=Reason.Cancelled, error=error, finished_at=now)
        winner = await self.insert(row)
        return winner is None or winner.status is TaskStatus.Cancelled

    async def purge(self, before: float, resume: str | None = None) -> Purged:
        """Remove results, and then graphs, that ended before an instant (seconds since the epoch), one page at a time.

        A page reads up to 1000 rows of one partition and removes what is old in transactions of 100; of graphs, it
        makes about 200 table operations. Call again with `resume` until it is None; it can be kept and used by
        another process.
        """
        from .entities import MAX_OPERATIONS, Where
        from .graph_purging import BEGINNING, GraphPurge
        from .result_rows import FINISHED, partitions

        names = partitions()
        partition, _, continuation = (resume or names[0]).partition("|")
        if resume is not None and partition not in names:
            return await GraphPurge(self._table, before).page(resume)
        page = await self._table.query(
            partition, where=[Where(FINISHED, "lt", before)], select=[FINISHED], continuation=continuation or None
        )
        count = 0
        for start in range(0, len(page.entities), MAX_OPERATIONS):
            count += await removed(self._table, page.entities[start : start + MAX_OPERATIONS])
        if page.continuation is not None:
            return Purged(count, f"{partition}|{page.continuation}")
        return Purged(count, [*names, BEGINNING][names.index(partition) + 1])


async def removed(table: Table, rows: Sequence[Entity]) -> int:
    """Remove up to 100 rows of one partition, whoever else does; how many were there."""
    from .entities import ANY_ETAG, Delete, Entity

    deletions = [Delete(Entity(entity.partition, entity.row, {}, ANY_ETAG)) for entity in rows]
    try:
        await table.write(deletions)
    except NotFound:
        # Somebody else purges too: what is left of these is found again one by one.
        return sum([await _removed_one(table, deletion) for deletion in deletions])
    return len(deletions)


async def _removed_one(table: Table, deletion: Delete) -> int:
    try:
        await table.write([deletion])
    except NotFound:
        return 0
    return 1


def to_result(row: TerminalRow) -> TaskResult:
    """The row in the form users see."""
    from .task.result import TaskResult

    error = row.error
    return TaskResult(
        task_id=TaskId(row.task_id),
        graph_id=GraphId(row.graph_id) if row.graph_id else None,
        status=row.status,
        result=json.loads(row.result) if row.status.succeeded else None,
        errors=[error.message] if error else None,
        formatted_exception=error.traceback or None if error else None,
        function_name=row.function,
        reason=row.reason,
        error_type=error.type if error else "",
        attempts=row.attempts,
        published=_instant(row.published_at),
        started=_instant(row.started_at),
        finished_at=_instant(row.finished_at),
    )


def _instant(seconds: float | None) -> datetime.datetime | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.UTC)
