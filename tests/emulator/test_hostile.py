"""Can a client be so broken, greedy or slow that others feel it? Streams damaged by chance, by seed, and floods."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from boilermaker_fn.emulator import Emulator
from boilermaker_fn.emulator.amqp.composites import encode_performative
from boilermaker_fn.emulator.amqp.frames import AMQP_HEADER, SASL, SASL_HEADER, frame
from boilermaker_fn.emulator.amqp.messages import APPLICATION_PROPERTIES, VALUE, encode_properties, encode_section
from boilermaker_fn.emulator.amqp.performatives import (
    Accepted,
    Attach,
    Begin,
    Close,
    Disposition,
    End,
    Flow,
    Open,
    SaslInit,
    Source,
    Target,
    Transfer,
)
from boilermaker_fn.emulator.amqp.values import Symbol, UInt
from boilermaker_fn.local.queue import Rules
from tests.emulator.peer import connected, message, opened


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator({"work": Rules(), "fuzz": Rules()}) as one:
        yield one


def conversation() -> list[bytes]:
    """The parts of all that a client says, from the first byte to the last."""

    def one(performative: Any, payload: bytes = b"") -> bytes:
        return frame(0, encode_performative(performative) + payload)

    request = (
        encode_properties(message_id="1", reply_to="me")
        + encode_section(APPLICATION_PROPERTIES, {"operation": "com.microsoft:peek-message"})
        + encode_section(VALUE, {"message-count": 10})
    )
    return [
        SASL_HEADER,
        frame(0, encode_performative(SaslInit(Symbol("ANONYMOUS"))), SASL),
        AMQP_HEADER,
        one(Open("me")),
        one(Begin(None, UInt(0), UInt(100), UInt(100))),
        one(Attach("s", UInt(0), False, source=Source("me"), target=Target("fuzz"))),
        one(Attach("r", UInt(1), True, source=Source("fuzz"), target=Target("me"))),
        one(Attach("a", UInt(2), False, source=Source("me"), target=Target("fuzz/$management"))),
        one(Attach("b", UInt(3), True, source=Source("fuzz/$management"), target=Target("me"))),
        one(Flow(UInt(0), UInt(100), UInt(0), UInt(100), UInt(1), UInt(0), UInt(10))),
        one(Flow(UInt(0), UInt(100), UInt(0), UInt(100), UInt(3), UInt(0), UInt(10))),
        one(Transfer(UInt(0), UInt(0), b"t", UInt(0), more=True), message("1", key="value")[:30]),
        one(Transfer(UInt(0)), message("1", key="value")[30:]),
        one(Transfer(UInt(0), UInt(1), b"t", UInt(0)), message("2")),
        one(Transfer(UInt(2), UInt(2), b"t", UInt(0)), request),
        one(Disposition(True, UInt(0), UInt(1), state=Accepted())),
        one(End()),
        one(Close()),
    ]


def damaged(parts: list[bytes], chance: random.Random) -> bytes:
    """The conversation with one thing wrong."""
    parts = list(parts)
    at = chance.randrange(len(parts))
    match chance.randrange(5):
        case 0:
            del parts[at]
        case 1:
            parts.insert(at, parts[chance.randrange(len(parts))])
        case 2:
            parts[at] = parts[at][: chance.randrange(len(parts[at]))]
        case _:
            data = bytearray(parts[at])
            for _ in range(chance.randint(1, 3)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            parts[at] = bytes(data)
    return b"".join(parts)


@pytest.mark.parametrize("seed", range(8))
async def test_a_damaged_stream_harms_only_itself(emulator: Emulator, seed: int) -> None:
    chance, parts = random.Random(seed), conversation()
    async with opened(emulator.port) as witness:
        await witness.sender("work")
        for number in range(60):
            async with connected(emulator.port) as peer:
                stream = damaged(parts, chance)
                for start in range(0, len(stream), 700):
                    peer.write(stream[start : start + 700])
                peer.writer.write_eof()
                while await asyncio.wait_for(peer.reader.read(65536), 5):
                    pass
            assert isinstance(await witness.put(message(str(number))), Accepted)
    assert len(await emulator.broker.peek("work", 100, 0)) == 60


async def test_the_undamaged_stream_is_served(emulator: Emulator) -> None:
    """So that the test above damages what works."""
    async with connected(emulator.port) as peer:
        peer.write(b"".join(conversation()))
        await peer.header()
        await peer.next()
        await peer.next()
        assert await peer.header() == AMQP_HEADER
        assert (await peer.until(Close)).error is None
    await asyncio.sleep(0.05)
    assert [one.message_id for one in await emulator.broker.peek("fuzz", 10, 0)] == ["1", "2"]


async def test_who_sends_faster_than_messages_are_kept_has_to_wait(tmp_path: Path) -> None:
    async with Emulator({"work": Rules()}, path=tmp_path / "queues.db") as emulator, opened(emulator.port) as peer:
        await peer.sender("work")
        await peer.put(message("first"))
        gate = threading.Event()
        holding = emulator._database.write(lambda _: gate.wait())  # a slow disk: nothing else is written meanwhile
        for number in range(600):
            peer.transfer(message(str(number), bytes(50_000)))
        await asyncio.sleep(0.5)
        assert peer.writer.transport.get_write_buffer_size() > 1_000_000
        gate.set()
        await holding
        accepted = 0
        while accepted < 600:
            one = await peer.until(Disposition)
            assert isinstance(one.state, Accepted)
            accepted += one.last - one.first + 1
        assert len(await emulator.broker.peek("work", 1000, 0)) == 601


async def test_answers_are_not_written_to_who_does_not_read_them(emulator: Emulator) -> None:
    async with opened(emulator.port) as peer:
        await peer.sender("work")
        for number in range(3):
            await peer.put(message(str(number), bytes(60_000)))
        await peer.sender("work/$management", 10)
        await peer.receiver("work/$management", 11, credit=2000, locked=False)
        peer.writer.transport.pause_reading()
        request = (
            encode_properties(message_id="1")
            + encode_section(APPLICATION_PROPERTIES, {"operation": "com.microsoft:peek-message"})
            + encode_section(VALUE, {"message-count": 10})
        )
        for _ in range(300):
            peer.transfer(request, 10)
        await asyncio.sleep(0.3)
        async with opened(emulator.port) as other:
            await other.sender("work")
            assert isinstance(await other.put(message("other")), Accepted)
        peer.writer.transport.resume_reading()
        for _ in range(300):
            await peer.get()


async def test_many_connections_come_and_go(emulator: Emulator) -> None:
    async def visit(number: int) -> None:
        async with opened(emulator.port) as peer:
            await peer.receiver("work", credit=1)
            await peer.sender("work")
            if number % 2:
                await peer.put(message(str(number)))

    await asyncio.gather(*(visit(number) for number in range(100)))
    ids = {one.message_id for one in await emulator.broker.peek("work", 100, 0)}
    assert ids == {str(number) for number in range(1, 100, 2)}
