"""What do the emulator's queues do when a client asks? Each by its own rules, in one database.

Queue names are those of Service Bus: capitals make no difference, and `<queue>/$deadletterqueue` is what was set aside
from a queue. A *token* is a lock's name: sequence number and delivery count, 64 bits each, so that locks outlive a
restart. Bodies are opaque here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Final, Literal, TypeVar
from uuid import UUID

from ..errors import BoilermakerError, LockLost, StoreUnavailable
from ..local import queue as state
from ..local import scheduling, settling
from ..local.database import Database
from ..local.queue import Received, Rules
from ..local.transactions import Work
from ..local.wakeups import Wakeups
from ..messages import DEAD_LETTER_SUFFIX, NO_PROPERTIES, Delivery, Message, Properties, origin_of

T = TypeVar("T")

_LARGEST_NUMBER: Final = 2**63 - 1
_COUNT_BITS: Final = 64


class UnknownQueue(BoilermakerError, LookupError):
    """There is no queue of this name. `queue` is the name."""

    def __init__(self, queue: str, known: Iterable[str]) -> None:
        super().__init__(f"there is no queue {queue!r}; there are: {', '.join(sorted(known)) or 'none'}")
        self.queue = queue


class MessageNotFound(BoilermakerError, LookupError):
    """A scheduled message cannot be cancelled: there is none of this number, or it is due. `number` is the number."""

    def __init__(self, queue: str, number: int) -> None:
        super().__init__(f"no message of {queue!r} is scheduled under number {number}: it is due, cancelled or no such")
        self.number = number


class NotAllowed(BoilermakerError):
    """Service Bus does not do this with a dead-letter queue: nothing is sent there, or set aside from there."""

    def __init__(self, queue: str, what: str) -> None:
        super().__init__(f"{what} is not possible in {queue!r}: a dead-letter queue is only received from")
        self.queue = queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Peeked(Delivery):
    """A message that was looked at. A message under lock is active too, as Service Bus has it."""

    state: Literal["active", "scheduled"] = "active"


def token_of(delivery: Delivery) -> UUID:
    """The name of the lock that a delivery has."""
    return UUID(int=delivery.sequence_number << _COUNT_BITS | delivery.delivery_count)


class Broker:
    """The queues of `queues` by name, kept in `database`. `clock` gives seconds since the epoch.

    Every method raises UnknownQueue for a name that is not in `queues`, and StoreUnavailable. What was asked for is
    durable when a method returns, and is done to the end when its caller is cancelled meanwhile.
    """

    def __init__(self, queues: Mapping[str, Rules], database: Database, clock: Callable[[], float]) -> None:
        self._queues = {name.lower(): (name, rules) for name, rules in queues.items()}
        self._database = database
        self._clock = clock
        self._wakeups = Wakeups()
        # Ids are forgotten for the whole file at once: not before the longest window has passed.
        self._remembered = max((rules.duplicate_window for rules in queues.values()), default=0.0)

    async def open(self) -> None:
        """Open the file now, so that what is wrong with it is said. Raises ConfigurationError, StoreUnavailable."""
        await self._database.read(lambda connection: None)

    def rules(self, queue: str) -> Rules:
        """How a queue behaves; a dead-letter queue, as the queue it belongs to. Raises UnknownQueue."""
        return self._found(queue)[1]

    async def send(self, queue: str, messages: Sequence[Message]) -> None:
        """Add messages, in one transaction; duplicates are dropped. Raises NotAllowed for a dead-letter queue."""
        name, rules = self._found(queue)
        added = self._addressed(name, messages)
        await self._write(
            lambda connection: state.enqueue(connection, self._clock(), added, rules, remembered=self._remembered),
            name,
        )

    async def schedule(self, queue: str, messages: Sequence[Message]) -> list[int]:
        """Add messages, in one transaction; a sequence number for each. Raises NotAllowed for a dead-letter queue.

        A duplicate has a number of its own, which never delivers.
        """
        name, rules = self._found(queue)
        added = self._addressed(name, messages)
        return await self._write(
            lambda connection: scheduling.schedule(
                connection, self._clock(), added, rules, remembered=self._remembered
            ),
            name,
        )

    async def cancel(self, queue: str, numbers: Sequence[int]) -> None:
        """Remove scheduled messages: all, or none and raise MessageNotFound. Their ids stay taken."""
        name, _ = self._found(queue)
        for number in numbers:
            if not 0 < number <= _LARGEST_NUMBER:
                raise MessageNotFound(name, number)
        missing = await self._write(
            lambda connection: scheduling.cancel(connection, self._clock(), name, numbers),
        )
        if missing is not None:
            raise MessageNotFound(name, missing)

    async def receive(self, queue: str, count: int, *, locked: bool) -> list[Delivery]:
        """Up to `count` messages that are there now: under lock, or handed over for good.

        A caller that is cancelled gives back what was locked for it; what was handed over for good is lost with it.
        """
        name, rules = self._found(queue)
        found = state.receive if locked else state.take
        receiving = self._database.write(
            lambda connection: found(connection, self._clock(), name, count, rules),
        )
        try:
            received = await asyncio.shield(receiving)
        except asyncio.CancelledError:
            if locked:
                await self._give_back(name, receiving)
            raise
        if received.set_aside:
            self._wakeups.ring([name + DEAD_LETTER_SUFFIX])
        return received.deliveries

    async def complete(self, queue: str, token: UUID) -> None:
        """Remove the message. Raises LockLost."""
        held = self._held(queue, token)
        await self._write(lambda connection: settling.complete(connection, self._clock(), held))

    async def abandon(self, queue: str, token: UUID, properties: Properties = NO_PROPERTIES) -> None:
        """Put the message back with more properties; its last delivery sets it aside at once. Raises LockLost."""
        held, rules = self._held(queue, token), self.rules(queue)
        await self._write(
            lambda connection: settling.abandon(connection, self._clock(), held, properties, rules),
            held.queue,
            held.queue + DEAD_LETTER_SUFFIX,
        )

    async def release(self, queue: str, token: UUID) -> None:
        """Put the message back as if it had not been delivered. Raises LockLost."""
        held = self._held(queue, token)
        back = await self._write(
            lambda connection: settling.take_back(connection, self._clock(), [held]),
            held.queue,
        )
        if not back:
            raise LockLost(held.message_id)

    async def dead_letter(self, queue: str, token: UUID, properties: Properties = NO_PROPERTIES) -> None:
        """Set the message aside with more properties, which say why. Raises LockLost, NotAllowed."""
        held = self._held(queue, token)
        if held.queue.endswith(DEAD_LETTER_SUFFIX):
            raise NotAllowed(held.queue, "dead-lettering")
        await self._write(
            lambda connection: settling.dead_letter(connection, self._clock(), held, properties),
            held.queue + DEAD_LETTER_SUFFIX,
        )

    async def renew(self, queue: str, token: UUID) -> float:
        """Prolong the lock; returns its new end. Raises LockLost."""
        held, rules = self._held(queue, token), self.rules(queue)
        return await self._write(lambda connection: settling.renew(connection, self._clock(), held, rules))

    async def peek(self, queue: str, count: int, first: int) -> list[Peeked]:
        """Up to `count` messages in any state, by sequence number, from number `first` on; nothing is locked.

        Their delivery count says how often they were delivered so far.
        """
        name, _ = self._found(queue)
        after = min(max(first, 0), _LARGEST_NUMBER) - 1
        found = await self._database.read(lambda connection: state.peek(connection, name, count, after))
        now = self._clock()
        return [
            Peeked(
                queue=one.queue,
                message_id=one.message_id,
                body=one.body,
                sequence_number=one.sequence_number,
                delivery_count=one.delivery_count,
                enqueued_at=one.enqueued_at,
                properties=one.properties,
                state="scheduled" if one.enqueued_at > now else "active",
            )
            for one in found
        ]

    def listen(self, queue: str) -> AbstractContextManager[asyncio.Event]:
        """An event that is set whenever a receive may find something new, while the block lasts."""
        return self._wakeups.listen(self._found(queue)[0])

    async def next_due(self, queue: str) -> float | None:
        """When a receive may find something, if nobody sends: 0.0 for at once, None for never."""
        name, _ = self._found(queue)
        return await self._database.read(lambda connection: state.next_due(connection, name))

    def _found(self, queue: str) -> tuple[str, Rules]:
        """The queue's name as it is stored, and its rules."""
        lower = queue.lower()
        try:
            name, rules = self._queues[origin_of(lower)]
        except KeyError:
            raise UnknownQueue(queue, (name for name, _ in self._queues.values())) from None
        return (name + DEAD_LETTER_SUFFIX if lower.endswith(DEAD_LETTER_SUFFIX) else name), rules

    def _held(self, queue: str, token: UUID) -> Delivery:
        """The delivery that a token names, as far as settling needs to know it."""
        name, _ = self._found(queue)
        number, count = divmod(token.int, 1 << _COUNT_BITS)
        message = f"number {number} of {name}"
        if number > _LARGEST_NUMBER:
            raise LockLost(message)
        return Delivery(name, message, b"", number, count, lock_token=str(count))

    def _addressed(self, name: str, messages: Sequence[Message]) -> list[Message]:
        if name.endswith(DEAD_LETTER_SUFFIX):
            raise NotAllowed(name, "sending")
        return [message if message.queue == name else message._replace(queue=name) for message in messages]

    async def _write(self, work: Work[T], *woken: str) -> T:
        """Do `work` and wake who waits for the queues in `woken`, even if our caller is cancelled meanwhile."""
        writing = self._database.write(work)
        if woken:
            writing.add_done_callback(lambda _: self._wakeups.ring(woken))
        return await asyncio.shield(writing)

    async def _give_back(self, name: str, receiving: asyncio.Future[Received]) -> None:
        with suppress(StoreUnavailable):  # the locks expire
            if deliveries := (await receiving).deliveries:
                await self._write(
                    lambda connection: settling.take_back(connection, self._clock(), deliveries),
                    name,
                )
