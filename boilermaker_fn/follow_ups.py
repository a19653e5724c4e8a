"""Which messages does an ending lead to? The follow-ups of one delivery; pure, with deterministic ids."""

from __future__ import annotations

import datetime
from typing import Final

from .dead_letters import MAX_DESCRIPTION, MAX_REASON, dead_letter
from .envelopes import decode, encode, outgoing
from .messages import (
    DEAD_LETTER_DESCRIPTION,
    DEAD_LETTER_REASON,
    GIVEN_UP,
    NO_PROPERTIES,
    POSTPONED,
    REDELIVERED,
    TRACEPARENT,
    Delivery,
    Message,
    Properties,
    attempt_id,
    carried,
    origin_of,
    postponed_id,
)
from .outcomes import ErrorInfo, Failed, Reason
from .retries import RetryPolicy
from .task.row import TaskStatus, TerminalRow
from .task.task import Task

_FIRST_POSTPONEMENT: Final = 5.0
LONGEST_POSTPONEMENT: Final = 300.0
#: How often a message is put off whose function is not registered here: with the delays, about half an hour in all.
UNKNOWN_TRIES: Final = 10


def followers(task: Task, status: TaskStatus) -> list[Task]:
    """The tasks that this ending makes due: callbacks, or the chain's next."""
    if status.succeeded:
        following = [] if task.on_success is None else [task.on_success]
        return [*following, _next_in_chain(task)] if task.chain else following
    if status.failed or status is TaskStatus.Expired:
        handler = task.on_failure or task.chain_on_failure
        return [] if handler is None else [handler]
    return []


def _next_in_chain(task: Task) -> Task:
    first, *rest = task.chain
    if not rest and task.chain_on_failure is None:
        return first
    handler = first.chain_on_failure or task.chain_on_failure
    return first.model_copy(update={"chain": [*first.chain, *rest], "chain_on_failure": handler})


def follow_ups(delivery: Delivery, task: Task, row: TerminalRow, now: float) -> list[Message]:
    """The messages for all followers; to the queue the task came from unless they name another."""
    queue, properties = origin_of(delivery.queue), trace_of(delivery)
    return [outgoing(task, now=now, queue=queue, properties=properties) for task in followers(task, row.status)]


def next_attempt(delivery: Delivery, task: Task, policy: RetryPolicy, due: float, now: float) -> Message:
    """The message for the attempt after this one, scheduled at `due`; `policy` is the task's from now on."""
    attempts = task.attempts.model_copy(
        update={"attempts": task.attempt, "last_retry": datetime.datetime.fromtimestamp(now, datetime.UTC)}
    )
    again = task.model_copy(update={"attempts": attempts, "policy": policy})
    return Message(
        queue=origin_of(delivery.queue),
        message_id=attempt_id(task.task_id, task.generation, attempts.attempts),
        body=encode(again),
        not_before=due if due > now else None,
        properties=trace_of(delivery),
    )


def postponed(
    delivery: Delivery, task: Task | None, now: float, *, counter: str | None, aside: bool, ran: bool
) -> Message:
    """The same attempt again later: the same body, counters in properties, and nothing used up.

    `counter` is one more property to count in; `aside` says that the broker gave the message up; `ran` that the
    function was started (a task with acks_late=False must then not be started again).
    """
    times = times_counted(delivery, POSTPONED) + 1
    properties = {**carried(delivery.properties), POSTPONED: times}
    if counter is not None:
        properties[counter] = times_counted(delivery, counter) + 1
    if ran or was_delivered_before(delivery):
        properties[REDELIVERED] = 1
    if aside:
        properties[GIVEN_UP] = given_up_by_broker(delivery).reason
    delay = min(_FIRST_POSTPONEMENT * 2.0 ** min(times - 1, 16), LONGEST_POSTPONEMENT)
    return Message(
        queue=origin_of(delivery.queue),
        message_id=postponed_id(_id_of_unread(delivery) if task is None else _id_of(task), times),
        body=delivery.body,
        not_before=now + delay,
        properties=properties,
    )


def letter_of(delivery: Delivery, task: Task, row: TerminalRow, now: float, *, queue: str, limit: int) -> Message:
    """The dead letter of a task that failed, for `queue`, at most `limit` bytes."""
    return dead_letter(
        delivery,
        # Named after the attempt that ended the task: a late copy of an earlier one must not leave a second letter.
        message_id=attempt_id(task.task_id, row.generation, max(0, row.attempts - 1)),
        queue=queue,
        limit=limit,
        reason=row.reason,
        error=row.error or ErrorInfo(row.reason, ""),
        now=now,
        task_id=task.task_id,
        function=task.function_name,
        attempt=row.attempts,
    )


def letter_of_unread(delivery: Delivery, failure: Failed, now: float, *, queue: str, limit: int) -> Message:
    """The dead letter of a message that cannot be read, for `queue`, at most `limit` bytes."""
    return dead_letter(
        delivery,
        message_id=_id_of_unread(delivery),
        queue=queue,
        limit=limit,
        reason=failure.reason,
        error=failure.error,
        now=now,
    )


def letter_of_undeliverable(message: Message, why: str, now: float, *, queue: str, limit: int) -> Message:
    """The dead letter of a message that no queue takes, for `queue`, at most `limit` bytes."""
    decoded = decode(message.body)
    task = decoded if isinstance(decoded, Task) else None
    return dead_letter(
        Delivery(message.queue, message.message_id, message.body, 0, 0, properties=message.properties),
        message_id=message.message_id,
        queue=queue,
        limit=limit,
        reason=Reason.Undeliverable,
        error=ErrorInfo(Reason.Undeliverable, why),
        now=now,
        task_id="" if task is None else task.task_id,
        function="" if task is None else task.function_name,
    )


def times_counted(delivery: Delivery, counter: str) -> int:
    """What a counter property says; 0 if it is missing or nonsense."""
    value = delivery.properties.get(counter, 0)
    return value if isinstance(value, int) and value >= 0 else 0


def was_delivered_before(delivery: Delivery) -> bool:
    """Whether this attempt was handed to somebody before."""
    return delivery.delivery_count > 1 or REDELIVERED in delivery.properties


def trace_of(delivery: Delivery) -> Properties:
    """The trace context to pass on."""
    parent = delivery.properties.get(TRACEPARENT)
    return NO_PROPERTIES if parent is None else {TRACEPARENT: parent}


def given_up_by_broker(delivery: Delivery) -> Failed:
    """The failure of a task whose message the broker gave up, in the broker's words."""
    given = delivery.properties.get(GIVEN_UP) or delivery.properties.get(DEAD_LETTER_REASON)
    reason = str(given or Reason.MaxDeliveryCountExceeded)[:MAX_REASON]
    description = str(delivery.properties.get(DEAD_LETTER_DESCRIPTION, "the broker gave the message up"))
    return Failed(reason, ErrorInfo(reason, description[:MAX_DESCRIPTION]))


def _id_of(task: Task) -> str:
    return attempt_id(task.task_id, task.generation, task.attempts.attempts)


def _id_of_unread(delivery: Delivery) -> str:
    # The ids of strangers can be missing, too long, or not unique.
    return f"{origin_of(delivery.queue)[-60:]}:{delivery.sequence_number}"
