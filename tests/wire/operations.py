"""What does the work of a client cost on Service Bus? Its operations, read from what passes over the wire.

Counted is what Service Bus counts: each message that is sent (alone or in a batch), each that is handed over, each that
is settled, and each request to a queue's management node. `sends` has the transfers, each of which is one round trip
whatever the number of messages in it; what authentication takes (`$cbs`) is not an operation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from boilermaker_fn.emulator.amqp.composites import decode_performative
from boilermaker_fn.emulator.amqp.frames import AMQP, HEADER_SIZE
from boilermaker_fn.emulator.amqp.messages import APPLICATION_PROPERTIES, DATA, map_of, sections
from boilermaker_fn.emulator.amqp.performatives import (
    RECEIVER,
    Attach,
    Disposition,
    Performative,
    Transfer,
)

_BATCH: Final = 0x80013700
_CBS: Final = "$cbs"
_MANAGEMENT: Final = "$management"

_Link: TypeAlias = tuple[int, int]


@dataclass
class Operations:
    """What was counted so far."""

    sends: int = 0
    sent: int = 0
    received: int = 0
    settled: int = 0
    managed: Counter[str] = field(default_factory=Counter)
    # No operations, but they take time: frames that settle, and links by address.
    dispositions: int = field(default=0, compare=False)
    attached: Counter[str] = field(default_factory=Counter, compare=False)

    @property
    def total(self) -> int:
        """All operations."""
        return self.sent + self.received + self.settled + self.managed.total()


class CountedLine:
    """A line whose frames are read and passed on unchanged."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._said = _Side()
        self._heard = _Side()
        self._addresses: dict[str, str] = {}  # of links, by name
        self._unsettled: set[tuple[int, int]] = set()

    def sent(self, data: bytes) -> bytes:
        for channel, performative, payload in self._said.read(data):
            if isinstance(performative, Attach):
                self._attached(self._said, channel, performative)
            elif isinstance(performative, Transfer) and not performative.more:
                self._transferred(self._said.address(channel, performative), performative, payload)
            elif isinstance(performative, Disposition) and performative.role is RECEIVER:
                self._settled(channel, performative)
        return data

    def received(self, data: bytes) -> bytes:
        for channel, performative, _ in self._heard.read(data):
            if isinstance(performative, Attach):
                self._attached(self._heard, channel, performative)
            elif isinstance(performative, Transfer) and performative.delivery_id is not None:
                self._delivered(channel, performative)
        return data

    def _attached(self, side: _Side, channel: int, attach: Attach) -> None:
        end = attach.source if attach.role is RECEIVER else attach.target
        if side is self._said and end is not None:
            self._addresses[attach.name] = str(end.address)
            self._operations.attached[str(end.address).partition("://")[2].partition("/")[2]] += 1
        side.links[channel, attach.handle] = self._addresses[attach.name]

    def _transferred(self, address: str, transfer: Transfer, payload: bytes) -> None:
        operations = self._operations
        if address.endswith(_MANAGEMENT):
            operations.managed[_operation(payload)] += 1
        elif not address.endswith(_CBS):
            operations.sends += 1
            operations.sent += _messages_in(payload) if transfer.message_format == _BATCH else 1

    def _delivered(self, channel: int, transfer: Transfer) -> None:
        if not self._heard.address(channel, transfer).endswith((_MANAGEMENT, _CBS)):
            self._unsettled.add((channel, transfer.delivery_id))
            self._operations.received += 1

    def _settled(self, channel: int, disposition: Disposition) -> None:
        before = self._operations.settled
        last = disposition.first if disposition.last is None else disposition.last
        for delivery_id in range(disposition.first, last + 1):
            if (channel, delivery_id) in self._unsettled:
                self._unsettled.remove((channel, delivery_id))
                self._operations.settled += 1
        self._operations.dispositions += self._operations.settled > before


class _Side:
    """What one of the two says: its frames, its links, and transfers of which more is to come."""

    def __init__(self) -> None:
        self._kept = b""
        self._parts: dict[_Link, bytes] = {}
        self.links: dict[_Link, str] = {}

    def read(self, data: bytes) -> Iterator[tuple[int, Performative, bytes]]:
        """The performatives of AMQP in `data`, each with its channel and its whole payload so far."""
        self._kept += data
        while (frame := self._frame()) is not None:
            if len(frame) > HEADER_SIZE and frame[5] == AMQP:
                channel, body = int.from_bytes(frame[6:8]), frame[4 * frame[4] :]
                performative, end = decode_performative(body)
                payload = body[end:]
                if isinstance(performative, Transfer):
                    payload = self._whole((channel, performative.handle), performative.more, payload)
                yield channel, performative, payload

    def address(self, channel: int, transfer: Transfer) -> str:
        return self.links[channel, transfer.handle]

    def _frame(self) -> bytes | None:
        """The next frame, empty ones and protocol headers too, when all of it is there."""
        if len(self._kept) < HEADER_SIZE:
            return None
        size = HEADER_SIZE if self._kept.startswith(b"AMQP") else int.from_bytes(self._kept[:4])
        if len(self._kept) < size:
            return None
        frame, self._kept = self._kept[:size], self._kept[size:]
        return frame

    def _whole(self, link: _Link, more: bool, payload: bytes) -> bytes:
        whole = self._parts.pop(link, b"") + payload
        if more:
            self._parts[link] = whole
        return whole


def _messages_in(batch: bytes) -> int:
    return sum(section.code == DATA for section in sections(batch))


def _operation(request: bytes) -> str:
    (properties,) = (section for section in sections(request) if section.code == APPLICATION_PROPERTIES)
    named = {str(name): value for name, value in map_of(request, properties).items()}
    return str(named["operation"])
