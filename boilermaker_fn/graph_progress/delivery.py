"""What becomes of one delivery of a node's message? A frozen state machine: `step(state, event) -> (state, effect)`.

It reads the node's row; what stands there decides. A pending node is claimed, run, and its end written under the
ETag of the claim, so that of several who run it one counts. Then what follows is found (advance.py), sent, and the
message settled: **write the row, look, send, settle.** Whoever finds the node ended repeats the last three, with the
same ids. A delivery whose write was refused is never settled: it comes again and finds what stands there then.

The rules are the table `TRANSITIONS` at the end, as in `..delivery`; what is decided there for plain tasks holds here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from .. import effects as fx
from .. import follow_ups
from .. import table_effects as tx
from ..envelopes import Newer as NewerTask
from ..envelopes import Unreadable as UnreadableTask
from ..errors import IllegalTransition, StoreUnavailable
from ..messages import GIVEN_UP
from ..outcomes import ErrorInfo, Failed, Reason
from ..rules import as_registered
from ..task.task import Task
from . import advance, attempt, growing, node_messages
from .messages import Newer, NodeMessage, Unreadable, decoded
from .node_state import (
    Phase,
    State,
    Step,
    end,
    give_up_unread,
    hold,
    message_of,
    newer,
    own_claim,
    postpone,
    put_off_or,
    row_of,
    send,
    settle,
)
from .rows import NodeRow, NodeStatus, node_row


def step(state: State, event: Any) -> Step:
    """What `event` leads to: the next state, and the one thing to do now."""
    try:
        return _decided(state, event)
    except StoreUnavailable:  # a row of a version that is not deployed here
        return postpone(state, event.now)


def _decided(state: State, event: Any) -> Step:
    if isinstance(event, fx.StoreDown):
        return postpone(state, event.now)  # for however long, it fails no node
    if isinstance(event, tx.Missing):
        return settle(state, "gone")
    if state.phase is Phase.ADVANCING:
        return _advanced(state, event)
    if state.phase is Phase.RESOLVING:
        return attempt.resolved(state, event)
    if state.phase is Phase.GROWING:
        return growing.grown(state, event)
    decide = TRANSITIONS.get((state.phase, type(event)))
    if decide is None:
        raise IllegalTransition("delivery of a node", state.phase.name, event)
    return decide(state, event)


# -- what stands in the row --------------------------------------------------------------------------------------------


def _delivered(state: State, event: fx.Delivered | fx.SetAside) -> Step:
    aside = isinstance(event, fx.SetAside) or GIVEN_UP in state.delivery.properties
    state, message = state._replace(aside=aside), decoded(state.delivery.body)
    if isinstance(message, Unreadable):
        return give_up_unread(state, Reason.InvalidTaskFormat, message.problem, event.now)
    if isinstance(message, Newer):
        return newer(state, message.version, event.now)
    if not isinstance(message, NodeMessage):
        raise IllegalTransition("delivery of a node", state.phase.name, event)
    if not state.rules.keeps_rows:
        problem = "graphs keep their progress in a table, and none is configured here: set results_storage"
        return put_off_or(state, event.now, lambda: give_up_unread(state, Reason.UnknownTask, problem, event.now))
    return _read(state._replace(message=message))


def _read(state: State) -> Step:
    return state._replace(phase=Phase.READING), tx.Read(*message_of(state).graph.node(message_of(state).number))


def _found(state: State, event: tx.Found) -> Step:
    message, now = message_of(state), event.now
    if event.entity is None:
        return settle(state, "gone")
    row = node_row(event.entity, message.number)
    state = state._replace(row=row)
    task = node_messages.task_of(row)
    if isinstance(task, Task):
        state = state._replace(task=as_registered(state.rules, task))
    if row.status.ended:
        return _follow(state, now)
    if message.attempt != row.attempt:
        return _outdated(state, row)
    if row.status is NodeStatus.WAITING:
        return growing.meet(state)
    if row.status is NodeStatus.STARTED and not _is_ours(state, row):
        return _claimed_by_others(state, row, now)
    return _ours(state, row, now)


def _outdated(state: State, row: NodeRow) -> Step:
    """The row asks for another attempt. Whoever wrote that may have died before seeing whether it is still wanted."""
    present = node_messages.current_attempt(state.delivery, message_of(state), row)
    if row.status is NodeStatus.PENDING:
        return attempt.check(state._replace(after=(present,), ending="outdated"))
    return send(state, [present], "outdated")


def _ours(state: State, row: NodeRow, now: float) -> Step:
    """Nobody has claimed the node any more, or this message has."""
    if state.aside:
        return end(state, follow_ups.given_up_by_broker(state.delivery), now)
    if state.task is None:
        return _unread(state, row, now)
    if row.status is NodeStatus.STARTED and row.claim == own_claim(state):
        return attempt.resolve(state._replace(claim=row.claim), now)  # the answer to our own claim was lost
    return attempt.claim(state, row, now)


def _unread(state: State, row: NodeRow, now: float) -> Step:
    """The task in the row is of a version that is not deployed here, or is none."""
    task = node_messages.task_of(row)
    if isinstance(task, NewerTask):
        problem = (
            f"its task is of version {task.version}, which is newer than this deployment reads: deploy, then retry"
        )
        failure = Failed(Reason.UnknownTask, ErrorInfo(Reason.UnknownTask, problem))
        return put_off_or(state, now, lambda: end(state, failure, now))
    problem = task.problem if isinstance(task, UnreadableTask) else ""
    return end(state, Failed(Reason.InvalidTaskFormat, ErrorInfo(Reason.InvalidTaskFormat, problem)), now)


def _claim_refused(state: State, event: tx.Refused) -> Step:
    return _read(state._replace(claim=None))


def _ended(state: State, event: tx.Written) -> Step:
    return _follow(state, event.now)


def _refused(state: State, event: tx.Refused) -> Step:
    return hold(state, "somebody else has changed the node meanwhile")


def _is_ours(state: State, row: NodeRow) -> bool:
    """Whether the claim is this message's: of this delivery or an earlier one, or left to it by who put it off."""
    claim, own = row.claim, own_claim(state)
    if claim is None or str(claim) in node_messages.claims_of(state.delivery):
        return True
    return claim.sequence_number == own.sequence_number and claim.delivery <= own.delivery


