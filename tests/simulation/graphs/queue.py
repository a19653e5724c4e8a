"""What does the queue of a graph look like that is played? Messages with locks and delivery counts, ids it has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from boilermaker_fn.messages import DEAD_LETTER_SUFFIX, Delivery, Message

#: How long a delivery is locked, and for how long ids are remembered, in seconds.
LOCK: Final = 60.0
WINDOW: Final = 7200.0
#: How often a message is delivered before it is set aside.
DELIVERIES: Final = 3


@dataclass(slots=True, eq=False)
class Stored:
    """A message, delivered so often; `due` is when it can be received, so the end of its lock."""

    message: Message
    sequence_number: int
    due: float
    deliveries: int = 0
    aside: bool = False

    def __str__(self) -> str:
        return f"{self.message.message_id} ({self.deliveries}.)"


class MemoryQueue:
    """One queue and, in it, its dead-letter sub-queue. Times are seconds since the epoch."""

    def __init__(self) -> None:
        self.messages: list[Stored] = []
        self._sequence_number = 0
        self._seen: dict[str, float] = {}

    def has_seen(self, message: Message, now: float) -> bool:
        """Whether a message with its id came not long ago."""
        before = self._seen.get(message.message_id)
        return before is not None and now - before < WINDOW

    def accept(self, message: Message, now: float) -> None:
        """Enqueue a message, whatever its id."""
        self._seen[message.message_id] = now
        self._sequence_number += 1
        self.messages.append(Stored(message, self._sequence_number, message.not_before or now))

    def deliver(self, stored: Stored, now: float) -> Delivery:
        """Lock a message and hand it over, from the sub-queue if it was delivered too often."""
        stored.aside = stored.aside or stored.deliveries >= DELIVERIES
        stored.deliveries += 1
        stored.due = now + LOCK
        message = stored.message
        return Delivery(
            message.queue + DEAD_LETTER_SUFFIX if stored.aside else message.queue,
            message.message_id,
            message.body,
            sequence_number=stored.sequence_number,
            delivery_count=stored.deliveries,
            enqueued_at=now,
            properties=message.properties,
        )

    def is_locked(self, stored: Stored, delivery: int, now: float) -> bool:
        """Whether this delivery of a message still has the lock."""
        return stored.deliveries == delivery and stored.due > now and stored in self.messages
