"""What does a queue do? The semantics of a Service Bus queue, as SQL.

Pure with regard to time: `now` is an argument (seconds since the epoch). A clock that jumps back blocks nothing: a
ready message is ready whatever the time, and no lock ends later than MAX_LOCK_SECONDS from now.

Where Service Bus leaves a choice: messages that expired or were delivered too often are set aside when a receive meets
them; a message that was set aside keeps its sequence number, its delivery count and its age.

How a delivery ends is in settling.py, what concerns scheduled messages alone in scheduling.py.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

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

_EXPIRED: Final[Properties] = {
    DEAD_LETTER_REASON: "TTLExpiredException",
    DEAD_LETTER_DESCRIPTION: "The message expired before it was received.",
}

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
_REMOVE: Final = "DELETE FROM messages WHERE sequence = ?"
_SET_ASIDE: Final = (
    "UPDATE messages SET queue = ?, state = 'ready', at = available_at, properties = ? WHERE sequence = ?"
)
_NEXT_DUE: Final = (
    "SELECT EXISTS (SELECT 1 FROM messages WHERE queue = ?1 AND state = 'ready'), "
    "(SELECT min(at) FROM messages WHERE queue = ?1 AND state = 'scheduled'), "
    "(SELECT min(at) FROM messages WHERE queue = ?1 AND state = 'locked')"
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


class Rules(NamedTuple):
    """How queues behave. Times are in seconds; with a `duplicate_window` of 0 every message is taken.

    `time_to_live` bounds what a message asks for, from the time it becomes available. What has expired goes to the
    dead-letter queue if `dead_letter_expired`, and is removed otherwise.
    """

    lock_duration: float = 60.0
    max_delivery_count: int = 10
    duplicate_window: float = 7200.0
    time_to_live: float | None = None
    dead_letter_expired: bool = True


class Received(NamedTuple):
    """What a receive found, and whether it set messages aside."""

    deliveries: list[Delivery]
    set_aside: bool


def enqueue(
    connection: sqlite3.Connection, now: float, messages: Sequence[Message], rules: Rules, *, remembered: float = 0.0
) -> dict[str, int]:
    """Add messages, except those whose id the queue has taken within the duplicate window.

    Ids are remembered for `remembered` seconds where that is longer than the window, for other queues in the file.
    Returns the sequence numbers of those it added, by message id. Messages without an id are no duplicates.
    """
    window, longest = rules.duplicate_window, rules.time_to_live
    forgotten = now - window
    connection.execute(_FORGET_SENT, (forgotten if window >= remembered else now - remembered, _SWEEP))
    places: dict[str, float] = {}
    rows = []
    for message in messages:
        queue, message_id, at = message.queue, message.message_id, message.not_before
        detects = window and message_id
        if detects and not connection.execute(_REMEMBER_SENT, (queue, message_id, now, forgotten)).rowcount:
            continue
        state = "scheduled"
        if at is None or at <= now:
            if queue not in places:
                places[queue] = _last_place(connection, now, queue)
            state, at = "ready", places[queue]
        expires_at = message.expires_at
        if longest is not None:
            expires_at = at + longest if expires_at is None else min(expires_at, at + longest)
        text = json.dumps(dict(message.properties)) if message.properties else None
        rows.append((queue, state, at, at, expires_at, message_id, text, message.body))
    if not rows:
        return {}
    connection.executemany(_ADD, rows)
    # Nobody else adds within this transaction, so the numbers are in a row.
    (last,) = connection.execute("SELECT max(sequence) FROM messages").fetchone()
    return {row[5]: last - len(rows) + 1 + number for number, row in enumerate(rows)}


def receive(connection: sqlite3.Connection, now: float, queue: str, count: int, rules: Rules) -> Received:
    """Lock up to `count` messages, by the time they became available, then by sequence number."""
    locked_until = now + rules.lock_duration
    received = _found(connection, now, queue, count, rules, locked_until)
    connection.executemany(_LOCK, [(locked_until, d.delivery_count, d.sequence_number) for d in received.deliveries])
    return received


def take(connection: sqlite3.Connection, now: float, queue: str, count: int, rules: Rules) -> Received:
    """Remove up to `count` messages and hand them over for good, in the order of `receive`."""
    received = _found(connection, now, queue, count, rules, 0.0)
    connection.executemany(_REMOVE, [(delivery.sequence_number,) for delivery in received.deliveries])
    return received


def next_due(connection: sqlite3.Connection, queue: str) -> float | None:
    """When a receive may find something, if nobody sends: 0.0 for at once, None for never."""
    ready, scheduled, locked = connection.execute(_NEXT_DUE, (queue,)).fetchone()
    if ready:
        return 0.0
    return min((at for at in (scheduled, locked) if at is not None), default=None)


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
            properties=properties_of(text),
        )
        for sequence, message_id, body, text, available_at, deliveries_before in connection.execute(
            _PEEK, (queue, after, count)
        )
    ]


def holds(connection: sqlite3.Connection, queue: str, task_id: str) -> bool:
    """Whether a message of this task is in the queue or was set aside from it."""
    (found,) = connection.execute(_HOLDS, (queue, queue + DEAD_LETTER_SUFFIX, task_id)).fetchone()
    return bool(found)


def set_aside(connection: sqlite3.Connection, messages: Iterable[tuple[int, str, str | None, Properties]]) -> None:
    """Move messages to the dead-letter queue of theirs: number, queue, properties as stored, and properties to add."""
    connection.executemany(
        _SET_ASIDE,
        [
            (queue + DEAD_LETTER_SUFFIX, json.dumps({**properties_of(text), **more}), sequence)
            for sequence, queue, text, more in messages
        ],
    )


def delivered_too_often(deliveries: int) -> Properties:
    """What Service Bus says of a message that reached its delivery limit."""
    return {
        DEAD_LETTER_REASON: "MaxDeliveryCountExceeded",
        DEAD_LETTER_DESCRIPTION: f"The message was delivered {deliveries} times and never completed.",
    }


def properties_of(text: str | None) -> Properties:
    """Properties as they are stored."""
    return json.loads(text) if text else NO_PROPERTIES


def _found(
    connection: sqlite3.Connection, now: float, queue: str, count: int, rules: Rules, locked_until: float
) -> Received:
    """The next messages, as deliveries that are not written down yet; those in their way are set aside or removed."""
    connection.execute(_MAKE_READY, (queue, now, _SWEEP))
    connection.execute(_SHORTEN_LOCKS, (queue, now + MAX_LOCK_SECONDS))
    deliveries: list[Delivery] = []
    aside: list[tuple[int, str, str | None, Properties]] = []
    expired: list[tuple[int]] = []
    ready = connection.execute(_READY, (queue, count + _SWEEP))
    counts = not queue.endswith(DEAD_LETTER_SUFFIX)  # there, messages neither expire nor are counted
    while len(deliveries) < count and (row := ready.fetchone()):
        sequence, message_id, body, text, available_at, expires_at, deliveries_before = row
        if counts and expires_at is not None and expires_at <= now:
            if rules.dead_letter_expired:
                aside.append((sequence, queue, text, _EXPIRED))
            else:
                expired.append((sequence,))
            continue
        if counts and deliveries_before >= rules.max_delivery_count:
            aside.append((sequence, queue, text, delivered_too_often(deliveries_before)))
            continue
        deliveries.append(
            Delivery(
                queue=queue,
                message_id=message_id,
                body=body,
                sequence_number=sequence,
                delivery_count=deliveries_before + 1,
                enqueued_at=available_at,
                properties=properties_of(text),
                locked_until=locked_until,
                lock_token=str(deliveries_before + 1),
            )
        )
    ready.close()
    if expired:
        connection.executemany(_REMOVE, expired)
    if aside:
        set_aside(connection, aside)
    return Received(deliveries, bool(aside))


def _last_place(connection: sqlite3.Connection, now: float, queue: str) -> float:
    """Now, or behind the last ready message if the clock has jumped back since that one came."""
    (last,) = connection.execute(_LAST_PLACE, (queue,)).fetchone()
    return now if last is None else max(now, last)
