"""Which messages share a batch? As many as the link takes at once; those of one call are kept together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from azure.servicebus import ServiceBusMessageBatch
from azure.servicebus.aio import ServiceBusSender
from azure.servicebus.amqp import AmqpAnnotatedMessage
from azure.servicebus.exceptions import MessageSizeExceededError

from .calls import UNENCODABLE, Parcel

#: Kept free in a batch, in bytes: the SDK does not count what it copies from the first message to the whole.
_ENVELOPE: Final = 1024


class Shipment(NamedTuple):
    """What goes out in one operation."""

    parcels: list[Parcel]
    payload: AmqpAnnotatedMessage | ServiceBusMessageBatch


async def packed(sender: ServiceBusSender, groups: Sequence[Sequence[Parcel]]) -> list[Shipment]:
    """All groups in as few shipments as their order allows; a group is not split unless it must be.

    `sender` is open. What cannot be encoded is accounted for as failed.
    """
    whole = await sender.create_message_batch()
    room = whole.max_size_in_bytes - _ENVELOPE
    packer = _Packer(sender, room, await sender.create_message_batch(room))
    for group in groups:
        if len(group) > 1 and packer.filling and not await packer.fits(group):
            await packer.begin()
        for parcel in group:
            await packer.add(parcel)
    await packer.begin()
    return packer.shipments


class _Packer:
    """Fills one batch of at most `room` bytes after the other."""

    def __init__(self, sender: ServiceBusSender, room: int, empty: ServiceBusMessageBatch) -> None:
        self.shipments: list[Shipment] = []
        self._sender = sender
        self._room = room
        self._empty = empty.size_in_bytes
        self._batch = empty
        self._parcels: list[Parcel] = []

    @property
    def filling(self) -> bool:
        """Whether there is something in the batch."""
        return bool(self._parcels)

    async def begin(self) -> None:
        """Finish the batch, and begin another."""
        self._finish()
        self._batch, self._parcels = await self._sender.create_message_batch(self._room), []

    async def fits(self, group: Sequence[Parcel]) -> bool:
        """Whether a whole group fits into what is left of the batch; only the SDK can tell sizes."""
        trial = await self._sender.create_message_batch(self._room - self._batch.size_in_bytes + self._empty)
        try:
            for parcel in group:
                trial.add_message(parcel.wire)
        except UNENCODABLE:
            return False
        return True

    async def add(self, parcel: Parcel) -> None:
        """Put it into the batch, or into the next one, or nowhere: then it goes alone, or fails."""
        try:
            if _put(self._batch, parcel):
                self._parcels.append(parcel)
                return
            fresh = await self._sender.create_message_batch(self._room)
            if _put(fresh, parcel):
                self._finish()
                self._batch, self._parcels = fresh, [parcel]
            else:
                self.shipments.append(await self._alone(parcel))
        except UNENCODABLE as error:
            parcel.call.account([parcel], error)

    def _finish(self) -> None:
        if self._parcels:
            # One message is smaller without a batch around it.
            payload = self._batch if len(self._parcels) > 1 else self._parcels[0].wire
            self.shipments.append(Shipment(self._parcels, payload))

    async def _alone(self, parcel: Parcel) -> Shipment:
        whole = await self._sender.create_message_batch()
        if not _put(whole, parcel):
            # Found out here: the service would detach the link, and the SDK would not say why.
            raise ValueError(
                f"it is larger than {whole.max_size_in_bytes} bytes on the wire: send a reference instead of the data"
            )
        return Shipment([parcel], parcel.wire)


def _put(batch: ServiceBusMessageBatch, parcel: Parcel) -> bool:
    try:
        batch.add_message(parcel.wire)
    except MessageSizeExceededError:
        return False
    return True
