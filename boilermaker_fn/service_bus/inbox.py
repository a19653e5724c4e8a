"""How are the queue's operations offered as the port Inbox?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..messages import Delivery

if TYPE_CHECKING:
    from ..per_loop import PerLoop
    from .namespace import Namespace
    from .reception import Reception


class ServiceBusInbox:
    """Receives from one queue; all inboxes of a queue in one event loop share one link."""

    def __init__(self, namespaces: PerLoop[Namespace], queue: str) -> None:
        self._namespaces = namespaces
        self._queue = queue

    @property
    def lock_duration(self) -> float:
        """Seconds: what the messages received so far have shown, at most 60. To be asked in a running event loop."""
        return self._reception.lock_duration

    async def receive(self, count: int, wait: float) -> list[Delivery]:
        """Lock up to `count` messages. Waits up to `wait` seconds for the first one, but at least as long as it takes.

        Raises QueueUnavailable.
        """
        return await self._reception.receive(count, wait)

    async def renew(self, delivery: Delivery) -> float:
        """Prolong the lock; returns its new end by the clock of the service. Raises LockLost, QueueUnavailable."""
        return await self._reception.renew(delivery)

    async def complete(self, delivery: Delivery) -> None:
        """Remove the message. Raises LockLost, QueueUnavailable."""
        await self._reception.complete(delivery)

    async def release(self, delivery: Delivery) -> None:
        """Put the message back where it was. Raises LockLost, QueueUnavailable."""
        await self._reception.release(delivery)

    async def peek(self, count: int, after: int = 0) -> list[Delivery]:
        """Look at messages in any state, scheduled and locked ones too. Raises QueueUnavailable."""
        return await self._reception.peek(count, after)

    @property
    def _reception(self) -> Reception:
        return self._namespaces.current().reception(self._queue)
