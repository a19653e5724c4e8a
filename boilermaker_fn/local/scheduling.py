"""How are messages numbered when they are scheduled, and cancelled by that number?"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from ..messages import Message
from .queue import Rules, enqueue

# A number that was used can never come again, so a row that is removed at once keeps it from all others.
_USE_NUMBER: Final = (
    "INSERT INTO messages (queue, state, at, available_at, delivery_count, message_id, body) "
    "VALUES (?, 'scheduled', 0, 0, 0, '', x'')"
)
_LAST_NUMBER: Final = "SELECT max(sequence) FROM messages"
_REMOVE: Final = "DELETE FROM messages WHERE sequence = ?"
_IS_SCHEDULED: Final = "SELECT 1 FROM messages WHERE sequence = ? AND queue = ? AND state = 'scheduled' AND at > ?"


def schedule(
    connection: sqlite3.Connection, now: float, messages: Sequence[Message], rules: Rules, *, remembered: float = 0.0
) -> list[int]:
    """Add messages as `enqueue` does; a number for each. A duplicate's is its own and never delivers."""
    numbers = []
    for message in messages:
        added = enqueue(connection, now, [message], rules, remembered=remembered)
        numbers.append(added[message.message_id] if added else _unused_number(connection, message.queue))
    return numbers


def cancel(connection: sqlite3.Connection, now: float, queue: str, numbers: Sequence[int]) -> int | None:
    """Remove scheduled messages that are not due yet: all of them, or none if one is not there.

    Returns the first number that is not there.
    """
    for number in numbers:
        if connection.execute(_IS_SCHEDULED, (number, queue, now)).fetchone() is None:
            return number
    connection.executemany(_REMOVE, [(number,) for number in numbers])
    return None


def _unused_number(connection: sqlite3.Connection, queue: str) -> int:
    connection.execute(_USE_NUMBER, (queue,))
    (number,) = connection.execute(_LAST_NUMBER).fetchone()
    connection.execute(_REMOVE, (number,))
    return int(number)
