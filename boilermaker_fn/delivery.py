"""What becomes of one delivery? A frozen state machine: `step(state, event) -> (state, effect)`.

The questions are asked in this order: can it be read, is it settled already, is the function known, was it
acknowledged early and delivered before, has it expired; then it runs. What follows is always done in this order, one
effect at a time: **write the row, send the messages, settle.** A crash between any two of them is repaired by the next
delivery: a row that is there is recognised, sends repeat under the same ids, settling comes last.

The rules are the table `TRANSITIONS` at the end: for each phase, the events that can happen in it and the function
that decides. Anything else raises IllegalTransition and changes nothing.

A row is read before its task runs whenever a row is kept for it: that makes a cancelled task stay cancelled and a
task published twice run once, however long after. A task without a row (no store, or keep_result=False and nothing that
follows it) costs no table operation.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from . import effects as fx
from .envelopes import Newer, Unreadable, decode
from .errors import IllegalTransition
from .follow_ups import (
    UNKNOWN_TRIES,
    follow_ups,
    given_up_by_broker,
    letter_of,
    letter_of_undeliverable,
    letter_of_unread,
    next_attempt,
    postponed,
    times_counted,
    was_delivered_before,
)
from .messages import GIVEN_UP, POSTPONED_UNKNOWN, Delivery, Message
from .outcomes import ErrorInfo, Failed, Grown, Interrupted, Reason, RetryAsked, Succeeded
from .rules import Rules, as_registered, keeps_row, policy_of
from .task.row import MAX_RESULT_BYTES, TaskStatus, TerminalRow, beyond, terminal_row
from .task.task import Task

_POSTPONED: Final = "postponed"
_NO_NODE: Final = "only a task in a graph can return a graph: publish this one with app.publish_graph()"
#: Endings with which the same task comes again.
_GOES_ON: Final = (_POSTPONED, TaskStatus.Retry)


class Phase(enum.StrEnum):
    """Where a delivery stands: which answer it waits for."""

    NEW = "new"
    READING = "reading"
    RUNNING = "running"
    WRITING = "writing"
    SENDING = "sending"
    SETTLED = "settled"
    HELD = "held"


class State(NamedTuple):
    """All that is known of one delivery.

    `task` is None until the body was read; `aside`: the broker gave the message up; `row`: what is being written;
    `ending`: what became of the delivery, in a word.
    """

    rules: Rules
    delivery: Delivery
    phase: Phase = Phase.NEW
    task: Task | None = None
    aside: bool = False
    row: TerminalRow | None = None
    ending: str = ""


Step: TypeAlias = tuple[State, fx.Effect]


def step(state: State, event: fx.Event) -> Step:
    """What `event` leads to: the next state, and the one thing to do now."""
    decide = TRANSITIONS.get((state.phase, type(event)))
    if decide is None:
        raise IllegalTransition("delivery", state.phase.name, event)
    return decide(state, event)


# -- the questions before it runs --------------------------------------------------------------------------------------


def _delivered(state: State, event: fx.Delivered | fx.SetAside) -> Step:
    rules, delivery = state.rules, state.delivery
    aside = isinstance(event, fx.SetAside) or GIVEN_UP in delivery.properties
    task = decode(delivery.body)
    if isinstance(task, Unreadable):
        return _give_up_unread(state._replace(aside=aside), Reason.InvalidTaskFormat, task.problem, event.now)
    if isinstance(task, Newer):
        return _newer(state._replace(aside=aside), task, event.now)
    task = as_registered(rules, task)
    state = State(rules, delivery, state.phase, task, aside)
    if keeps_row(rules, task):
        return state._replace(phase=Phase.READING), fx.ReadRow(task.task_id)
    return _not_settled_yet(state, task, event.now)


def _newer(state: State, envelope: Newer, now: float) -> Step:
    if not state.aside and times_counted(state.delivery, POSTPONED_UNKNOWN) < UNKNOWN_TRIES:
        return _postpone(state, now, counter=POSTPONED_UNKNOWN)
    problem = f"envelope version {envelope.version} is newer than this deployment reads: deploy, then send it again"
    return _give_up_unread(state, Reason.UnknownTask, problem, now)


def _row_read(state: State, event: fx.RowRead) -> Step:
    if event.row is None:
        return _not_settled_yet(state, _task(state), event.now)
    return _follow(state, event.row, event.now)


def _not_settled_yet(state: State, task: Task, now: float) -> Step:
    delivery = state.delivery
    if state.aside:
        return _fail(state, given_up_by_broker(delivery), now)
    if task.function_name not in state.rules.functions:
        return _unknown(state, task, now)
    if task.acks_early and was_delivered_before(delivery):
        return _lost_after_early_ack(state, task, now)
    if task.expires_at is not None and now > task.expires_at:
        return _expired(state, task, now - task.expires_at, now)
    return state._replace(phase=Phase.RUNNING), fx.Run(task)


def _unknown(state: State, task: Task, now: float) -> Step:
    # A deployment may be under way: somebody else, or we in a minute, may know the function.
    if times_counted(state.delivery, POSTPONED_UNKNOWN) < UNKNOWN_TRIES:
        return _postpone(state, now, counter=POSTPONED_UNKNOWN)
    problem = f"no function {task.function_name!r} is registered here: deploy it, then send the task again"
    return _fail(state, Failed(Reason.UnknownTask, ErrorInfo(Reason.UnknownTask, problem)), now)


def _lost_after_early_ack(state: State, task: Task, now: float) -> Step:
    problem = "was delivered before and must not run twice (acks_late=False); how far that attempt got is not known"
    failure = Failed(Reason.LostAfterEarlyAck, ErrorInfo(Reason.LostAfterEarlyAck, problem))
    if keeps_row(state.rules, task):
        return _fail(state, failure, now)
    # Without a row nobody knows whether the first delivery sent its callbacks, so none is sent here.
    row = terminal_row(_task(state), TaskStatus.Failure, now, reason=failure.reason, error=failure.error)
    return _send(state, _dead_letter(state, row, now), row.status)


def _expired(state: State, task: Task, late: float, now: float) -> Step:
    error = ErrorInfo(Reason.Expired, f"should have been started {late:.1f} s ago at the latest")
    attempts = task.attempts.attempts
    row = terminal_row(_task(state), TaskStatus.Expired, now, reason=Reason.Expired, error=error, attempts=attempts)
    return _conclude(state, row, now)


# -- how the attempt ended ---------------------------------------------------------------------------------------------


def _ran(state: State, event: fx.Ran) -> Step:
    outcome = event.outcome
    if isinstance(outcome, Succeeded):
        return _succeeded(state, outcome, event)
    if isinstance(outcome, Interrupted):
        return state._replace(phase=Phase.HELD), fx.Hold("the attempt was interrupted")
    if isinstance(outcome, RetryAsked):
        return _retry(state, outcome, event)
    if isinstance(outcome, Grown):
        outcome = Failed(Reason.ResultNotSerializable, ErrorInfo(Reason.ResultNotSerializable, _NO_NODE))
    return _fail(state, outcome, event.now, event.started_at)


def _succeeded(state: State, outcome: Succeeded, event: fx.Ran) -> Step:
    task = _task(state)
    if (failure := beyond(outcome.result, MAX_RESULT_BYTES)) is not None:
        return _fail(state, failure, event.now, event.started_at)
    if not state.rules.keeps_rows and task.on_success is None and not task.chain:
        return _settle(state, TaskStatus.Success)
    row = terminal_row(_task(state), TaskStatus.Success, event.now, result=outcome.result, started_at=event.started_at)
    return _conclude(state, row, event.now)


def _retry(state: State, outcome: RetryAsked, event: fx.Ran) -> Step:
    task = _task(state)
    policy = outcome.policy or policy_of(state.rules, task)
    if task.attempt >= policy.max_tries:
        # In this delivery, not one delay later.
        return _fail(state, Failed(Reason.RetriesExhausted, outcome.error), event.now, event.started_at)
    due = event.now + policy.get_delay_interval(task.attempts.attempts, event.chance)
    return _send(state, [next_attempt(state.delivery, task, policy, due, event.now)], TaskStatus.Retry)


def _fail(state: State, failure: Failed, now: float, started_at: float | None = None) -> Step:
    status = TaskStatus.RetriesExhausted if failure.reason == Reason.RetriesExhausted else TaskStatus.Failure
    row = terminal_row(_task(state), status, now, reason=failure.reason, error=failure.error, started_at=started_at)
    return _conclude(state, row, now)


def _conclude(state: State, row: TerminalRow, now: float) -> Step:
    if keeps_row(state.rules, _task(state)):
        return state._replace(phase=Phase.WRITING, row=row), fx.WriteRow(row)
    return _follow(state, row, now)


def _row_written(state: State, event: fx.RowWritten) -> Step:
    # The stored outcome wins, and it is *its* follow-ups that are sent.
    row = event.winner or state.row
    if row is None:
        raise IllegalTransition("delivery", state.phase.name, event)
    return _follow(state, row, event.now)


# -- what follows ------------------------------------------------------------------------------------------------------


def _follow(state: State, row: TerminalRow, now: float) -> Step:
    messages = follow_ups(state.delivery, _task(state), row, now)
    if row.status.failed:
        messages += _dead_letter(state, row, now)
    return _send(state, messages, row.status)


def _dead_letter(state: State, row: TerminalRow, now: float) -> list[Message]:
    task, rules = _task(state), state.rules
    if not task.should_dead_letter:
        return []
    letter = letter_of(state.delivery, task, row, now, queue=rules.dead_letter_queue, limit=rules.message_limit)
    return [letter]


def _give_up_unread(state: State, reason: str, problem: str, now: float) -> Step:
    rules, failure = state.rules, Failed(reason, ErrorInfo(reason, problem))
    letter = letter_of_unread(state.delivery, failure, now, queue=rules.dead_letter_queue, limit=rules.message_limit)
    return _send(state, [letter], reason)


def _store_down(state: State, event: fx.StoreDown) -> Step:
    # A store that is down, for however long, fails no task.
    return _postpone(state, event.now)


def _postpone(state: State, now: float, counter: str | None = None) -> Step:
    ran = state.phase is Phase.WRITING
    again = postponed(state.delivery, state.task, now, counter=counter, aside=state.aside, ran=ran)
    return _send(state, [again], _POSTPONED)


def _send(state: State, messages: list[Message], ending: str) -> Step:
    if not messages:
        return _settle(state, ending)
    return state._replace(phase=Phase.SENDING, ending=ending), fx.Send(tuple(messages))


def _sent(state: State, event: fx.Sent) -> Step:
    return _settle(state, state.ending)


def _not_accepted(state: State, event: fx.NotAccepted) -> Step:
    return state._replace(phase=Phase.HELD), fx.Hold(f"what follows could not be sent: {event.error}")


def _undeliverable(state: State, event: fx.Undeliverable) -> Step:
    """Its name for a queue came with a task, and nobody can send it: a dead letter, or this would repeat for ever."""
    rules = state.rules
    for message, why in event.messages:
        # Our own next attempt is no follow-up, and what nobody takes has no other place to go.
        if message.queue == rules.dead_letter_queue or state.ending in _GOES_ON:
            return state._replace(phase=Phase.HELD), fx.Hold(f"what follows could not be sent: {why}")
    queue, limit = rules.dead_letter_queue, rules.message_limit
    letters = [
        letter_of_undeliverable(message, why, event.now, queue=queue, limit=limit) for message, why in event.messages
    ]
    return _send(state, [*event.left, *letters], state.ending)


def _settle(state: State, ending: str) -> Step:
    return state._replace(phase=Phase.SETTLED, ending=ending), fx.Settle(ending)


def _task(state: State) -> Task:
    if state.task is None:
        raise IllegalTransition("delivery", state.phase.name, None)
    return state.task


_Decide: TypeAlias = Callable[[State, Any], Step]

TRANSITIONS: Final[Mapping[tuple[Phase, type], _Decide]] = {
    (Phase.NEW, fx.Delivered): _delivered,
    (Phase.NEW, fx.SetAside): _delivered,
    (Phase.READING, fx.RowRead): _row_read,
    (Phase.READING, fx.StoreDown): _store_down,
    (Phase.RUNNING, fx.Ran): _ran,
    (Phase.WRITING, fx.RowWritten): _row_written,
    (Phase.WRITING, fx.StoreDown): _store_down,
    (Phase.SENDING, fx.Sent): _sent,
    (Phase.SENDING, fx.NotAccepted): _not_accepted,
    (Phase.SENDING, fx.Undeliverable): _undeliverable,
}
