"""A client that says what it is told to, and so can misbehave: one connection, frame by frame."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, TypeVar
from uuid import UUID

from boilermaker_fn.emulator.amqp.composites import decode_performative, encode_performative
from boilermaker_fn.emulator.amqp.frames import AMQP_HEADER, SASL, SASL_HEADER, FrameReader, frame
from boilermaker_fn.emulator.amqp.messages import (
    APPLICATION_PROPERTIES,
    PROPERTIES,
    VALUE,
    encode_data,
    encode_properties,
    encode_section,
    map_of,
    sections,
    value_of,
)
from boilermaker_fn.emulator.amqp.performatives import (
    SECOND,
    SETTLED,
    Accepted,
    Attach,
    Begin,
    Disposition,
    Flow,
    Open,
    Performative,
    SaslInit,
    Source,
    Target,
    Transfer,
)
from boilermaker_fn.emulator.amqp.values import Symbol, UByte, UInt

P = TypeVar("P", bound=tuple[Any, ...])

PATIENCE = 5.0
ACCEPTED = Accepted()


def message(message_id: str, body: bytes = b"body", **properties: Any) -> bytes:
    """An encoded message."""
    own = encode_section(APPLICATION_PROPERTIES, properties) if properties else b""
    return encode_properties(message_id=message_id) + own + encode_data(body)


class Peer:
    """The client's side of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._frames = FrameReader(1 << 30)
        self._next = 0

    def write(self, data: bytes) -> None:
        """Send bytes, whatever they are."""
        self.writer.write(data)

    def send(self, performative: Performative, payload: bytes = b"", *, channel: int = 0, type_: int = 0) -> None:
        """Send a frame."""
        self.write(frame(channel, encode_performative(performative) + payload, type_))

    async def next(self) -> tuple[Performative | None, bytes]:
        """The next frame and its payload; None for an empty frame. Raises EOFError when the server hung up."""
        while (found := self._frames.frame()) is None:
            await self._more()
        if not found.body:
            return None, b""
        performative, end = decode_performative(found.body)
        return performative, found.body[end:]

    async def header(self) -> bytes:
        """The next protocol header."""
        while (found := self._frames.header()) is None:
            await self._more()
        return found

    async def until(self, kind: type[P]) -> P:
        """The next frame of a kind; others are passed over."""
        while True:
            performative, _ = await self.next()
            if isinstance(performative, kind):
                return performative

    async def _more(self) -> None:
        try:
            data = await asyncio.wait_for(self.reader.read(65536), PATIENCE)
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError
        self._frames.feed(data)

    async def hung_up(self) -> bool:
        """Whether the server ends the connection, whatever else it says before."""
        try:
            while True:
                await self.next()
        except EOFError:
            return True

    async def open(self, **fields: Any) -> Open:
        """Greet, open the connection and begin a session."""
        self.write(SASL_HEADER)
        assert await self.header() == SASL_HEADER
        await self.next()
        self.send(SaslInit(Symbol("ANONYMOUS")), type_=SASL)
        await self.next()
        self.write(AMQP_HEADER)
        assert await self.header() == AMQP_HEADER
        self.send(Open("peer", **fields))
        opened = await self.until(Open)
        self.send(Begin(None, UInt(0), UInt(5000), UInt(5000)))
        await self.until(Begin)
        return opened

    async def sender(self, queue: str, handle: int = 0) -> Attach:
        """Attach a link to send on."""
        self.send(Attach(f"s{handle}", UInt(handle), False, source=Source("me"), target=Target(queue)))
        return await self.until(Attach)

    async def receiver(self, queue: str, handle: int = 1, *, credit: int = 0, locked: bool = True) -> Attach:
        """Attach a link to receive on, and give it credit."""
        self.send(
            Attach(
                f"r{handle}",
                UInt(handle),
                True,
                UByte(0) if locked else SETTLED,
                SECOND if locked else UByte(0),
                source=Source(queue),
                target=Target("me"),
            )
        )
        attach = await self.until(Attach)
        if credit:
            self.credit(credit, handle)
        return attach

    def credit(
        self, credit: int, handle: int = 1, *, seen: int = 0, frames: int = 0, window: int = 5000, drain: bool = False
    ) -> None:
        """Allow so many messages, after `seen` were seen, in `window` frames after `frames` were seen."""
        self.send(
            Flow(
                UInt(frames),
                UInt(window),
                UInt(self._next),
                UInt(5000),
                UInt(handle),
                UInt(seen),
                UInt(credit),
                drain=drain,
            )
        )

    def transfer(self, payload: bytes, handle: int = 0, *, message_format: int = 0, **fields: Any) -> int:
        """Send a message, in as many frames as it needs; returns its delivery id."""
        delivery_id, self._next = self._next, self._next + 1
        for start in range(0, max(len(payload), 1), 60_000):
            more = start + 60_000 < len(payload)
            one = Transfer(UInt(handle), UInt(delivery_id), b"tag", UInt(message_format), more=more)
            self.send(one._replace(**{"settled": False, **fields}), payload[start : start + 60_000])
        return delivery_id

    async def put(self, payload: bytes, handle: int = 0, **fields: Any) -> Any:
        """Send a message and return the outcome."""
        self.transfer(payload, handle, **fields)
        return (await self.until(Disposition)).state

    async def get(self) -> tuple[Transfer, bytes]:
        """The next message, put together."""
        first, whole = None, b""
        while True:
            performative, payload = await self.next()
            if isinstance(performative, Transfer):
                first = first or performative
                whole += payload
                if not performative.more:
                    return first, whole

    async def settle(self, transfer: Transfer, state: Any = ACCEPTED) -> Any:
        """Settle a delivery and return what the server says to that."""
        assert transfer.delivery_id is not None
        self.send(Disposition(True, transfer.delivery_id, state=state))
        return (await self.until(Disposition)).state

    async def ask(self, operation: str, body: Any, handle: int = 10) -> tuple[dict[str, Any], Any]:
        """Make a request on an attached pair of links (`handle` and the next); returns properties and body."""
        message_id = UUID(int=self._next)
        request = b"".join(
            (
                encode_properties(message_id=message_id, reply_to="me"),
                encode_section(APPLICATION_PROPERTIES, {"operation": operation}),
                encode_section(VALUE, body),
            )
        )
        self.transfer(request, handle)
        _, answer = await self.get()
        found = {section.code: section for section in sections(answer)}
        assert value_of(answer, found[PROPERTIES])[5] == message_id
        return map_of(answer, found[APPLICATION_PROPERTIES]), value_of(answer, found[VALUE])


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Peer]:
    """A connection on which nothing was said yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def opened(port: int, **fields: Any) -> AsyncIterator[Peer]:
    """A connection with a session on channel 0."""
    async with connected(port) as peer:
        await peer.open(**fields)
        yield peer
