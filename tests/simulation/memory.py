"""What do a queue and a table look like without a database? As little as the runner needs, and fast.

They keep the whole history, for the verdict at the end.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from boilermaker_fn.entities import Entity, Insert, Operation, check_operations
from boilermaker_fn.errors import Conflict, LockLost
from boilermaker_fn.messages import DEAD_LETTER_DESCRIPTION, DEAD_LETTER_REASON, DEAD_LETTER_SUFFIX, Delivery, Message

Clock = Callable[[], float]


@dataclass(slots=True)
class Stored:
    """A message in a queue. `due`: when it can be received (the end of its lock if it is locked)."""

    message: Message
    sequence: int
    due: float
    deliveries: int = 0


class MemoryBroker:
    """Queues with locks, delivery counts, duplicate detection and dead-letter sub-queues.

    It hands out what is due in any order (`chance` chooses). Times are in seconds.
    """

    def __init__(
        self, clock: Clock, chance: random.Random, *, lock_duration: float, max_deliveries: int, window: float
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._max_deliveries = max_deliveries
        self._window = window
        self._sequence = 0
        self._taken: dict[tuple[str, str], float] = {}
        self.lock_duration = lock_duration
        self.queues: dict[str, dict[int, Stored]] = {}
        #: Every message that was ever accepted, duplicates left out.
        self.accepted: list[Message] = []
        #: Ids of messages that were delivered too often.
        self.given_up: set[str] = set()

    def accept(self, message: Message) -> None:
        """Enqueue a message, unless one with its id came within the window."""
        now, key = self._clock(), (message.queue, message.message_id)
        if now - self._taken.get(key, -math.inf) < self._window:
            return
        self._taken[key] = now
        self.accepted.append(message)
        self.enqueue(message)

    def enqueue(self, message: Message, due: float | None = None) -> None:
        """Enqueue a message whatever its id."""
        at = due if due is not None else message.not_before or self._clock()
        self._sequence += 1
        self.queues.setdefault(message.queue, {})[self._sequence] = Stored(message, self._sequence, at)

    def receive(self, queue: str) -> Delivery | None:
        """Lock one message that is due. Those delivered too often are set aside."""
        now, messages = self._clock(), self.queues.get(queue, {})
        due = [stored for stored in messages.values() if stored.due <= now]
        while due:
            stored = due.pop(self._chance.randrange(len(due)))
            if stored.deliveries < self._max_deliveries or queue.endswith(DEAD_LETTER_SUFFIX):
                return self._locked(queue, stored, now)
            del messages[stored.sequence]
            self._set_aside(stored)
        return None

    def complete(self, delivery: Delivery) -> None:
        """Remove a message. Raises LockLost."""
        self._held(delivery)
        del self.queues[delivery.queue][delivery.sequence_number]

    def release(self, delivery: Delivery) -> None:
        """Put a message back. Raises LockLost."""
        self._held(delivery).due = self._clock()

    def next_due(self, queues: Sequence[str]) -> float | None:
        """When something can be received; None when the queues are empty."""
        return min((stored.due for queue in queues for stored in self.queues.get(queue, {}).values()), default=None)

    def _locked(self, queue: str, stored: Stored, now: float) -> Delivery:
        stored.deliveries += 1
        stored.due = now + self.lock_duration
        message = stored.message
        return Delivery(
            queue=queue,
            message_id=message.message_id,
            body=message.body,
            sequence_number=stored.sequence,
            delivery_count=stored.deliveries,
            enqueued_at=now,
            properties=message.properties,
            locked_until=stored.due,
            lock_token=str(stored.deliveries),
        )

    def _held(self, delivery: Delivery) -> Stored:
        stored = self.queues[delivery.queue].get(delivery.sequence_number)
        if stored is None or str(stored.deliveries) != delivery.lock_token or stored.due <= self._clock():
            raise LockLost(delivery.message_id)
        return stored

    def _set_aside(self, stored: Stored) -> None:
        message = stored.message
        self.given_up.add(message.message_id)
        why = {DEAD_LETTER_REASON: "MaxDeliveryCountExceeded", DEAD_LETTER_DESCRIPTION: "delivered too often"}
        properties = {**message.properties, **why}
        aside = message._replace(queue=message.queue + DEAD_LETTER_SUFFIX, properties=properties)
        self.enqueue(aside, self._clock())


class MemoryTransport:
    """Sends into a MemoryBroker."""

    max_message_bytes = 256 * 1024

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def send(self, messages: Sequence[Message], *, numbered: bool = False) -> Mapping[str, int]:
        """Accept all."""
        for message in messages:
            self._broker.accept(message)
        return {}


class MemoryTable:
    """Rows, insert-only: what a delivery may do with them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.rows: dict[tuple[str, str], Entity] = {}
        #: When each row was written.
        self.written: dict[str, list[float]] = {}

    async def read(self, partition: str, row: str, select: Sequence[str] | None = None) -> Entity | None:
        """One row."""
        return self.rows.get((partition, row))

    async def query(self, partition: str, **conditions: Any) -> Any:
        """Nobody asks during a delivery."""
        raise NotImplementedError(partition)

    async def write(self, operations: Sequence[Operation]) -> list[str]:
        """Insert rows. Raises Conflict."""
        check_operations(operations)
        for operation in operations:
            entity = operation.entity
            if isinstance(operation, Insert) and (entity.partition, entity.row) in self.rows:
                raise Conflict(entity.partition, entity.row)
        for operation in operations:
            entity = operation.entity
            self.rows[entity.partition, entity.row] = entity
            self.written.setdefault(entity.row, []).append(self._clock())
        return ["1"] * len(operations)
