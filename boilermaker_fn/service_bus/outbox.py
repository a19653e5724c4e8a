"""How do messages for one queue go out in few operations? What arrives while a batch is under way makes the next one.

No timers: the first message goes at once; under load the batches grow by themselves. The messages of one call go in
one batch, which the service takes whole or not at all, unless they are too many for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from azure.servicebus.aio import ServiceBusSender
from azure.servicebus.exceptions import ServiceBusError

from ..messages import Message
from .calls import Call, Parcel, Receipt
from .encoding import utc
from .packing import Shipment, packed
from .patience import Patience
from .sender_link import SenderLink, Use

#: How long failures that pass are waited out, in seconds.
_PATIENCE: Final = 30.0
# How long one try may take, in seconds. What was sent when it ends may have arrived: the ids make it safe to repeat.
_TO_SEND: Final = 10.0
_TO_OPEN_AND_SEND: Final = 20.0

T = TypeVar("T")


class Outbox:
    """Sends to one queue from one event loop. `clock` gives seconds since the epoch."""

    def __init__(self, link: SenderLink, patience: Patience, clock: Callable[[], float]) -> None:
        self._link = link
        self._patience = patience
        self._clock = clock
        self._calls: list[Call] = []
        self._sending: asyncio.Task[None] | None = None

    async def send(self, messages: Sequence[Message], *, numbered: bool) -> Receipt:
        """Send them with what others send; says what was not accepted and why, and the numbers of scheduled ones.

        Whoever is cancelled while waiting here does not stop what is on its way.
        """
        loop = asyncio.get_running_loop()
        call = Call(messages, self._clock(), numbered, loop.time() + _PATIENCE, loop.create_future())
        if call.parcels:
            self._calls.append(call)
            if self._sending is None:
                self._sending = asyncio.ensure_future(self._send_all())
        else:
            call.account([])
        return await call.waiting

    async def close(self) -> None:
        """Send what is waiting, then let go of the link."""
        if self._sending is not None:
            await asyncio.wait([self._sending])
        await self._link.close()

    async def _send_all(self) -> None:
        calls: list[Call] = []
        try:
            while self._calls:
                calls, self._calls = self._calls, []
                for when, groups in _by_time(calls).items():
                    await self._send_groups(groups, when)
        finally:
            self._sending = None
            for call in [*calls, *self._calls]:  # still waiting only when the loop is being shut down
                call.waiting.cancel()
            self._calls = []

    async def _send_groups(self, groups: list[list[Parcel]], when: float | None) -> None:
        """Each group holds what one call sends; `when` is when they are scheduled for by an operation of its own."""
        deadline = min(group[0].call.deadline for group in groups)
        try:
            shipments = await self._attempt("send", lambda sender: packed(sender, groups), deadline)
        except Exception as error:  # whatever it is, who sent them must hear of it
            for group in groups:
                _account(group, error)
            return
        for shipment in shipments:
            await self._ship(shipment, when)

    async def _ship(self, shipment: Shipment, when: float | None) -> None:
        parcels, payload = shipment
        deadline = min(parcel.call.deadline for parcel in parcels)
        try:
            if when is None:
                await self._attempt("send", lambda sender: sender.send_messages(payload, timeout=_TO_SEND), deadline)
            else:
                await self._schedule(parcels, when, deadline)
        except Exception as error:
            if len(parcels) > 1 and _is_about_one(error):
                for parcel in parcels:
                    await self._ship(Shipment([parcel], parcel.wire), when)
            else:
                _account(parcels, error)
        else:
            _account(parcels)

    async def _schedule(self, parcels: list[Parcel], when: float, deadline: float) -> None:
        wires = [parcel.wire for parcel in parcels]
        numbers = await self._attempt(
            "schedule", lambda sender: sender.schedule_messages(wires, utc(when), timeout=_TO_SEND), deadline
        )
        for parcel, number in zip(parcels, numbers, strict=True):
            parcel.call.receipt.numbers[parcel.message.message_id] = number

    async def _attempt(self, use: Use, act: Callable[[ServiceBusSender], Awaitable[T]], deadline: float) -> T:
        async def attempt() -> T:
            async with asyncio.timeout(_TO_OPEN_AND_SEND), self._link.exclusive(use) as sender:
                return await act(sender)

        return await self._patience.until(deadline, attempt)


def _by_time(calls: list[Call]) -> dict[float | None, list[list[Parcel]]]:
    found: dict[float | None, list[list[Parcel]]] = {}
    for call in calls:
        of_this: dict[float | None, list[Parcel]] = {}
        for parcel in call.parcels:
            of_this.setdefault(parcel.when, []).append(parcel)
        for when, group in of_this.items():
            found.setdefault(when, []).append(group)
    return found


def _account(parcels: list[Parcel], error: BaseException | None = None) -> None:
    for parcel in parcels:
        parcel.call.account([parcel], error)


def _is_about_one(error: Exception) -> bool:
    """Whether the service may have refused a batch because of one of its messages."""
    return isinstance(error.__cause__, ValueError) or type(error.__cause__) is ServiceBusError
