"""How are messages settled? One after the other: the SDK reads and writes one socket under one lock.

Several settlements at once on one link steal each other's answers and then wait for time-outs. Whoever is cancelled
while waiting here does not stop what is on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeVar

from azure.servicebus.aio import ServiceBusReceiver

from ..errors import LockLost
from .failures import LOST
from .receiver_link import ReceiverLink

#: How long a settlement is tried again on new links, in seconds. Longer is of no use: locks end.
_PATIENCE: Final = 10.0

T = TypeVar("T")


class _Pending(NamedTuple):
    message_id: str
    act: Callable[[ServiceBusReceiver], Awaitable[Any]]
    waiting: asyncio.Future[Any]


class Settlements:
    """Settles on one link. `turn` is held meanwhile: who else wants the link to itself waits for it."""

    def __init__(self, link: ReceiverLink, turn: asyncio.Lock) -> None:
        self._link = link
        self._turn = turn
        self._pending: list[_Pending] = []
        self._settling: asyncio.Task[None] | None = None

    async def settle(self, message_id: str, act: Callable[[ServiceBusReceiver], Awaitable[T]]) -> T:
        """What `act` returns, when its turn comes. Raises LockLost, QueueUnavailable."""
        waiting: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._pending.append(_Pending(message_id, act, waiting))
        if self._settling is None:
            self._settling = asyncio.ensure_future(self._settle_all())
        return await waiting

    async def finish(self) -> None:
        """Until all that is waiting is settled."""
        if self._settling is not None:
            await asyncio.wait([self._settling])

    async def _settle_all(self) -> None:
        try:
            async with self._turn:
                while self._pending:
                    together, self._pending = self._pending, []
                    await asyncio.gather(*(self._settle_one(pending) for pending in together))
        finally:
            self._settling = None

    async def _settle_one(self, pending: _Pending) -> None:
        waiting = pending.waiting
        try:
            result = await self._link.use(pending.act, _PATIENCE)
        except Exception as error:
            if not waiting.done():
                waiting.set_exception(_meaning(error, pending.message_id))
        else:
            if not waiting.done():
                waiting.set_result(result)


def _meaning(error: Exception, message_id: str) -> Exception:
    if isinstance(error.__cause__, LOST):
        lost = LockLost(message_id)
        lost.__cause__ = error.__cause__
        return lost
    return error
