"""How does a delivery end? Renewed, completed, handed back or set aside: by whoever holds its lock, and nobody else.

The delivery count names the lock: it grows with every delivery, so that no two deliveries of a message share it. Only
a delivery that does not count (`take_back`) leaves its name to the next one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Final

from ..errors import LockLost
from ..messages import DEAD_LETTER_SUFFIX, Delivery, Properties
from .queue import Rules, delivered_too_often, properties_of, set_aside

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
_HELD: Final = (
    "SELECT delivery_count, properties FROM messages "
    "WHERE sequence = ?1 AND queue = ?2 AND state = 'locked' AND delivery_count = ?3 AND at > ?4"
)
_CHANGE: Final = "UPDATE messages SET properties = ? WHERE sequence = ?"


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


def abandon(connection: sqlite3.Connection, now: float, delivery: Delivery, more: Properties, rules: Rules) -> bool:
    """Put the message back with `more` properties, or set it aside at once if this was its last delivery.

    Returns whether it was set aside. Raises LockLost.
    """
    deliveries, text = _read(connection, now, delivery)
    if deliveries >= rules.max_delivery_count and not delivery.queue.endswith(DEAD_LETTER_SUFFIX):
        set_aside(
            connection, [(delivery.sequence_number, delivery.queue, text, {**more, **delivered_too_often(deliveries)})]
        )
        return True
    if more:
        connection.execute(_CHANGE, (json.dumps({**properties_of(text), **more}), delivery.sequence_number))
    release(connection, now, delivery)
    return False


def dead_letter(connection: sqlite3.Connection, now: float, delivery: Delivery, more: Properties) -> None:
    """Set the message aside with `more` properties, which say why. Raises LockLost."""
    _, text = _read(connection, now, delivery)
    set_aside(connection, [(delivery.sequence_number, delivery.queue, text, more)])


def take_back(connection: sqlite3.Connection, now: float, deliveries: Sequence[Delivery]) -> int:
    """Put messages back whose receiver went away before it saw them: those deliveries do not count.

    Returns how many were still theirs.
    """
    return connection.executemany(_TAKE_BACK, [_held(now, delivery) for delivery in deliveries]).rowcount


def _read(connection: sqlite3.Connection, now: float, delivery: Delivery) -> tuple[int, str | None]:
    row = connection.execute(_HELD, _held(now, delivery)).fetchone()
    if row is None:
        raise LockLost(delivery.message_id)
    return row[0], row[1]


def _held(now: float, delivery: Delivery) -> tuple[int, str, str, float]:
    return delivery.sequence_number, delivery.queue, delivery.lock_token, now


def _settle(
    connection: sqlite3.Connection, statement: str, delivery: Delivery, parameters: tuple[int | str | float, ...]
) -> None:
    if not connection.execute(statement, parameters).rowcount:
        raise LockLost(delivery.message_id)
