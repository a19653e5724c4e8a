"""In which order are messages settled? All that is to be completed at once, the rest one after the other.

The SDK reads and writes one socket under one lock: several settlements at a time steal each other's answers, and then
wait for time-outs. Whoever is cancelled while waiting here does not stop what is on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver

from ..errors import LockLost
from .completing import completed_at_once
from .failures import LOST
from .receiver_link import ReceiverLink

#: How long a settlement is tried again on new links, in seconds. Longer is of no use: locks end.
_PATIENCE: Final = 10.0

T = TypeVar("T")


class _Pending(NamedTuple):
    message_id: str
    act: Callable[[ServiceBusReceiver], Awaitable[Any]]
    waiting: asyncio.Future[Any]
    completes: ServiceBusReceivedMessage | None


class Settlements:
    """Settles on one link. `turn` is held meanwhile: who else wants the link to itself waits for it."""

    def __init__(self, link: ReceiverLink, turn: asyncio.Lock) -> None:
        self._link = link
        self._turn = turn
        self._pending: list[_Pending] = []
        self._settling: asyncio.Task[None] | None = None

    async def complete(self, message_id: str, message: ServiceBusReceivedMessage) -> None:
        """Complete a message, with others. Raises LockLost, QueueUnavailable."""
        await self._settled(message_id, lambda receiver: receiver.complete_message(message), message)

    async def perform(self, message_id: str, act: Callable[[ServiceBusReceiver], Awaitable[T]]) -> T:
        """What `act` returns, which does something about a message. Raises LockLost, QueueUnavailable."""
        result: T = await self._settled(message_id, act, None)
        return result

    async def finish(self) -> None:
        """Until all that is waiting is settled."""
        if self._settling is not None:
            await asyncio.wait([self._settling])

    async def _settled(
        self,
        message_id: str,
        act: Callable[[ServiceBusReceiver], Awaitable[Any]],
        completes: ServiceBusReceivedMessage | None,
    ) -> Any:
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending.append(_Pending(message_id, act, waiting, completes))
        if self._settling is None:
            self._settling = asyncio.ensure_future(self._settle_all())
        return await waiting

    async def _settle_all(self) -> None:
        try:
            async with self._turn:
                while self._pending:
                    together, self._pending = self._pending, []
                    for pending in await self._complete_all(together):
                        await self._perform(pending)
        finally:
            self._settling = None

    async def _complete_all(self, together: Sequence[_Pending]) -> list[_Pending]:
        """Those that are left to be settled one by one."""
        messages = [pending.completes for pending in together if pending.completes is not None]
        receiver = self._link.receiver
        if len(messages) < 2 or receiver is None:
            return list(together)
        outcomes = iter(await completed_at_once(receiver, messages))
        left = []
        for pending in together:
            completed = None if pending.completes is None else next(outcomes)
            if completed is None:
                left.append(pending)
            elif not pending.waiting.done():
                if completed:
                    pending.waiting.set_result(None)
                else:
                    pending.waiting.set_exception(LockLost(pending.message_id))
        return left

    async def _perform(self, pending: _Pending) -> None:
        try:
            result = await self._link.use(pending.act, _PATIENCE)
        except Exception as error:
            if not pending.waiting.done():
                pending.waiting.set_exception(_meaning(error, pending.message_id))
        else:
            if not pending.waiting.done():
                pending.waiting.set_result(result)


def _meaning(error: Exception, message_id: str) -> Exception:
    if not isinstance(error.__cause__, LOST):
        return error
    lost = LockLost(message_id)
    lost.__cause__ = error.__cause__
    return lost
