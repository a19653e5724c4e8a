"""What does one event loop keep open to a namespace? A client, one link per queue to send, and one to receive."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final

from azure.servicebus import ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusReceiver, ServiceBusSender

from ..messages import DEAD_LETTER_SUFFIX, origin_of
from .access import Access, Connected
from .outbox import Outbox
from .patience import Patience
from .receiver_link import ReceiverLink
from .reception import Reception
from .sender_link import SenderLink, Upkeep

#: How long the SDK reads before it lets others write, in seconds. It reads and writes under one lock, so that a
#: settlement can have to wait for this long while nothing comes; its default is 0.2.
_READ: Final = 0.05
#: How often the SDK looks for what came while nobody read, in seconds, so that a link that was detached is seen soon.
#: Its default is 30.
_KEEP_ALIVE: Final = 5


class Namespace:
    """The links of one event loop. `clock` gives seconds since the epoch."""

    def __init__(self, access: Access, clock: Callable[[], float], upkeep: Upkeep | None) -> None:
        self._access = access
        self._clock = clock
        self._upkeep = upkeep or Upkeep()
        self._connected: Connected | None = None
        self._outboxes: dict[str, Outbox] = {}
        self._receptions: dict[str, Reception] = {}

    def outbox(self, queue: str) -> Outbox:
        """The way out to a queue."""
        found = self._outboxes.get(queue)
        if found is None:
            link = SenderLink(lambda: self._sender(queue), self._upkeep)
            found = self._outboxes[queue] = Outbox(link, self._patience(queue), self._clock)
        return found

    def reception(self, queue: str) -> Reception:
        """What is received from a queue."""
        found = self._receptions.get(queue)
        if found is None:
            link = ReceiverLink(lambda: self._receiver(queue), self._patience(queue))
            found = self._receptions[queue] = Reception(queue, link, self._clock)
        return found

    async def close(self) -> None:
        """Send what is waiting, give back what was received for nobody, and disconnect."""
        await asyncio.gather(
            *(outbox.close() for outbox in self._outboxes.values()),
            *(reception.close() for reception in self._receptions.values()),
        )
        if self._connected is not None:
            await self._connected.close()

    def _patience(self, queue: str) -> Patience:
        return Patience(queue, self._access.host, random.random)

    def _sender(self, queue: str) -> ServiceBusSender:
        options: dict[str, Any] = {"keep_alive": _KEEP_ALIVE}
        return self._connection().client.get_queue_sender(queue, socket_timeout=_READ, **options)

    def _receiver(self, queue: str) -> ServiceBusReceiver:
        sub_queue = ServiceBusSubQueue.DEAD_LETTER if queue.endswith(DEAD_LETTER_SUFFIX) else None
        return self._connection().client.get_queue_receiver(
            origin_of(queue), sub_queue=sub_queue, prefetch_count=0, socket_timeout=_READ
        )

    def _connection(self) -> Connected:
        if self._connected is None:
            self._connected = self._access.connect()
        return self._connected
