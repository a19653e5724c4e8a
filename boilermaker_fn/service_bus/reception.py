"""How is a queue received from? On one link per event loop, without prefetching: what is locked is somebody's.

A receive first asks for what is there, with the link to itself; only if there is nothing it waits, while others settle.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

from azure.servicebus import ServiceBusReceivedMessage

from ..errors import LockLost, QueueUnavailable
from ..messages import Delivery
from .encoding import delivered, leave_expiry_to_the_service
from .receiver_link import ReceiverLink, received
from .settlements import Settlements

# How long the service has to answer, in seconds: at first, when settlements wait meanwhile; in all, even if the caller
# does not want to wait; and for one receive of the SDK, which is never interrupted.
_AT_ONCE: Final = 0.02
_SHORTEST_WAIT: Final = 0.2
_LONGEST_RECEIVE: Final = 1.0

#: Until a message shows a shorter one. Renewing more often than needed costs little, and more seldom costs the lock.
_LOCK_SECONDS: Final = 60.0
_SHORTEST_LOCK: Final = 1.0

#: Messages whose lock is kept in mind; those that were never settled must not stay for ever.
_MOST_HELD: Final = 10_000


class Reception:
    """Receives from one queue in one event loop. `clock` gives seconds since the epoch."""

    def __init__(self, queue: str, link: ReceiverLink, clock: Callable[[], float]) -> None:
        self.lock_duration = _LOCK_SECONDS
        self._queue = queue
        self._clock = clock
        self._link = link
        self._turn = asyncio.Lock()
        self._settlements = Settlements(self._link, self._turn)
        self._receiving = asyncio.Lock()
        self._held: dict[str, ServiceBusReceivedMessage] = {}
        self._giving_back: set[asyncio.Task[None]] = set()
        self._closed = False

    async def receive(self, count: int, wait: float) -> list[Delivery]:
        """Lock up to `count` messages; waits up to `wait` seconds for the first. Raises QueueUnavailable."""
        now = asyncio.get_running_loop().time
        end = now() + max(wait, _SHORTEST_WAIT)
        while not self._closed and (left := end - now()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._receiving.acquire()
            except TimeoutError:  # others are waiting for the same messages
                break
            seconds = min(max(end - now(), _AT_ONCE), _LONGEST_RECEIVE)
            if found := await self._uninterrupted(self._take(count, seconds)):
                return found
        return []

    async def renew(self, delivery: Delivery) -> float:
        """Prolong the lock; its new end. Raises LockLost, QueueUnavailable."""
        message = self._message(delivery)
        until = await self._settlements.perform(delivery.message_id, lambda link: link.renew_message_lock(message))
        leave_expiry_to_the_service(message)
        return until.timestamp()

    async def complete(self, delivery: Delivery) -> None:
        """Remove the message. Raises LockLost, QueueUnavailable."""
        message = self._message(delivery)
        with self._forgetting(delivery):
            await self._settlements.complete(delivery.message_id, message)

    async def release(self, delivery: Delivery) -> None:
        """Put the message back. Raises LockLost, QueueUnavailable."""
        message = self._message(delivery)
        with self._forgetting(delivery):
            await self._settlements.perform(delivery.message_id, lambda link: link.abandon_message(message))

    async def peek(self, count: int, after: int) -> list[Delivery]:
        """Look at messages in any state. Raises QueueUnavailable."""
        found: list[Delivery] = []
        while len(found) < count:
            some = await self._peek_once(count - len(found), found[-1].sequence_number if found else after)
            if not some:
                break
            found += some
        return found

    async def close(self) -> None:
        """End what waits, settle what is to be settled, and give back the rest."""
        self._closed = True
        async with self._receiving:
            await asyncio.gather(*self._giving_back)
            await self._settlements.finish()
            await self._link.close()

    async def _uninterrupted(self, taking: Coroutine[Any, Any, list[Delivery]]) -> list[Delivery]:
        """The SDK would forget what it has received when it is interrupted, and the locks would have to expire."""
        task = asyncio.ensure_future(taking)
        task.add_done_callback(lambda _: self._receiving.release())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            giving = asyncio.ensure_future(self._give_back(task))
            self._giving_back.add(giving)
            giving.add_done_callback(self._giving_back.discard)
            raise

    async def _give_back(self, taking: asyncio.Task[list[Delivery]]) -> None:
        with contextlib.suppress(QueueUnavailable):
            for delivery in await taking:
                with contextlib.suppress(LockLost):
                    await self.release(delivery)

    async def _take(self, count: int, wait: float) -> list[Delivery]:
        async with self._turn:
            messages = await self._link.use(lambda link: received(link, count, min(wait, _AT_ONCE)))
        if not messages and wait > _AT_ONCE:
            messages = await self._link.use(lambda link: received(link, count, wait))
        return [self._hold(message) for message in messages]

    def _hold(self, message: ServiceBusReceivedMessage) -> Delivery:
        token = str(message.lock_token)
        delivery = delivered(message, self._queue, token)
        self._see_lock(delivery)
        leave_expiry_to_the_service(message)
        self._held[token] = message
        if len(self._held) > _MOST_HELD:
            del self._held[next(iter(self._held))]
        return delivery

    def _see_lock(self, delivery: Delivery) -> None:
        """A lock is no longer than what is left of it by our clock, nor than since the message came by theirs."""
        shown = delivery.locked_until - max(delivery.enqueued_at, self._clock())
        if shown > 0:
            self.lock_duration = max(min(self.lock_duration, shown), _SHORTEST_LOCK)

    @contextlib.contextmanager
    def _forgetting(self, delivery: Delivery) -> Iterator[None]:
        """Once it is settled or lost its lock is kept no longer; after another failure it can be tried again."""
        try:
            yield
        except LockLost:
            self._held.pop(delivery.lock_token, None)
            raise
        else:
            self._held.pop(delivery.lock_token, None)

    def _message(self, delivery: Delivery) -> ServiceBusReceivedMessage:
        message = self._held.get(delivery.lock_token)
        if message is None:
            raise LockLost(delivery.message_id)
        return message

    async def _peek_once(self, count: int, after: int) -> list[Delivery]:
        async with self._turn:
            messages = await self._link.use(
                lambda link: link.peek_messages(max_message_count=count, sequence_number=after + 1)
            )
        return [delivered(message, self._queue, "") for message in messages]
