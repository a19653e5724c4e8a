"""Where does a delivery of a watchdog's message stand? What is known of it, and the ways it can come to rest."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, Final, NamedTuple, TypeAlias

from .. import effects as fx
from .. import follow_ups
from .. import table_effects as tx
from ..errors import IllegalTransition
from ..messages import Delivery, Message, origin_of
from ..rules import Rules
from . import readiness
from .heads import GraphStatus, HeadPartition, HeadRow
from .messages import WatchMessage, watch_message
from .publishing import FIRST_WATCH

#: The longest time between two looks, in seconds.
LONGEST: Final = 6 * 3600.0

#: `until` of a message whose publisher is known to have finished: if there is no head any more, it was removed.
FINISHED: Final = 0.0


class Phase(enum.StrEnum):
    """Which answer it waits for, or which machine is at work within."""

    NEW = "new"
    READING = "reading"
    FENCING = "fencing"
    REMOVING = "removing"
    ASKING = "asking"
    REOPENING = "reopening"
    CANCELLING = "cancelling"
    SURVEYING = "surveying"
    LOOKING = "looking"
    SKIPPING = "skipping"
    SENDING = "sending"
    SETTLED = "settled"
    HELD = "held"


class State(NamedTuple):
    """All that is known of one delivery. `task` is None: which task of an app it is, others ask.

    `within` is the machine at work, `found` what stands in the head's partition, `blocks` are those still to be looked
    at, `seen` what was found in others.
    """

    rules: Rules
    delivery: Delivery
    message: WatchMessage
    phase: Phase = Phase.NEW
    task: None = None
    head: HeadRow | None = None
    within: Any = None
    found: HeadPartition = HeadPartition(None, None, ())
    blocks: tuple[int, ...] = ()
    seen: tuple[tuple[int, tuple[readiness.Seen, ...]], ...] = ()
    to_send: tuple[Message, ...] = ()
    ending: str = ""


Step: TypeAlias = tuple[State, fx.Effect | tx.TableEffect]


def again(state: State, now: float, messages: Iterable[Message] = ()) -> Step:
    """Send what was found, and the message for the next round."""
    message, head = state.message, state.head
    known = head is not None and head.graph == message.graph and head.status is not GraphStatus.PREPARED
    following = message._replace(round=message.round + 1, until=FINISHED if known else message.until)
    watch = watch_message(following, queue=origin_of(state.delivery.queue), not_before=next_look(message, now))
    return send(state, [*state.to_send, *messages, watch], "watched")


def next_look(message: WatchMessage, now: float) -> float:
    """When the next round is."""
    return now + min(FIRST_WATCH * 2.0 ** min(message.round, 16), LONGEST)


def postpone(state: State, now: float) -> Step:
    """The same message again later; nothing is used up."""
    later = follow_ups.postponed(state.delivery, None, now, counter=None, aside=False, ran=False)
    return send(state, [later], "postponed")


def send(state: State, messages: list[Message], ending: str) -> Step:
    """Send, then settle."""
    if not messages:
        return settle(state, ending)
    return state._replace(phase=Phase.SENDING, within=None, ending=ending), fx.Send(tuple(messages))


def settle(state: State, ending: str) -> Step:
    """Complete the message."""
    return state._replace(phase=Phase.SETTLED, ending=ending), fx.Settle(ending)


def hold(state: State, why: str) -> Step:
    """Do not settle: it must be delivered again."""
    return state._replace(phase=Phase.HELD), fx.Hold(why)


def head_of(state: State) -> HeadRow:
    """The head, once it was read."""
    if state.head is None:
        raise IllegalTransition("watchdog", state.phase.name, None)
    return state.head
