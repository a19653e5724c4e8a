"""What does a delivery leave in logs and traces? The observer is told what happened; it changes nothing."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING

from ..messages import Delivery, Message
from ..outcomes import Failed, Grown, Interrupted, Outcome, RetryAsked, Succeeded
from ..task.row import TaskStatus
from ..task.task import Task
from .bound import Bound

if TYPE_CHECKING:
    from .tracing import OpenTelemetry

log = logging.getLogger("boilermaker_fn")

# Whoever runs a worker must see all other endings: some come without a function that ran, which would log them.
_EXPECTED = frozenset(
    {TaskStatus.Success, TaskStatus.Retry, TaskStatus.Cancelled, "waiting", "skipped", "watched", "over", "outdated"}
)


class Observer:
    """Logs deliveries, and traces them if there is `tracing`."""

    def __init__(self, tracing: OpenTelemetry | None = None) -> None:
        self._tracing = tracing

    def delivery(self, delivery: Delivery, task: Task | None) -> AbstractContextManager[object]:
        """Around all that one delivery causes: binds its ids, and opens its span."""
        if self._tracing is None:
            return Bound(delivery, task)
        both = ExitStack()
        both.enter_context(Bound(delivery, task))
        both.enter_context(self._tracing.delivery(delivery, task))
        return both

    def started(self, task: Task) -> None:
        """The function is about to run."""
        log.info("started %s, attempt %d", task.function_name, task.attempt)

    def ran(self, task: Task, outcome: Outcome, seconds: float) -> None:
        """The function has ended."""
        if isinstance(outcome, Succeeded):
            log.info("succeeded %s in %.3f s", task.function_name, seconds)
        elif isinstance(outcome, Grown):
            log.info("became a graph: %s, in %.3f s", task.function_name, seconds)
        elif isinstance(outcome, RetryAsked):
            log.warning("retry asked for by %s after %.3f s: %s", task.function_name, seconds, outcome.error.message)
        elif isinstance(outcome, Interrupted):
            log.warning("interrupted %s after %.3f s", task.function_name, seconds)
        else:
            self._failed(task, outcome, seconds)

    def settled(self, delivery: Delivery, task: Task | None, ending: str) -> None:
        """All that follows is durable."""
        name = task.function_name if task is not None else f"message {delivery.message_id}"
        log.log(logging.DEBUG if ending in _EXPECTED else logging.WARNING, "settled %s: %s", name, ending)

    def store_down(self, why: str) -> None:
        """The delivery cannot go on; its message is put off."""
        log.warning("the results store does not answer: %s", why)

    def held(self, why: str) -> None:
        """The message goes back to the queue."""
        log.warning("held: %s", why)

    def carried(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """The messages, with the trace context if there is one."""
        return messages if self._tracing is None else self._tracing.carried(messages)

    def _failed(self, task: Task, outcome: Failed, seconds: float) -> None:
        error = outcome.error
        log.error(
            "failed %s after %.3f s (%s): %s: %s",
            task.function_name,
            seconds,
            outcome.reason,
            error.type,
            error.message,
            extra={"reason": outcome.reason, "traceback": error.traceback},
        )
        if self._tracing is not None:
            self._tracing.failed(outcome.reason, error.message)
