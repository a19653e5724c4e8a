"""What is a link, whatever is behind it? Two kinds of ends: messages come in here, or go out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from uuid import UUID

from .amqp.hot_frames import TRANSFER_OVERHEAD, transfer
from .amqp.performatives import Detach, Disposition, Error, Flow, Transfer
from .amqp.values import Malformed, UInt, Value
from .refusals import MESSAGE_TOO_LARGE, rejected

if TYPE_CHECKING:
    from .session import Session

#: How many messages a client may send before it hears of the first.
CREDIT: Final = 1000

_SERIAL: Final = 0xFFFF_FFFF


class Arrival(NamedTuple):
    """A message that has come in whole."""

    delivery_id: int
    settled: bool
    message_format: int
    payload: bytes


class Intake(Protocol):
    """What is behind a link on which messages come in."""

    def arrived(self, arrival: Arrival) -> None:
        """Deal with a message, and settle it some time."""
        ...


class Outlet(Protocol):
    """What is behind a link on which messages go out."""

    def flowed(self) -> None:
        """The client may have given credit, taken it back, or read so much that more can be written."""
        ...

    def disposed(self, delivery_id: int, token: UUID, state: Value, *, settled: bool) -> None:
        """The client says what becomes of a delivery."""
        ...

    def closed(self) -> None:
        """Nothing can be sent any more."""
        ...


class Link:
    """What both ends share.

    `used_at` is when a frame last came or went, by the loop's clock; `of_queue`, whether a queue, or its management,
    is behind it.
    """

    of_queue = False

    def __init__(self, session: Session, name: str, handle: int) -> None:
        self.session = session
        self.name = name
        self.handle = handle
        self.closed = False
        self.used_at = session.now()

    def detach(self, error: Error | None = None) -> None:
        """End the link from our side; what the client still sends on it is ignored until it detaches too."""
        if not self.closed:
            self.session.send(Detach(UInt(self.handle), closed=True, error=error))
            self.session.ending(self)


class IncomingLink(Link):
    """The client sends. Messages are put together here and their size is limited."""

    def __init__(self, session: Session, name: str, handle: int, max_message_size: int, delivery_count: int) -> None:
        super().__init__(session, name, handle)
        self.intake: Intake | None = None
        self._max = max_message_size
        self._delivery_count = delivery_count
        self._credit = 0
        self._first: Transfer | None = None
        self._parts: list[bytes] = []
        self._size = 0

    def transferred(self, transfer: Transfer, payload: bytes) -> None:
        """Take a frame of a message. Raises Malformed."""
        self.used_at = self.session.now()
        if self._first is None:
            self._first = transfer
        self._size += len(payload)
        if self._size > self._max:
            self._parts.clear()
        elif payload:
            self._parts.append(payload)
        if transfer.more and not transfer.aborted:
            return
        first, size, parts = self._first, self._size, self._parts
        self._forget()
        self._delivery_count = (self._delivery_count + 1) & _SERIAL
        self._credit -= 1
        if transfer.aborted:
            return
        if first.delivery_id is None:
            raise Malformed("the first transfer of a delivery has no delivery-id")
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        settled = bool(first.settled) or bool(transfer.settled)
        arrival = Arrival(first.delivery_id, settled, first.message_format or 0, whole)
        if size > self._max:
            self._refuse(arrival, size)
        elif self.intake is not None:
            self.intake.arrived(arrival)

    def grant(self, waiting: int = 0) -> None:
        """Give credit, when much of it is used up, for all but what is `waiting` to be dealt with."""
        if self._credit <= CREDIT // 2 and not self.closed:
            self._credit = max(CREDIT - waiting, 0)
            self.session.flow(self.handle, self._delivery_count, self._credit)

    def settle(self, arrivals: list[Arrival], outcome: bytes) -> None:
        """Tell the client what became of its messages, with an encoded outcome."""
        self.session.settle(sorted(one.delivery_id for one in arrivals if not one.settled), outcome, receiver=True)

    def flowed(self, flow: Flow) -> None:
        """The sender says how many it has; only an echo is of interest."""
        self.used_at = self.session.now()
        if flow.echo:
            self.session.flow(self.handle, self._delivery_count, max(self._credit, 0))

    def ended(self) -> None:
        """The link is no more. What came whole is dealt with still."""
        self.closed = True
        self._forget()

    def _refuse(self, arrival: Arrival, size: int) -> None:
        """As Service Bus has it: the message is rejected, and then the link detached."""
        error = Error(
            MESSAGE_TOO_LARGE,
            f"The received message (delivery-id:{arrival.delivery_id}, size:{size} bytes) exceeds the limit "
            f"({self._max} bytes) currently allowed on the link.",
        )
        self.settle([arrival], rejected(error))
        self.detach(error)

    def _forget(self) -> None:
        self._first, self._parts, self._size = None, [], 0


class OutgoingLink(Link):
    """The client receives. Messages are cut into frames here and sent as its credit allows."""

    def __init__(self, session: Session, name: str, handle: int, address: Value) -> None:
        super().__init__(session, name, handle)
        self.outlet: Outlet | None = None
        self.address = address
        self.drain = False
        self.credit = 0
        self._delivery_count = 0

    def room(self) -> int:
        """How many messages can be sent now."""
        return min(self.credit, self.session.room())

    def deliver(self, tag: bytes, payload: bytes, token: UUID | None) -> None:
        """Send a message; without a lock token it is settled, and gone."""
        self.used_at = self.session.now()
        self.credit -= 1
        self._delivery_count = (self._delivery_count + 1) & _SERIAL
        session, settled = self.session, token is None
        delivery_id = session.next_delivery(self, token)
        size = session.max_frame_size - TRANSFER_OVERHEAD
        for start in range(0, len(payload), size):
            more = start + size < len(payload)
            part = payload if start == 0 and not more else payload[start : start + size]
            encoded = transfer(session.channel, self.handle, delivery_id, tag, part, settled=settled, more=more)
            session.send_transfer(self.handle, encoded)

    def drained(self) -> None:
        """There is nothing more to send: use up the credit, as the client asked."""
        self._delivery_count = (self._delivery_count + max(self.credit, 0)) & _SERIAL
        self.credit, self.drain = 0, False
        self.session.flow(self.handle, self._delivery_count, 0, drain=True)

    def flowed(self, flow: Flow) -> None:
        """Take the client's credit."""
        self.used_at = self.session.now()
        if flow.link_credit is not None:
            # Credit counts from what the client had seen: what is on its way to it is used already.
            in_flight = (self._delivery_count - (flow.delivery_count or 0)) & _SERIAL
            self.credit = max(flow.link_credit - in_flight, 0)
        self.drain = flow.drain
        if self.outlet is not None:
            self.outlet.flowed()
        if flow.echo:
            self.session.flow(self.handle, self._delivery_count, self.credit)

    def disposed(self, delivery_id: int, token: UUID, disposition: Disposition) -> None:
        """The client settles one delivery."""
        self.used_at = self.session.now()
        if self.outlet is not None:
            self.outlet.disposed(delivery_id, token, disposition.state, settled=disposition.settled)

    def ended(self) -> None:
        """The link is no more. Locks stay until they expire."""
        self.closed = True
        if self.outlet is not None:
            self.outlet.closed()