def _claimed_by_others(state: State, row: NodeRow, now: float) -> Step:
    own = own_claim(state)
    if row.claim is not None and row.claim.sequence_number == own.sequence_number:
        return hold(state, "a later delivery of this message has claimed the node")
    if row.claimed_until < now and not state.aside:
        return _ours(state, row, now)
    # Never dropped because of somebody's claim: two of whom each is a zombie would drop each other's.
    return send(state, [node_messages.wake(state.delivery, message_of(state), row, now)], "claimed by another")


# -- what follows ------------------------------------------------------------------------------------------------------


def _follow(state: State, now: float) -> Step:
    going, effect = advance.started(message_of(state).graph, row_of(state), now)
    return _go_on_advancing(state, going, effect)


def _advanced(state: State, event: Any) -> Step:
    if state.advance is None:
        raise IllegalTransition("delivery of a node", state.phase.name, event)
    going, effect = advance.step(state.advance, event)
    return _go_on_advancing(state, going, effect)


def _go_on_advancing(state: State, going: advance.State, effect: tx.TableEffect | None) -> Step:
    if effect is not None:
        return state._replace(phase=Phase.ADVANCING, advance=going), effect
    row, delivery = row_of(state), state.delivery
    if going.phase is advance.Phase.GONE:
        return settle(state, "gone")
    messages = advance.messages(going, home=row.home, properties=follow_ups.trace_of(delivery))
    epoch = message_of(state).graph.epoch
    messages += node_messages.after_end(delivery, row, state.task, state.rules, epoch, going.now)
    return send(state, messages, row.status)


def _sent(state: State, event: fx.Sent) -> Step:
    return settle(state, state.ending)


def _not_accepted(state: State, event: fx.NotAccepted) -> Step:
    return hold(state, f"what follows could not be sent: {event.error}")


def _undeliverable(state: State, event: fx.Undeliverable) -> Step:
    messages = [*event.left]
    for message, why in event.messages:
        instead = node_messages.not_deliverable(message, why, state.delivery, state.rules, event.now)
        if instead is None:
            return hold(state, f"what follows could not be sent: {why}")
        messages.append(instead)
    return send(state, messages, state.ending)


_Decide: TypeAlias = Callable[[State, Any], Step]

TRANSITIONS: Final[Mapping[tuple[Phase, type], _Decide]] = {
    (Phase.NEW, fx.Delivered): _delivered,
    (Phase.NEW, fx.SetAside): _delivered,
    (Phase.READING, tx.Found): _found,
    (Phase.CLAIMING, tx.Written): attempt.claimed,
    (Phase.CLAIMING, tx.Refused): _claim_refused,
    (Phase.RUNNING, fx.Ran): attempt.ran,
    (Phase.STORING, tx.Written): attempt.stored,
    (Phase.STORING, tx.Refused): attempt.stored,
    (Phase.WRITING, tx.Written): _ended,
    (Phase.WRITING, tx.Refused): _refused,
    (Phase.RETRYING, tx.Written): attempt.retry_written,
    (Phase.RETRYING, tx.Refused): _refused,
    (Phase.CHECKING, tx.Found): attempt.checked,
    (Phase.BINDING, tx.Written): growing.bound,
    (Phase.BINDING, tx.Refused): _refused,
    (Phase.MEETING, tx.Found): growing.met,
    (Phase.ALLOWING, tx.Found): growing.allowed,
    (Phase.BEGINNING, tx.Written): growing.begun,
    (Phase.BEGINNING, tx.Refused): growing.not_begun,
    (Phase.ROOTING, tx.Queried): growing.rooted,
    (Phase.SENDING, fx.Sent): _sent,
    (Phase.SENDING, fx.NotAccepted): _not_accepted,
    (Phase.SENDING, fx.Undeliverable): _undeliverable,
}
