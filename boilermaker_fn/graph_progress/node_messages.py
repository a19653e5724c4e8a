"""Which messages does a delivery of a node lead to, beside those for its children? Pure, with deterministic ids."""

from __future__ import annotations

from typing import Final

from .. import follow_ups
from ..envelopes import Newer, Unreadable, decode, outgoing
from ..ids import TaskId
from ..messages import DEAD_LETTER_DESCRIPTION, GIVEN_UP, Delivery, Message, carried, origin_of
from ..outcomes import ErrorInfo, Reason
from ..retries import RetryPolicy
from ..rules import Rules
from ..task.row import TaskStatus, TerminalRow
from ..task.task import Task
from .messages import NodeMessage, is_for_graph, node_message
from .rows import NodeRow, NodeStatus

#: Beside a message that is put off by somebody who had claimed the node: those claims are now this message's.
CLAIMS: Final = "boilermaker_claims"

# How long after a claim has ended somebody looks at its node, in seconds.
_AFTER_CLAIM: Final = 5.0


def task_of(row: NodeRow) -> Task | Newer | Unreadable:
    """The task in a node's row, as its present attempt."""
    task = decode(row.task)
    if not isinstance(task, Task):
        return task
    attempts = task.attempts.model_copy(update={"attempts": row.attempt - 1})
    policy = RetryPolicy.model_validate_json(row.policy) if row.policy else task.policy
    return task.model_copy(update={"attempts": attempts, "policy": policy})


def current_attempt(delivery: Delivery, message: NodeMessage, row: NodeRow) -> Message:
    """The message for the attempt that the row asks for; with the generation of the one that found it out."""
    return node_message(
        message._replace(attempt=row.attempt),
        queue=origin_of(delivery.queue),
        not_before=row.due or None,
        properties=follow_ups.trace_of(delivery),
    )


def next_attempt(delivery: Delivery, message: NodeMessage, row: NodeRow, due: float, now: float) -> Message:
    """The message for the attempt after the row's."""
    return node_message(
        message._replace(attempt=row.attempt + 1, generation=0),
        queue=origin_of(delivery.queue),
        not_before=due if due > now else None,
        properties=follow_ups.trace_of(delivery),
    )


def wake(delivery: Delivery, message: NodeMessage, row: NodeRow, now: float) -> Message:
    """A look at the node when somebody else's claim has ended. Another one has another id: sequence numbers differ."""
    return node_message(
        message,
        queue=origin_of(delivery.queue),
        not_before=max(row.claimed_until, now) + _AFTER_CLAIM,
        suffix=f"/w{delivery.sequence_number}",
        properties=follow_ups.trace_of(delivery),
    )


def claims_of(delivery: Delivery) -> frozenset[str]:
    """The claims of those who have put this message off."""
    return frozenset(str(delivery.properties.get(CLAIMS, "")).split())


def postponed(delivery: Delivery, now: float, *, claim: str, counter: str | None, aside: bool) -> Message:
    """The same message again later; if the node was claimed, with the right to take that claim over."""
    again = follow_ups.postponed(delivery, None, now, counter=counter, aside=aside, ran=False)
    claims = claims_of(delivery) | {claim} - {""}
    properties = {**again.properties, CLAIMS: " ".join(sorted(claims))} if claims else again.properties
    return again._replace(properties=properties)


def after_end(
    delivery: Delivery, row: NodeRow, task: Task | None, rules: Rules, epoch: int, now: float
) -> list[Message]:
    """What an ended node leads to beside its children: a dead letter; after the callback, the tasks that follow it.

    `task` None: it cannot be read here.
    """
    if task is None:
        task = Task.model_construct(task_id=TaskId(row.task_id), function_name=row.function)
    ended = _terminal(row, task, epoch)
    messages = []
    if row.status is NodeStatus.FAILED and ended.status.failed and task.should_dead_letter:
        queue, limit = rules.dead_letter_queue, rules.message_limit
        messages.append(follow_ups.letter_of(_with_task(delivery, row), task, ended, now, queue=queue, limit=limit))
    if row.status is not NodeStatus.SKIPPED:
        trace = follow_ups.trace_of(delivery)
        following = follow_ups.followers(task, ended.status)
        messages += [outgoing(one, now=now, queue=row.home, properties=trace) for one in following]
    return messages


def not_deliverable(message: Message, why: str, delivery: Delivery, rules: Rules, now: float) -> Message | None:
    """What to send instead of a message that no queue takes; None if there is nothing.

    A node is told that it was given up, by a message to the queue this delivery came from: whoever gets it records
    its failure and runs nothing. Of anything else a dead letter is left.
    """
    if message.queue == rules.dead_letter_queue or GIVEN_UP in message.properties:
        return None
    if not is_for_graph(message.body):
        queue, limit = rules.dead_letter_queue, rules.message_limit
        return follow_ups.letter_of_undeliverable(message, why, now, queue=queue, limit=limit)
    said = {GIVEN_UP: str(Reason.Undeliverable), DEAD_LETTER_DESCRIPTION: why}
    return message._replace(
        queue=origin_of(delivery.queue),
        message_id=f"{message.message_id}/u",
        not_before=None,
        properties={**carried(message.properties), **said},
    )


_ENDED_BADLY: Final[dict[str, TaskStatus]] = {
    Reason.RetriesExhausted: TaskStatus.RetriesExhausted,
    Reason.Expired: TaskStatus.Expired,
    Reason.Cancelled: TaskStatus.Cancelled,
}


def _terminal(row: NodeRow, task: Task, epoch: int) -> TerminalRow:
    status = _ENDED_BADLY.get(row.reason, TaskStatus.Failure)
    if row.status is NodeStatus.SUCCEEDED:
        status = TaskStatus.Success
    return TerminalRow(
        task_id=task.task_id,
        function=task.function_name,
        status=status,
        attempts=row.attempt,
        generation=epoch,  # its dead letter has an id of its own in each
        graph_id=task.graph_id,
        reason=row.reason,
        error=row.error or ErrorInfo(row.reason, ""),
        finished_at=row.finished_at,
    )


def _with_task(delivery: Delivery, row: NodeRow) -> Delivery:
    return Delivery(
        delivery.queue,
        delivery.message_id,
        row.task,
        delivery.sequence_number,
        delivery.delivery_count,
        properties=delivery.properties,
    )
