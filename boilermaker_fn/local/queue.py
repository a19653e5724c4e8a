"""What does a queue do? The semantics of a Service Bus queue, as SQL.

Pure with regard to time: `now` is an argument (seconds since the epoch). A clock that jumps back blocks nothing: a
ready message is ready whatever the time, and no lock ends later than MAX_LOCK_SECONDS from now.

Where Service Bus leaves a choice: messages that expired or were delivered too often are set aside when a receive meets
them; a message that was set aside keeps its sequence number, its delivery count and its age.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..errors import LockLost
from ..messages import (
    DEAD_LETTER_DESCRIPTION,
    DEAD_LETTER_REASON,
    DEAD_LETTER_SUFFIX,
    NO_PROPERTIES,
    Delivery,
    Message,
    Properties,
)

#: The longest lock Service Bus gives.
MAX_LOCK_SECONDS: Final = 300.0

# How many messages beside those it hands out one operation touches at most, so that none takes long.
_SWEEP: Final = 1000

_FORGET_SENT: Final = (
    "DELETE FROM sent WHERE (queue, message_id) IN (SELECT queue, message_id FROM sent WHERE sent_at <= ? LIMIT ?)"
)
_REMEMBER_SENT: Final = (
    "INSERT INTO sent (queue, message_id, sent_at) VALUES (?, ?, ?) ON CONFLICT (queue, message_id) "
    "DO UPDATE SET sent_at = excluded.sent_at WHERE sent_at <= ?"
)
_LAST_PLACE: Final = "SELECT max(at) FROM messages WHERE queue = ? AND state = 'ready'"
_ADD: Final = (
    "INSERT INTO messages (queue, state, at, available_at, expires_at, delivery_count, message_id, properties, body) "
    "VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?)"
)
_MAKE_READY: Final = (
    "UPDATE messages SET state = 'ready', at = available_at WHERE sequence IN (SELECT sequence FROM messages "
    "WHERE queue = ? AND state IN ('scheduled', 'locked') AND at <= ? LIMIT ?)"
)
_SHORTEN_LOCKS: Final = "UPDATE messages SET at = ?2 WHERE queue = ?1 AND state = 'locked' AND at > ?2"
_READY: Final = (
    "SELECT sequence, message_id, body, properties, available_at, expires_at, delivery_count FROM messages "
    "WHERE queue = ? AND state = 'ready' ORDER BY at, sequence LIMIT ?"
)
_LOCK: Final = "UPDATE messages SET state = 'locked', at = ?, delivery_count = ? WHERE sequence = ?"
_SET_ASIDE: Final = (
    "UPDATE messages SET queue = ?, state = 'ready', at = available_at, properties = ? WHERE sequence = ?"
)
_NEXT_DUE: Final = (
    "SELECT EXISTS (SELECT 1 FROM messages WHERE queue = ?1 AND state = 'ready'), "
    "(SELECT min(at) FROM messages WHERE queue = ?1 AND state = 'scheduled'), "
    "(SELECT min(at) FROM messages WHERE queue = ?1 AND state = 'locked')"
)

# The delivery count names the lock: it grows with every delivery, so no two deliveries of a message share it.
_COMPLETE: Final = (
    "DELETE FROM messages WHERE sequence = ?1 AND queue = ?2 AND state = 'locked' AND delivery_count = ?3 AND at > ?4"
)
_RELEASE: Final = (
    "UPDATE messages SET state = 'ready', at = available_at "
    "WHERE sequence = ?1 AND queue = ?2 AND state = 'locked' AND delivery_count = ?3 AND at > ?4"
)
_TAKE_BACK: Final = (
    "UPDATE messages SET state = 'ready', at = available_at, delivery_count = delivery_count - 1 "
    "WHERE sequence = ?1 AND queue = ?2 AND state = 'locked' AND delivery_count = ?3 AND at > ?4"
)
_RENEW: Final = (
    "UPDATE messages SET at = ?5 "
    "WHERE sequence = ?1 AND queue = ?2 AND state = 'locked' AND delivery_count = ?3 AND at > ?4"
)

_PEEK: Final = (
    "SELECT sequence, message_id, body, properties, available_at, delivery_count FROM messages "
    "WHERE queue = ? AND sequence > ? ORDER BY sequence LIMIT ?"
)
# '0' follows '/': all ids that start with the task id and a slash.
_HOLDS: Final = (
    "SELECT EXISTS (SELECT 1 FROM messages WHERE queue IN (?1, ?2) AND message_id = ?3) "
    "OR EXISTS (SELECT 1 FROM messages WHERE queue IN (?1, ?2) AND message_id > ?3 || '/' AND message_id < ?3 || '0')"
)


@dataclass(frozen=True, slots=True)
class Rules:
    """How queues behave. Times are in seconds; with a `duplicate_window` of 0 every message is taken."""

    lock_duration: float = 60.0
    max_delivery_count: int = 10
    duplicate_window: float = 7200.0


class Received(NamedTuple):
    """What a receive found, and whether it set messages aside."""

    deliveries: list[Delivery]
    set_aside: bool


def enqueue(connection: sqlite3.Connection, now: float, messages: Sequence[Message], rules: Rules) -> dict[str, int]:
    """Add messages, except those whose id the queue has taken within the duplicate window.

    Returns the sequence numbers of those it added, by message id.
    """
    forgotten = now - rules.duplicate_window
    connection.execute(_FORGET_SENT, (forgotten, _SWEEP))
    places: dict[str, float] = {}
    rows = []
    for message in messages:
        queue, message_id, at = message.queue, message.message_id, message.not_before
        if not connection.execute(_REMEMBER_SENT, (queue, message_id, now, forgotten)).rowcount:
            continue
        state = "scheduled"
        if at is None or at <= now:
            if queue not in places:
                places[queue] = _last_place(connection, now, queue)
            state, at = "ready", places[queue]
        text = json.dumps(dict(message.properties)) if message.properties else None
        rows.append((queue, state, at, at, message.expires_at, message_id, text, message.body))
    if not rows:
        return {}
    connection.executemany(_ADD, rows)
    # Nobody else adds within this transaction, so the numbers are in a row.
    (last,) = connection.execute("SELECT max(sequence) FROM messages").fetchone()
    return {row[5]: last - len(rows) + 1 + number for number, row in enumerate(rows)}


def receive(connection: sqlite3.Connection, now: float, queue: str, count: int, rules: Rules) -> Received:
    """Lock up to `count` messages, by the time they became available, then by sequence number."""
    connection.execute(_MAKE_READY, (queue, now, _SWEEP))
    connection.execute(_SHORTEN_LOCKS, (queue, now + MAX_LOCK_SECONDS))
    locked_until = now + rules.lock_duration
    deliveries: list[Delivery] = []
    aside: list[tuple[str, str, int]] = []
    ready = connection.execute(_READY, (queue, count + _SWEEP))
    while len(deliveries) < count and (row := ready.fetchone()):
        sequence, message_id, body, text, available_at, expires_at, deliveries_before = row
        reason = _reason_to_set_aside(now, queue, expires_at, deliveries_before, rules)
        if reason:
            aside.append((queue + DEAD_LETTER_SUFFIX, json.dumps({**_properties(text), **reason}), sequence))
            continue
        deliveries.append(
            Delivery(
                queue=queue,
                message_id=message_id,
                body=body,
                sequence_number=sequence,
                delivery_count=deliveries_before + 1,
                enqueued_at=available_at,
                properties=_properties(text),
                locked_until=locked_until,
                lock_token=str(deliveries_before + 1),
            )
        )
    ready.close()
    connection.executemany(_LOCK, [(locked_until, d.delivery_count, d.sequence_number) for d in deliveries])
    connection.executemany(_SET_ASIDE, aside)
    return Received(deliveries, bool(aside))


def next_due(connection: sqlite3.Connection, queue: str) -> float | None:
    """When a receive may find something, if nobody sends: 0.0 for at once, None for never."""
    ready, scheduled, locked = connection.execute(_NEXT_DUE, (queue,)).fetchone()
    if ready:
        return 0.0
    return min((at for at in (scheduled, locked) if at is not None), default=None)


def renew(connection: sqlite3.Connection, now: float, delivery: Delivery, rules: Rules) -> float:
    """Prolong the lock; returns its new end. Raises LockLost."""
    locked_until = now + rules.lock_duration
    _settle(connection, _RENEW, delivery, (*_held(now, delivery), locked_until))
    return locked_until


def complete(connection: sqlite3.Connection, now: float, delivery: Delivery) -> None:
    """Remove the message. Raises LockLost."""
    _settle(connection, _COMPLETE, delivery, _held(now, delivery))


def release(connection: sqlite3.Connection, now: float, delivery: Delivery) -> None:
    """Put the message back where it was. Raises LockLost."""
    _settle(connection, _RELEASE, delivery, _held(now, delivery))


def take_back(connection: sqlite3.Connection, now: float, deliveries: Sequence[Delivery]) -> None:
    """Put messages back whose receiver went away before it saw them: those deliveries do not count."""
    connection.executemany(_TAKE_BACK, [_held(now, delivery) for delivery in deliveries])


def peek(connection: sqlite3.Connection, queue: str, count: int, after: int) -> list[Delivery]:
    """Messages in any state, by sequence number. Their delivery count says how often they were delivered so far."""
    return [
        Delivery(
            queue=queue,
            message_id=message_id,
            body=body,
            sequence_number=sequence,
            delivery_count=deliveries_before,
            enqueued_at=available_at,
            properties=_properties(text),
        )
        for sequence, message_id, body, text, available_at, deliveries_before in connection.execute(
            _PEEK, (queue, after, count)
        )
    ]


def holds(connection: sqlite3.Connection, queue: str, task_id: str) -> bool:
    """Whether a message of this task is in the queue or was set aside from it."""
    (found,) = connection.execute(_HOLDS, (queue, queue + DEAD_LETTER_SUFFIX, task_id)).fetchone()
    return bool(found)


def _last_place(connection: sqlite3.Connection, now: float, queue: str) -> float:
    """Now, or behind the last ready message if the clock has jumped back since that one came."""
    (last,) = connection.execute(_LAST_PLACE, (queue,)).fetchone()
    return now if last is None else max(now, last)


def _reason_to_set_aside(
    now: float, queue: str, expires_at: float | None, deliveries_before: int, rules: Rules
) -> dict[str, str]:
    if queue.endswith(DEAD_LETTER_SUFFIX):  # there, messages neither expire nor are counted
        return {}
    if expires_at is not None and expires_at <= now:
        return {
            DEAD_LETTER_REASON: "TTLExpiredException",
            DEAD_LETTER_DESCRIPTION: "The message expired before it was received.",
        }
    if deliveries_before >= rules.max_delivery_count:
        return {
            DEAD_LETTER_REASON: "MaxDeliveryCountExceeded",
            DEAD_LETTER_DESCRIPTION: f"The message was delivered {deliveries_before} times and never completed.",
        }
    return {}


def _held(now: float, delivery: Delivery) -> tuple[int, str, str, float]:
    return delivery.sequence_number, delivery.queue, delivery.lock_token, now


def _settle(
    connection: sqlite3.Connection, statement: str, delivery: Delivery, parameters: tuple[int | str | float, ...]
) -> None:
    if not connection.execute(statement, parameters).rowcount:
        raise LockLost(delivery.message_id)


def _properties(text: str | None) -> Properties:
    return json.loads(text) if text else NO_PROPERTIES
