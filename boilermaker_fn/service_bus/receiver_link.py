"""How is a link for receiving kept? Opened on first use, given up when something fails on it, opened anew."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver

from .failures import HARMLESS
from .links import Opened, opened
from .patience import Patience

T = TypeVar("T")

#: How long the SDK waits for more after a first message came, in seconds. Its default of 0.2 would be added to the
#: start of every task in a queue that is nearly empty. There is no public way to say so.
_GAP: Final = 0.02


class ReceiverLink:
    """The link of one queue in one event loop. `make` makes a receiver that is not open yet."""

    def __init__(self, make: Callable[[], ServiceBusReceiver], patience: Patience) -> None:
        self._make = make
        self._patience = patience
        self._opening = asyncio.Lock()
        self._receiver: Opened[ServiceBusReceiver] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def receiver(self) -> ServiceBusReceiver | None:
        """The one that is open."""
        return None if self._receiver is None else self._receiver.link

    async def use(self, act: Callable[[ServiceBusReceiver], Awaitable[T]], seconds: float = 0.0) -> T:
        """What `act` returns. A passing failure is tried again on a new link: once, or for as long.

        Raises QueueUnavailable.
        """

        async def attempt() -> T:
            receiver = await self._opened()
            try:
                return await act(receiver.link)
            except BaseException as error:
                if not isinstance(error, HARMLESS):
                    self._give_up(receiver)
                raise

        return await self._patience.until(asyncio.get_running_loop().time() + seconds, attempt)

    async def close(self) -> None:
        """Give back what was received for nobody, and disconnect."""
        if self._receiver is not None:
            self._give_up(self._receiver)
        await asyncio.gather(*self._closing)

    async def _opened(self) -> Opened[ServiceBusReceiver]:
        async with self._opening:
            if self._receiver is None:
                receiver = self._make()
                receiver._further_pull_receive_timeout = _GAP
                self._receiver = await opened(receiver)
            return self._receiver

    def _give_up(self, receiver: Opened[ServiceBusReceiver]) -> None:
        if receiver is self._receiver:
            self._receiver = None
            task = asyncio.ensure_future(receiver.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


async def received(receiver: ServiceBusReceiver, count: int, wait: float) -> list[ServiceBusReceivedMessage]:
    """Up to `count` messages, and no more on their way to us: what nobody asks for any more would be locked for nobody.

    The SDK leaves the credit it did not use with the service, and has no public way to take it back. Should its insides
    change, such messages go back after some seconds.
    """
    messages = await receiver.receive_messages(count, wait)
    if len(messages) < count:
        with contextlib.suppress(Exception):  # a link that failed says so to its next user
            link: Any = receiver._handler._link
            await link.flow(link_credit=0)
    return messages
