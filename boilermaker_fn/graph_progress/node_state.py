"""Where does a delivery of a node's message stand? What is known of it, and the ways it can come to rest."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from .. import effects as fx
from .. import follow_ups
from .. import table_effects as tx
from ..entities import Operation
from ..errors import IllegalTransition
from ..messages import POSTPONED_UNKNOWN, Delivery, Message
from ..outcomes import ErrorInfo, Failed, Reason
from ..rules import Rules
from ..task.task import Task
from . import advance, node_messages, publishing, resolution, writing
from .heads import HeadRow
from .messages import NodeMessage
from .rows import Claim, NodeRow, NodeStatus


class Phase(enum.StrEnum):
    """Where a delivery stands: which answer it waits for."""

    NEW = "new"
    READING = "reading"
    CLAIMING = "claiming"
    RESOLVING = "resolving"
    RUNNING = "running"
    STORING = "storing"
    WRITING = "writing"
    RETRYING = "retrying"
    CHECKING = "checking"
    #: The graph that the node becomes is being published.
    GROWING = "growing"
    #: The row is being written that says which graph the node waits for.
    BINDING = "binding"
    #: That graph's head is being read, and that of the node's own; its beginning written, its roots being found.
    MEETING = "meeting"
    ALLOWING = "allowing"
    BEGINNING = "beginning"
    ROOTING = "rooting"
    ADVANCING = "advancing"
    SENDING = "sending"
    SETTLED = "settled"
    HELD = "held"


class State(NamedTuple):
    """All that is known of one delivery.

    `row` is the node as it was read, or as it will be when the write under way is done; `task` the present attempt.
    `claim` is set while the node is ours. `parts` are rows of a large result still to be written, `after` what is
    sent when a retry is written, or when the graph begins that the node
    became: it has `head`, and `block` of it is looked at.
    """

    rules: Rules
    delivery: Delivery
    message: NodeMessage | None = None
    phase: Phase = Phase.NEW
    aside: bool = False
    row: NodeRow | None = None
    task: Task | None = None
    claim: Claim | None = None
    resolution: resolution.State | None = None
    parts: tuple[Operation, ...] = ()
    ending_write: tuple[Operation, ...] = ()
    publication: publishing.State | None = None
    head: HeadRow | None = None
    block: int = 0
    advance: advance.State | None = None
    after: tuple[Message, ...] = ()
    ending: str = ""


Step: TypeAlias = tuple[State, fx.Effect | tx.TableEffect]


def send(state: State, messages: list[Message], ending: str) -> Step:
    """Send what follows, then settle."""
    if not messages:
        return settle(state, ending)
    return state._replace(phase=Phase.SENDING, ending=ending), fx.Send(tuple(messages))


# -- putting off, giving up, settling ----------------------------------------------------------------------------------


def newer(state: State, version: int, now: float) -> Step:
    """The message, or the task, is of a newer version: put it off, or give it up."""
    problem = f"version {version} is newer than this deployment reads: deploy, then send it again"
    return put_off_or(state, now, lambda: give_up_unread(state, Reason.UnknownTask, problem, now))


def put_off_or(state: State, now: float, otherwise: Callable[[], Step]) -> Step:
    """A deployment may be under way: put it off, so many times; then do otherwise."""
    if not state.aside and follow_ups.times_counted(state.delivery, POSTPONED_UNKNOWN) < follow_ups.UNKNOWN_TRIES:
        return postpone(state, now, counter=POSTPONED_UNKNOWN)
    return otherwise()


def postpone(state: State, now: float, counter: str | None = None) -> Step:
    """The same message again later, growing delay; nothing is used up."""
    claim = "" if state.claim is None else str(state.claim)
    again = node_messages.postponed(state.delivery, now, claim=claim, counter=counter, aside=state.aside)
    return send(state, [again], "postponed")


def give_up_unread(state: State, reason: str, problem: str, now: float) -> Step:
    """A dead letter, for a message that nothing can be done with."""
    rules, failure = state.rules, Failed(reason, ErrorInfo(reason, problem))
    queue, limit = rules.dead_letter_queue, rules.message_limit
    return send(state, [follow_ups.letter_of_unread(state.delivery, failure, now, queue=queue, limit=limit)], reason)


def end(state: State, failure: Failed, now: float) -> Step:
    """The node fails, and with it in one transaction all in its block that wait for it."""
    row, graph = row_of(state), message_of(state).graph
    ended = row._replace(status=NodeStatus.FAILED, reason=failure.reason, error=failure.error, finished_at=now)
    return state._replace(phase=Phase.WRITING, row=ended), tx.Write(writing.failed(graph, row, now, failure))


def cancel(state: State, now: float) -> Step:
    """The node does not go on, for its graph is being cancelled."""
    row, graph = row_of(state), message_of(state).graph
    ended = row._replace(status=NodeStatus.SKIPPED, finished_at=now)
    return state._replace(phase=Phase.WRITING, row=ended), tx.Write(writing.cancelled(graph, row, now))


def settle(state: State, ending: str) -> Step:
    """Complete the message."""
    return state._replace(phase=Phase.SETTLED, ending=ending), fx.Settle(ending)


def hold(state: State, why: str) -> Step:
    """Do not settle: it must be delivered again."""
    return state._replace(phase=Phase.HELD), fx.Hold(why)


def own_claim(state: State) -> Claim:
    """What this delivery claims a node as."""
    return Claim(state.delivery.sequence_number, state.delivery.delivery_count)


def message_of(state: State) -> NodeMessage:
    """The message, once it was read."""
    if state.message is None:
        raise IllegalTransition("delivery of a node", state.phase.name, None)
    return state.message


def row_of(state: State) -> NodeRow:
    """The node's row, once it was read."""
    if state.row is None:
        raise IllegalTransition("delivery of a node", state.phase.name, None)
    return state.row


def present_task(state: State) -> Task:
    """The node's task, once it was read."""
    if state.task is None:
        raise IllegalTransition("delivery of a node", state.phase.name, None)
    return state.task
