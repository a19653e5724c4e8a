"""How is a link of the SDK opened, seen to be broken, and let go of whatever state it is in?"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from azure.servicebus.aio import ServiceBusReceiver, ServiceBusSender

L = TypeVar("L", ServiceBusSender, ServiceBusReceiver)

#: Seconds. Half a second is usual; a token that must be fetched can take some more.
_TO_OPEN: Final = 15.0
_ATTACHED: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class Opened(Generic[L]):
    """A link that was opened, and its connection: the SDK forgets that one when something fails on it."""

    link: L
    connection: Any

    @property
    def attached(self) -> bool:
        """Whether it is as good as when it was opened, as far as the SDK knows.

        It does not say so in public. Should its insides change, links are still replaced when they are idle.
        """
        client: Any = self.link._handler
        if client is None:
            return False
        try:
            return bool(client._link.state.value == _ATTACHED and self.connection._error is None)
        except AttributeError:
            return True

    async def close(self) -> None:
        """Detach and disconnect, which takes up to a second. It never fails: the link is of no use any more."""
        with contextlib.suppress(Exception):
            await self.link.close()
        # The SDK takes leave of the other side first, and leaves the socket open when that fails.
        with contextlib.suppress(Exception):
            await self.connection._transport.close()


async def opened(link: L) -> Opened[L]:
    """The link, ready to use. Raises what the SDK raises, or TimeoutError: the SDK would wait for ever."""
    try:
        async with asyncio.timeout(_TO_OPEN):
            await link.__aenter__()
    except BaseException:
        with contextlib.suppress(Exception):
            await link.close()
        raise
    return Opened(link, getattr(link._handler, "_connection", None))
