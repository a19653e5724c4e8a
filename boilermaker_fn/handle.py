"""What became of what I published? The handle of a published task."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import ValidationError

from .errors import ResultMismatch, ResultsNotKept, ResultTimeout, TaskCancelled, TaskExpired, TaskFailed, TaskNotFound
from .ids import TaskId
from .json_values import JsonValue
from .outcomes import ErrorInfo
from .task.result import TaskResult, TaskStatus, TerminalRow

if TYPE_CHECKING:
    from .wiring import Wiring

R_co = TypeVar("R_co", covariant=True)

# Seconds between looks at the store: quick for short tasks, cheap for long ones.
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 1.0


class TaskHandle(Generic[R_co]):
    """Follows one task by its id; `R_co` is what its function returns.

    `queues` are those that its message can be in; None: it may still be on its way to one.
    """

    def __init__(
        self,
        task_id: str,
        wiring: Wiring,
        *,
        queues: tuple[str, ...] | None,
        value: JsonValue,
        kept: bool = True,
        sequence_number: int | None = None,
    ) -> None:
        self.task_id = TaskId(task_id)
        #: The number under which the queue has the message, if the service told it when the task was published.
        self.sequence_number = sequence_number
        self._wiring = wiring
        self._queues = queues
        self._value = value
        self._kept = kept

    def __repr__(self) -> str:
        return f"TaskHandle({self.task_id!r})"

    async def status(self) -> TaskStatus:
        """Where the task stands. A task that has not ended is pending.

        Raises TaskNotFound where the engine can know that there is no such task, ResultsNotKept without a store.
        """
        row = await self._row()
        return TaskStatus.Pending if row is None else row.status

    async def info(self) -> TaskResult:
        """All that is known: status, value or error, attempts and the three times. Raises as `status` does."""
        from .results import to_result

        row = await self._row()
        return TaskResult(task_id=self.task_id) if row is None else to_result(row)

    async def result(self, timeout: float | None = None) -> R_co:
        """Wait for the task to end and return its value, revived by the function's return annotation.

        Raises TaskFailed (TaskCancelled, TaskExpired) with type, message and traceback, ResultTimeout after `timeout`
        seconds, ResultMismatch for a value that does not fit the annotation, and what `status` raises.
        """
        # Here and below: asyncio takes a quarter of the time that importing the package would take with it.
        import asyncio

        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                row = await self._ended()
        except TimeoutError:
            if limit.expired():
                raise ResultTimeout(self.task_id, timeout or 0) from None
            raise
        if not row.status.succeeded:
            raise _failure(row)
        try:
            value: R_co = self._value.revive(json.loads(row.result))
        except ValidationError as error:
            raise ResultMismatch(self.task_id, str(error.errors(include_url=False)[0]["msg"])) from error
        return value

    async def cancel(self) -> bool:
        """Keep the task from running, if it has not started. True if it is cancelled now, False if it ended before.

        A task that is running goes on; what it returns is dropped and nothing follows it.
        """
        results = self._wiring.results
        if results is None or not self._kept:
            raise ResultsNotKept(self.task_id)
        return await results.cancel(self.task_id, self._wiring.clock())

    async def _ended(self) -> TerminalRow:
        import asyncio

        pause = _FIRST_PAUSE
        while (row := await self._row()) is None:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return row

    async def _row(self) -> TerminalRow | None:
        results = self._wiring.results
        if results is None or not self._kept:
            raise ResultsNotKept(self.task_id)
        row = await results.read(self.task_id)
        if row is not None or await self._may_be_queued():
            return row
        # It may have ended between the two looks.
        row = await results.read(self.task_id)
        if row is None:
            raise TaskNotFound(self.task_id)
        return row

    async def _may_be_queued(self) -> bool:
        if self._queues is None:
            return True
        for queue in self._queues:
            if await self._wiring.engine.holds(queue, self.task_id) is not False:
                return True
        return False


def _failure(row: TerminalRow) -> TaskFailed:
    kind = {TaskStatus.Cancelled: TaskCancelled, TaskStatus.Expired: TaskExpired}.get(row.status, TaskFailed)
    error = row.error or ErrorInfo(row.reason, "")
    return kind(row.task_id, row.status, row.reason, error.type, error.message, error.traceback)
