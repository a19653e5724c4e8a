"""What happens on one channel? Links come and go, and neither side is sent more than it takes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

from ..errors import BoilermakerError
from .amqp.composites import encode_performative
from .amqp.frames import frame
from .amqp.hot_frames import settlement
from .amqp.performatives import (
    SENDER,
    Accepted,
    Attach,
    Begin,
    Detach,
    Disposition,
    Flow,
    Modified,
    Performative,
    Rejected,
    Released,
    Transfer,
)
from .amqp.values import UInt, UShort
from .attaching import attached, refusal
from .links import IncomingLink, Link, OutgoingLink
from .refusals import HANDLE_IN_USE, NOT_ALLOWED, UNATTACHED_HANDLE, Refused, error_of

if TYPE_CHECKING:
    from .connection import Connection

#: The highest handle of a link.
HANDLE_MAX: Final = 255

# Frames that a client may send ahead, and after how many it is told that it may send more.
_WINDOW: Final = 5000
_WINDOW_USED: Final = 1000

# Deliveries that are written before others have their turn.
_ROUND: Final = 32

_SERIAL: Final = 0xFFFF_FFFF

_End: TypeAlias = IncomingLink | OutgoingLink


class Session:
    """One session of a connection; `channel` is its number on both sides."""

    def __init__(self, connection: Connection, channel: int, begin: Begin) -> None:
        self.connection = connection
        self.channel = channel
        self._loop = asyncio.get_running_loop()
        self.max_frame_size = connection.max_frame_size
        self._links: dict[int, _End] = {}
        self._ending: set[int] = set()
        self._unsettled: dict[int, tuple[OutgoingLink, UUID]] = {}
        self._next_delivery = 0
        self._next_outgoing = 0
        self._next_incoming = int(begin.next_outgoing_id)
        self._incoming_since_flow = 0
        self._remote_window = int(begin.incoming_window)
        self._blocked: deque[tuple[int, bytes]] = deque()
        self._ended = False
        self.send(
            Begin(UShort(channel), UInt(0), UInt(_WINDOW), UInt(_WINDOW), handle_max=UInt(HANDLE_MAX)),
        )

    @property
    def links(self) -> Iterable[_End]:
        """The links that are attached."""
        return self._links.values()

    def touch(self, name: object) -> None:
        """A link of this name was used, by way of another one."""
        for link in self._links.values():
            if link.name == name:
                link.used_at = self.now()

    @property
    def used(self) -> bool:
        """Whether a link of a queue is attached."""
        return any(link.of_queue for link in self._links.values())

    def now(self) -> float:
        """Seconds by the loop's clock."""
        return self._loop.time()

    def take(self, performative: Performative, payload: bytes) -> None:
        """A frame came. Raises Malformed and Refused, which end the connection."""
        match performative:
            case Transfer():
                self._transferred(performative, payload)
            case Disposition():
                self._disposed(performative)
            case Flow():
                self._flowed(performative)
            case Attach():
                self._attached(performative)
            case Detach():
                self._detached(performative)
            case _:
                raise Refused(NOT_ALLOWED, f"{type(performative).__name__} has no place in a session")

    def end(self) -> None:
        """The session is over, or its connection."""
        self._ended = True
        links, self._links = list(self._links.values()), {}
        self._unsettled.clear()
        self._blocked.clear()
        for link in links:
            link.ended()

    def ending(self, link: Link) -> None:
        """We detached a link; the client has not yet."""
        self._ending.add(link.handle)
        self._remove(link.handle)

    def writable(self) -> None:
        """The client reads again."""
        for link in list(self._links.values()):
            if isinstance(link, OutgoingLink) and link.outlet is not None:
                link.outlet.flowed()

    def send(self, performative: Performative) -> None:
        """Send a frame."""
        self._write(frame(self.channel, encode_performative(performative)))

    def flow(self, handle: int | None, delivery_count: int, credit: int, *, drain: bool = False) -> None:
        """Say what the client may send on the session, and the state of a link's credit."""
        self._incoming_since_flow = 0
        on_link = handle is not None
        self.send(
            Flow(
                UInt(self._next_incoming),
                UInt(_WINDOW),
                UInt(self._next_outgoing),
                UInt(_WINDOW),
                UInt(handle) if handle is not None else None,
                UInt(delivery_count) if on_link else None,
                UInt(credit) if on_link else None,
                UInt(0) if on_link else None,
                drain=drain,
            )
        )

    def settle(self, delivery_ids: list[int], outcome: bytes, *, receiver: bool) -> None:
        """Settle deliveries, given in order, with an encoded outcome: those we sent or, as `receiver`, got."""
        for first, last in _ranges(delivery_ids):
            self._write(settlement(self.channel, receiver, first, last, outcome))

    def room(self) -> int:
        """How many messages can be sent now, as far as the session and the connection go."""
        return 0 if self._blocked or self.connection.output.clogged else min(self._remote_window, _ROUND)

    def next_delivery(self, link: OutgoingLink, token: UUID | None) -> int:
        """A number for a delivery; with a lock token, the client is to settle it."""
        delivery_id = self._next_delivery
        self._next_delivery = (delivery_id + 1) & _SERIAL
        if token is not None:
            self._unsettled[delivery_id] = link, token
        return delivery_id

    def send_transfer(self, handle: int, encoded: bytes) -> None:
        """Send a frame of a transfer, when the client's window allows it."""
        if self._remote_window > 0 and not self._blocked:
            self._write_transfer(encoded)
        else:
            self._blocked.append((handle, encoded))

    def _write_transfer(self, encoded: bytes) -> None:
        self._remote_window -= 1
        self._next_outgoing = (self._next_outgoing + 1) & _SERIAL
        self._write(encoded)

    def _write(self, encoded: bytes) -> None:
        if not self._ended:
            self.connection.output.send(encoded)

    def _transferred(self, transfer: Transfer, payload: bytes) -> None:
        self._next_incoming = (self._next_incoming + 1) & _SERIAL
        self._incoming_since_flow += 1
        link = self._link(transfer.handle)
        if isinstance(link, OutgoingLink):
            raise Refused(NOT_ALLOWED, f"a transfer came on handle {transfer.handle}, on which the client receives")
        if link is not None:
            link.transferred(transfer, payload)
        if self._incoming_since_flow >= _WINDOW_USED:
            self.flow(None, 0, 0)

    def _disposed(self, disposition: Disposition) -> None:
        if disposition.role == SENDER:  # we settled already
            return
        first, last = disposition.first, disposition.first if disposition.last is None else disposition.last
        # What a client claims may be a range of thousands of millions: of the two, walk the shorter.
        if last - first < len(self._unsettled):
            named = [one for one in range(first, last + 1) if one in self._unsettled]
        else:
            named = [one for one in self._unsettled if first <= one <= last]
        for delivery_id in named:
            if disposition.settled or type(disposition.state) in _OUTCOMES:
                link, token = self._unsettled.pop(delivery_id)
                link.disposed(delivery_id, token, disposition)

    def _flowed(self, flow: Flow) -> None:
        was_shut = self._remote_window <= 0
        in_flight = (self._next_outgoing - (flow.next_incoming_id or 0)) & _SERIAL
        self._remote_window = max(flow.incoming_window - in_flight, 0)
        while self._blocked and self._remote_window > 0:
            self._write_transfer(self._blocked.popleft()[1])
        if flow.handle is not None:
            link = self._link(flow.handle)
            if link is not None:
                link.flowed(flow)
        elif flow.echo:
            self.flow(None, 0, 0)
        if was_shut or flow.handle is None:  # the window is that of all links, whichever the frame names
            self.writable()

    def _attached(self, attach: Attach) -> None:
        handle = int(attach.handle)
        if handle > HANDLE_MAX:
            raise Refused(NOT_ALLOWED, f"handle {handle} is too high, {HANDLE_MAX} is the limit")
        if handle in self._links:
            raise Refused(HANDLE_IN_USE, f"a link is attached with handle {handle} already")
        self._ending.discard(handle)
        try:
            link = attached(self, attach)
        except BoilermakerError as error:
            self.send(refusal(attach))
            self.send(Detach(attach.handle, closed=True, error=error_of(error)))
            self._ending.add(handle)
        else:
            self._links[handle] = link

    def _detached(self, detach: Detach) -> None:
        handle = int(detach.handle)
        if handle in self._ending:
            self._ending.discard(handle)
            return
        if self._link(handle) is not None:
            self._remove(handle)
            self.send(Detach(detach.handle, closed=detach.closed))

    def _remove(self, handle: int) -> None:
        link = self._links.pop(handle, None)
        if link is not None:
            if isinstance(link, OutgoingLink):
                self._unsettled = {key: value for key, value in self._unsettled.items() if value[0] is not link}
                self._blocked = deque(one for one in self._blocked if one[0] != handle)
            link.ended()

    def _link(self, handle: int) -> _End | None:
        """The link; None while it ends. Raises Refused."""
        link = self._links.get(handle)
        if link is None and handle not in self._ending:
            raise Refused(UNATTACHED_HANDLE, f"no link is attached with handle {handle}")
        return link


def _ranges(numbers: list[int]) -> Iterable[tuple[int, int]]:
    """The first and last of each run of numbers that follow each other."""
    if len(numbers) == 1:
        return [(numbers[0], numbers[0])]
    runs = []
    for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        members = list(run)
        runs.append((members[0][1], members[-1][1]))
    return runs


# What else a client may say of a delivery is how far it has come, which changes nothing.
_OUTCOMES: Final = (Accepted, Rejected, Released, Modified)
