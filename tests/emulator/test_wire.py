"""Does the emulator keep to the protocol, and does a client that does not harm anybody but itself?"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from boilermaker_fn.emulator import Emulator, Faults, connection
from boilermaker_fn.emulator.amqp.frames import AMQP_HEADER, SASL, SASL_HEADER, frame
from boilermaker_fn.emulator.amqp.messages import (
    APPLICATION_PROPERTIES,
    DATA,
    MESSAGE_ANNOTATIONS,
    VALUE,
    encode_properties,
    encode_section,
    sections,
    value_of,
)
from boilermaker_fn.emulator.amqp.performatives import (
    Accepted,
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Modified,
    Open,
    Rejected,
    Released,
    SaslInit,
    Source,
    Target,
    Transfer,
)
from boilermaker_fn.emulator.amqp.values import Described, Symbol, Timestamp, UByte, UInt, ULong
from boilermaker_fn.local.queue import Rules
from tests.emulator.peer import Peer, connected, message, opened


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator({"work": Rules(), "Other": Rules()}) as one:
        yield one


@pytest.fixture
async def peer(emulator: Emulator) -> AsyncIterator[Peer]:
    async with opened(emulator.port) as one:
        yield one


async def works(emulator: Emulator) -> bool:
    """Whether another client is served."""
    async with opened(emulator.port) as other:
        await other.sender("other")
        return isinstance(await other.put(message("proof")), Accepted)


def scheduled(milliseconds: int) -> bytes:
    annotations = {Symbol("x-opt-scheduled-enqueue-time"): Timestamp(milliseconds)}
    return encode_section(MESSAGE_ANNOTATIONS, annotations) + message("later")


def body_of(payload: bytes) -> Any:
    (data,) = [section for section in sections(payload) if section.code == DATA]
    return value_of(payload, data)


# Greeting


async def test_it_offers_what_sdks_ask_for(emulator: Emulator) -> None:
    async with connected(emulator.port) as peer:
        peer.write(SASL_HEADER)
        assert await peer.header() == SASL_HEADER
        mechanisms, _ = await peer.next()
        assert {"ANONYMOUS", "MSSBCBS", "PLAIN"} <= set(mechanisms.sasl_server_mechanisms.values)
        peer.send(SaslInit(Symbol("PLAIN"), b"\0user\0password"), type_=SASL)
        outcome, _ = await peer.next()
        assert outcome.code == 0


async def test_a_client_without_sasl_is_served(emulator: Emulator) -> None:
    async with connected(emulator.port) as peer:
        peer.write(AMQP_HEADER)
        peer.send(Open("peer"))
        assert await peer.header() == AMQP_HEADER
        assert (await peer.until(Open)).max_frame_size == connection.MAX_FRAME_SIZE


@pytest.mark.parametrize(
    "greeting", [b"GET / HTTP/1.1\r\n\r\n", b"AMQP\x02\x01\x00\x00", b"\x16\x03\x01\x02\x00\x01\x00\x01"]
)
async def test_other_protocols_are_told_what_would_be_right(emulator: Emulator, greeting: bytes) -> None:
    async with connected(emulator.port) as peer:
        peer.write(greeting)
        assert await peer.header() == SASL_HEADER
        assert await peer.hung_up()
    assert await works(emulator)


async def test_who_never_opens_is_sent_away(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HANDSHAKE", 0.05)
    async with connected(emulator.port) as peer:
        peer.write(SASL_HEADER[:3])
        assert await peer.hung_up()


async def test_a_silent_client_is_given_up(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_TIME_OUT", 0.05)
    async with opened(emulator.port) as peer:
        assert (await peer.until(Close)).error.condition == "amqp:connection:forced"
        assert await peer.hung_up()


async def test_it_says_when_it_gives_up_and_shows_that_it_lives(emulator: Emulator) -> None:
    async with connected(emulator.port) as peer:
        assert (await peer.open(idle_time_out=UInt(200))).idle_time_out == connection.IDLE_TIME_OUT * 1000
        assert await peer.next() == (None, b"")
        assert await peer.next() == (None, b"")


# What is not AMQP


GARBAGE = [
    pytest.param(b"\xff" * 64, id="garbage"),
    pytest.param(struct.pack(">IBBH", 1 << 30, 2, 0, 0), id="huge frame"),
    pytest.param(struct.pack(">IBBH", 3, 2, 0, 0), id="frame smaller than its head"),
    pytest.param(frame(0, b"\x00\x53\x14\xc0\xff\xff"), id="list beyond the frame"),
    pytest.param(frame(0, b"\x00\x53\x99\x45"), id="unknown performative"),
    pytest.param(frame(0, b"\x00\x53\x14\x45"), id="transfer without a handle"),
    pytest.param(frame(0, b"\x00\x53\x14\x45", SASL), id="SASL after SASL"),
]


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_ends_its_connection_with_a_reason(emulator: Emulator, peer: Peer, garbage: bytes) -> None:
    peer.write(garbage)
    assert (await peer.until(Close)).error.condition == "amqp:connection:framing-error"
    assert await peer.hung_up()
    assert await works(emulator)


@pytest.mark.parametrize(
    "garbage", [SASL_HEADER * 2, SASL_HEADER + frame(0, b"\x45", SASL), AMQP_HEADER + frame(0, b"@")]
)
async def test_garbage_before_the_opening_ends_its_connection(emulator: Emulator, garbage: bytes) -> None:
    async with connected(emulator.port) as peer:
        peer.write(garbage)
        assert await peer.header()
        peer.writer.write_eof()
        while await peer.reader.read(1000):
            pass
    assert await works(emulator)


@pytest.mark.parametrize(
    ("wrong", "condition"),
    [
        (Transfer(UInt(9), UInt(0), b"t"), "amqp:session:unattached-handle"),
        (Flow(UInt(0), UInt(1), UInt(0), UInt(1), UInt(9)), "amqp:session:unattached-handle"),
        (Detach(UInt(9)), "amqp:session:unattached-handle"),
        (Attach("s", UInt(0), False, target=Target("work")), "amqp:session:handle-in-use"),
        (Attach("s", UInt(256), False, target=Target("work")), "amqp:not-allowed"),
        (Begin(None, UInt(0), UInt(1), UInt(1)), "amqp:not-allowed"),
        (Open("again"), "amqp:not-allowed"),
        (Transfer(UInt(1), UInt(0), b"t"), "amqp:not-allowed"),
        (Transfer(UInt(0)), "amqp:connection:framing-error"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_frames_out_of_place_end_their_connection(
    emulator: Emulator, peer: Peer, wrong: Any, condition: str
) -> None:
    await peer.sender("work")
    await peer.receiver("work")
    peer.send(wrong, message("1") if isinstance(wrong, Transfer) else b"")
    assert (await peer.until(Close)).error.condition == condition
    assert await works(emulator)


async def test_what_says_nothing_to_sasl_ends_the_connection(emulator: Emulator) -> None:
    async with connected(emulator.port) as peer:
        peer.write(SASL_HEADER)
        await peer.header()
        peer.send(Open("peer"), type_=SASL)
        assert await peer.hung_up()


async def test_nothing_is_said_before_the_opening(emulator: Emulator) -> None:
    async with connected(emulator.port) as peer:
        peer.write(AMQP_HEADER)
        await peer.header()
        peer.send(Begin(None, UInt(0), UInt(1), UInt(1)))
        assert await peer.hung_up()


async def test_dispositions_of_what_was_sent_here_are_passed_over(peer: Peer) -> None:
    await peer.sender("work")
    delivery_id = peer.transfer(message("1"))
    await peer.until(Disposition)
    peer.send(Disposition(False, UInt(delivery_id), settled=True, state=Accepted()))
    assert isinstance(await peer.put(message("2")), Accepted)


async def test_what_comes_for_an_ended_session_is_passed_over(peer: Peer) -> None:
    await peer.sender("work")
    peer.send(End())
    peer.send(Detach(UInt(0), True))
    assert await peer.until(End)
    peer.send(Close())
    assert (await peer.until(Close)).error is None


async def test_a_client_whose_frames_are_too_small_is_refused(emulator: Emulator) -> None:
    async with connected(emulator.port) as peer:
        peer.write(AMQP_HEADER)
        await peer.header()
        peer.send(Open("peer", max_frame_size=UInt(100)))
        assert (await peer.until(Close)).error.condition == "amqp:invalid-field"


# Links


@pytest.mark.parametrize(
    ("address", "condition"),
    [
        ("nowhere", "amqp:not-found"),
        ("nowhere/$deadletterqueue", "amqp:not-found"),
        ("nowhere/$management", "amqp:not-found"),
        ("", "amqp:not-found"),
        (None, "amqp:not-found"),
        (7, "amqp:not-found"),
        ("topic/Subscriptions/sub", "amqp:not-implemented"),
        ("work/$Transfer/$DeadLetterQueue", "amqp:not-implemented"),
    ],
)
async def test_links_to_what_is_not_there_are_refused(peer: Peer, address: Any, condition: str) -> None:
    peer.send(Attach("l", UInt(4), True, source=Source(address), target=Target("me")))
    attach = await peer.until(Attach)
    assert (attach.source, attach.target) == (None, None)
    detach = await peer.until(Detach)
    assert (detach.handle, detach.closed, detach.error.condition) == (4, True, condition)
    peer.send(Detach(UInt(4), True))
    assert (await peer.receiver("work", 4)).source is not None


@pytest.mark.parametrize(
    ("target", "condition"),
    [
        (Target("work/$deadletterqueue"), "amqp:not-allowed"),
        (Target("nowhere"), "amqp:not-found"),
        (None, "amqp:not-found"),
        (Described(ULong(0x30), []), "amqp:not-implemented"),
    ],
)
async def test_links_to_send_on_are_refused(peer: Peer, target: Any, condition: str) -> None:
    peer.send(Attach("l", UInt(4), False, source=Source("me"), target=target))
    assert (await peer.until(Attach)).target is None
    assert (await peer.until(Detach)).error.condition == condition


async def test_sessions_are_refused_by_name(peer: Peer) -> None:
    peer.send(
        Attach(
            "l",
            UInt(4),
            True,
            source=Source("work", filter={Symbol("com.microsoft:session-filter"): "a"}),
            target=Target("me"),
        )
    )
    assert (await peer.until(Attach)).source is None
    error = (await peer.until(Detach)).error
    assert error.condition == "amqp:not-implemented"
    assert "sessions" in error.description


async def test_names_of_queues_are_paths_or_whole_addresses_in_any_case(peer: Peer) -> None:
    for handle, address in enumerate(
        ("amqps://host.example/WORK", "amqp://127.0.0.1:5672/other", "/Work/$DeadLetterQueue")
    ):
        assert (await peer.receiver(address, handle)).source.address == address


async def test_an_attach_is_answered_in_full(peer: Peer) -> None:
    sending = await peer.sender("work")
    assert (await peer.until(Flow)).link_credit == 1000
    receiving = await peer.receiver("work", locked=False)
    assert (sending.role, receiving.role) == (True, False)
    assert sending.max_message_size == 262_144
    assert receiving.initial_delivery_count == 0
    assert (receiving.snd_settle_mode, receiving.rcv_settle_mode) == (1, 0)


async def test_a_detached_link_is_gone(peer: Peer) -> None:
    await peer.receiver("work", credit=10)
    peer.send(Detach(UInt(1), True))
    assert await peer.until(Detach) == Detach(UInt(1), True)
    await peer.sender("work")
    await peer.put(message("1"))
    await peer.receiver("work", 2, credit=1)
    assert (await peer.get())[0].handle == 2


# Sending


async def test_a_message_comes_as_it_was_sent(peer: Peer) -> None:
    await peer.sender("work")
    sent = message("1", b"hello", text="a", number=2, truth=True, size=ULong(3))
    assert isinstance(await peer.put(sent), Accepted)
    await peer.receiver("work", credit=1)
    transfer, payload = await peer.get()
    assert payload.endswith(sent)
    assert transfer.settled is False
    assert len(transfer.delivery_tag) == 16


async def test_a_message_in_many_frames_is_put_together(emulator: Emulator) -> None:
    body = bytes(range(256)) * 900
    async with opened(emulator.port, max_frame_size=UInt(512)) as peer:
        await peer.sender("work")
        payload = message("1", body)
        for start in range(0, len(payload), 1000):
            more = start + 1000 < len(payload)
            head = (UInt(0), b"t", UInt(0)) if start == 0 else (None, None, None)
            peer.send(Transfer(UInt(0), *head, settled=False, more=more), payload[start : start + 1000])
        assert isinstance((await peer.until(Disposition)).state, Accepted)
        await peer.receiver("work", credit=1)
        transfer, received = await peer.get()
        assert transfer.more
        assert body_of(received) == body


async def test_a_message_that_is_too_large_costs_the_link(emulator: Emulator, peer: Peer) -> None:
    await peer.sender("work")
    part = bytes(60_000)
    for number in range(6):
        peer.send(Transfer(UInt(0), UInt(0), b"t", UInt(0), more=number < 5), part)
    error = (await peer.until(Disposition)).state.error
    assert error.condition == "amqp:link:message-size-exceeded"
    assert "360000" in error.description
    assert (await peer.until(Detach)).error == error
    peer.send(Detach(UInt(0), True))
    await peer.sender("work")
    assert isinstance(await peer.put(message("1")), Accepted)
    assert len(await emulator.broker.peek("work", 10, 0)) == 1


async def test_an_aborted_message_is_none(emulator: Emulator, peer: Peer) -> None:
    await peer.sender("work")
    peer.send(Transfer(UInt(0), UInt(0), b"t", UInt(0), more=True), message("1")[:20])
    peer.send(Transfer(UInt(0), UInt(0), b"t", UInt(0), aborted=True))
    assert isinstance(await peer.put(message("2")), Accepted)
    assert [one.message_id for one in await emulator.broker.peek("work", 10, 0)] == ["2"]


async def test_a_client_that_vanishes_in_the_middle_of_a_message_leaves_nothing(emulator: Emulator) -> None:
    async with opened(emulator.port) as peer:
        await peer.sender("work")
        peer.send(Transfer(UInt(0), UInt(0), b"t", UInt(0), more=True), message("1")[:20])
        await peer.writer.drain()
    assert await works(emulator)
    assert await emulator.broker.peek("work", 10, 0) == []


async def test_messages_that_make_no_sense_are_rejected_one_by_one(emulator: Emulator, peer: Peer) -> None:
    await peer.sender("work")
    bad = {
        b"": "amqp:decode-error",
        b"\x45": "amqp:decode-error",
        b"\x00\x53\x75\xa0\xff": "amqp:decode-error",
        message("x") + message("y"): "amqp:decode-error",
        message("m" * 129): "com.microsoft:argument-error",
        message("m", large="x" * 70_000): "com.microsoft:argument-error",
        scheduled(253_402_300_800_000): "com.microsoft:argument-error",  # the first moment after the year 9999
        scheduled(2**63 - 1): "com.microsoft:argument-error",
    }
    for payload, condition in bad.items():
        outcome = await peer.put(payload)
        assert isinstance(outcome, Rejected)
        assert outcome.error.condition == condition
    assert isinstance(await peer.put(message("m" * 128)), Accepted)
    assert len(await emulator.broker.peek("work", 10, 0)) == 1


async def test_a_burst_is_settled_message_by_message(emulator: Emulator, peer: Peer) -> None:
    await peer.sender("work")
    for number in range(2000):
        peer.transfer(message(str(number)) if number % 100 else b"\x45")
    settled: dict[int, type] = {}
    while len(settled) < 2000:
        one = await peer.until(Disposition)
        assert one.settled
        for delivery_id in range(one.first, one.last + 1):
            settled[delivery_id] = type(one.state)
    assert [number for number, kind in settled.items() if kind is Rejected] == list(range(0, 2000, 100))
    assert {kind for number, kind in settled.items() if number % 100} == {Accepted}


async def test_settled_sends_are_kept_and_not_answered(emulator: Emulator, peer: Peer) -> None:
    await peer.sender("work")
    peer.transfer(message("1"), settled=True)
    assert isinstance(await peer.put(message("2")), Accepted)
    assert [one.message_id for one in await emulator.broker.peek("work", 10, 0)] == ["1", "2"]


async def test_a_sender_is_given_more_credit(peer: Peer) -> None:
    await peer.sender("work")
    await peer.until(Flow)
    for number in range(600):
        peer.transfer(message(str(number)))
    flow = await peer.until(Flow)
    assert flow.delivery_count + flow.link_credit > 1000


# Receiving


async def fill(emulator: Emulator, count: int, body: bytes = b"body") -> None:
    async with opened(emulator.port) as peer:
        await peer.sender("work")
        for _ in range(count):
            await peer.put(message(uuid4().hex, body))


async def test_no_more_comes_than_there_is_credit_for(emulator: Emulator, peer: Peer) -> None:
    await fill(emulator, 5)
    await peer.receiver("work", credit=2)
    first, second = await peer.get(), await peer.get()
    peer.credit(1, seen=1, frames=2)  # the second was on its way when this was said: nothing is left
    peer.credit(1, seen=2, frames=2)
    third = await peer.get()
    assert [body for one in (first, second, third) if (body := one[0].delivery_id) is not None] == [0, 1, 2]
    states = [one.delivery_count for one in await emulator.broker.peek("work", 10, 0)]
    assert states == [1, 1, 1, 0, 0]


async def test_no_more_comes_than_the_window_allows(emulator: Emulator, peer: Peer) -> None:
    await fill(emulator, 5)
    await peer.receiver("work")
    peer.credit(5, window=2)
    await peer.get()
    await peer.get()
    peer.credit(3, seen=2, frames=2, window=0)
    assert [one.delivery_count for one in await emulator.broker.peek("work", 10, 0)] == [1, 1, 0, 0, 0]
    peer.credit(3, seen=2, frames=2, window=5000)
    assert (await peer.get())[0].delivery_id == 2


async def test_a_window_that_opens_is_open_for_all_links(emulator: Emulator, peer: Peer) -> None:
    await peer.receiver("work", 1)
    await peer.receiver("other", 2)
    peer.credit(1, 1, window=0)
    await fill(emulator, 1)
    peer.credit(1, 2, window=5000)  # names the link that has nothing to send
    assert (await peer.get())[0].handle == 1


async def test_a_large_message_waits_for_the_window_in_its_middle(emulator: Emulator) -> None:
    await fill(emulator, 1, bytes(10_000))
    async with opened(emulator.port, max_frame_size=UInt(1024)) as peer:
        await peer.receiver("work")
        peer.credit(1, window=3)
        for _ in range(3):
            assert (await peer.until(Transfer)).more
        peer.credit(0, seen=0, frames=3, window=5000)
        _, rest = await peer.get()
        assert len(rest) > 6000


async def test_what_waits_for_the_window_is_not_sent_on_a_link_that_is_gone(emulator: Emulator) -> None:
    await fill(emulator, 1, bytes(10_000))
    async with opened(emulator.port, max_frame_size=UInt(1024)) as peer:
        await peer.receiver("work")
        peer.credit(1, window=3)
        for _ in range(3):
            await peer.until(Transfer)
        peer.send(Detach(UInt(1), True))
        await peer.until(Detach)
        await fill(emulator, 1, b"small")
        await peer.receiver("work", 2)
        peer.credit(1, 2, frames=3)
        transfer, payload = await peer.get()
        assert (transfer.handle, body_of(payload)) == (2, b"small")


async def test_draining_uses_up_the_credit(emulator: Emulator, peer: Peer) -> None:
    await fill(emulator, 2)
    await peer.receiver("work")
    peer.credit(10, drain=True)
    await peer.get()
    await peer.get()
    flow = await peer.until(Flow)
    assert (flow.delivery_count, flow.link_credit, flow.drain) == (10, 0, True)
    peer.credit(0, seen=10, frames=2, drain=True)
    assert (await peer.until(Flow)).link_credit == 0


async def test_an_echo_is_answered(peer: Peer) -> None:
    await peer.receiver("work")
    for flow in (
        Flow(UInt(0), UInt(10), UInt(0), UInt(10), UInt(1), UInt(0), UInt(7), echo=True),
        Flow(UInt(0), UInt(10), UInt(0), UInt(10), echo=True),
    ):
        peer.send(flow)
        answer = await peer.until(Flow)
        assert (answer.handle, answer.link_credit) == (flow.handle, flow.link_credit)
    await peer.sender("work")
    await peer.until(Flow)
    peer.send(Flow(UInt(0), UInt(10), UInt(0), UInt(10), UInt(0), echo=True))
    assert (await peer.until(Flow)).link_credit == 1000


async def test_settlements_are_echoed_when_they_are_done(emulator: Emulator, peer: Peer) -> None:
    await fill(emulator, 4)
    await peer.receiver("work", credit=4)
    got = [(await peer.get())[0] for _ in range(4)]
    for transfer, state in zip(got, (Accepted(), Released(), Modified(True), Rejected()), strict=True):
        echo = await peer.settle(transfer, state)
        assert type(echo) is type(state)
        if isinstance(echo, Rejected):
            assert echo.error is None
    assert [one.delivery_count for one in await emulator.broker.peek("work", 10, 0)] == [0, 1]
    assert len(await emulator.broker.peek("work/$deadletterqueue", 10, 0)) == 1


async def test_a_range_is_settled_at_once_however_long_it_claims_to_be(emulator: Emulator, peer: Peer) -> None:
    await fill(emulator, 3)
    await peer.receiver("work", credit=3)
    for _ in range(3):
        await peer.get()
    peer.send(Disposition(True, UInt(0), UInt(0xFFFF_FFFF), state=Accepted()))
    echo = await peer.until(Disposition)
    assert (echo.first, echo.last, echo.settled) == (0, 2, True)
    assert await emulator.broker.peek("work", 10, 0) == []


async def test_progress_settles_nothing(emulator: Emulator, peer: Peer) -> None:
    await fill(emulator, 1)
    await peer.receiver("work", credit=1)
    transfer, _ = await peer.get()
    peer.send(Disposition(True, transfer.delivery_id, state=Described(ULong(0x23), [UInt(0), ULong(0)])))
    assert isinstance(await peer.settle(transfer), Accepted)


async def test_deferral_is_refused_and_the_lock_stays(emulator: Emulator, peer: Peer) -> None:
    await fill(emulator, 1)
    await peer.receiver("work", credit=1)
    transfer, _ = await peer.get()
    echo = await peer.settle(transfer, Modified(True, True))
    assert isinstance(echo, Rejected)
    assert echo.error.condition == "amqp:not-implemented"


async def test_received_and_deleted_is_gone(emulator: Emulator, peer: Peer) -> None:
    await fill(emulator, 1)
    await peer.receiver("work", credit=1, locked=False)
    transfer, _ = await peer.get()
    assert transfer.settled
    assert await emulator.broker.peek("work", 10, 0) == []


async def test_locks_of_a_client_that_vanishes_stay(emulator: Emulator) -> None:
    await fill(emulator, 2)
    async with opened(emulator.port) as peer:
        await peer.receiver("work", credit=1)
        await peer.get()
    assert await works(emulator)
    assert [one.delivery_count for one in await emulator.broker.peek("work", 10, 0)] == [1, 0]
    assert len(await emulator.broker.receive("work", 10, locked=True)) == 1


async def test_who_does_not_read_gets_no_more_deliveries_and_holds_up_nobody(emulator: Emulator) -> None:
    await fill(emulator, 300, bytes(100_000))
    async with opened(emulator.port) as slow:
        slow.writer.transport.pause_reading()
        await slow_receiver(slow)
        async with opened(emulator.port) as quick:
            await quick.sender("other")
            for number in range(200):
                assert isinstance(await quick.put(message(str(number))), Accepted)
        delivered = [one for one in await emulator.broker.peek("work", 300, 0) if one.delivery_count]
        assert 0 < len(delivered) < 150
        slow.writer.transport.resume_reading()
        for _ in range(300):
            await slow.get()


async def slow_receiver(peer: Peer) -> None:
    peer.send(Attach("r", UInt(1), True, UByte(0), UByte(1), source=Source("work"), target=Target("me")))
    peer.credit(300)
    await asyncio.sleep(0.3)  # as much as fits is in the buffers of the system then


async def test_an_idle_link_is_detached(emulator: Emulator) -> None:
    emulator.faults = Faults(detach_idle_links_after=0.05)
    async with opened(emulator.port) as peer:
        await peer.sender("work")
        assert (await peer.until(Detach)).error.condition == "amqp:link:detach-forced"
        peer.send(Detach(UInt(0), True))
        await peer.sender("work")
        assert isinstance(await peer.put(message("1")), Accepted)


async def test_requests_for_a_link_keep_it_alive(emulator: Emulator) -> None:
    emulator.faults = Faults(detach_idle_links_after=0.2)
    async with opened(emulator.port) as peer:
        await peer.sender("work", 0)
        await peer.sender("work", 1)
        await peer.sender("work/$management", 10)
        await peer.receiver("work/$management", 11, credit=100, locked=False)
        for _ in range(6):
            peer.transfer(_request("com.microsoft:peek-message", **{"associated-link-name": "s0"}), 10)
            await asyncio.sleep(0.05)
        assert (await peer.until(Detach)).handle == 1
        assert isinstance(await peer.put(message("1"), 0), Accepted)


async def test_a_connection_without_links_is_closed(emulator: Emulator) -> None:
    emulator.faults = Faults(close_unused_connections_after=0.1)
    async with opened(emulator.port) as used, opened(emulator.port) as unused:
        await used.sender("work")
        assert (await unused.until(Close)).error.condition == "amqp:connection:forced"
        assert isinstance(await used.put(message("1")), Accepted)


async def test_requests_that_nobody_waits_for_are_bounded(emulator: Emulator, peer: Peer) -> None:
    await peer.sender("work/$management", 10)
    await peer.receiver("work/$management", 11)  # without credit
    for _ in range(1001):
        peer.transfer(_request("com.microsoft:peek-message"), 10)
    assert (await peer.until(Detach)).error.condition == "amqp:resource-limit-exceeded"


def _request(operation: str, **properties: Any) -> bytes:
    return (
        encode_properties(message_id="1")
        + encode_section(APPLICATION_PROPERTIES, {"operation": operation, **properties})
        + encode_section(VALUE, {})
    )


# Life and death of the server


async def test_closing_ends_connections_and_leaves_no_task(emulator: Emulator) -> None:
    async with opened(emulator.port) as peer:
        await peer.receiver("work", credit=5)
        port = emulator.port
        await emulator.close()
        assert await peer.hung_up()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(OSError, match="Connect"):
            await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(RuntimeError, match="start"):
            _ = emulator.connection_string


async def test_locks_and_messages_outlive_a_restart_on_a_file(tmp_path: Any) -> None:
    async with Emulator({"work": Rules()}, path=tmp_path / "queues.db") as first, opened(first.port) as peer:
        await peer.sender("work")
        await peer.put(message("1"))
        await peer.put(message("2"))
        await peer.receiver("work", credit=1)
        transfer, _ = await peer.get()
    async with Emulator({"work": Rules()}, path=tmp_path / "queues.db") as second:
        (waiting,) = await second.broker.receive("work", 10, locked=True)
        assert waiting.message_id == "2"
        await second.broker.complete("work", UUID(bytes_le=transfer.delivery_tag))


async def test_a_full_disk_is_told_to_clients_and_loses_nothing(emulator: Emulator, peer: Peer) -> None:
    await peer.sender("work")
    await emulator._database.write(lambda connection: connection.execute("PRAGMA max_page_count = 100").fetchone())
    outcomes = [await peer.put(message(str(number), bytes(50_000))) for number in range(20)]
    refused = [one for one in outcomes if isinstance(one, Rejected)]
    assert {one.error.condition for one in refused} == {"com.microsoft:server-busy"}
    assert len(await emulator.broker.peek("work", 100, 0)) == 20 - len(refused) > 0


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_a_numeric_address_of_version_6_stands_in_brackets() -> None:
    async with Emulator({"work": Rules()}, host="::1") as emulator:
        assert f"Endpoint=sb://[::1]:{emulator.port};" in emulator.connection_string


async def test_a_taken_port_is_said_at_the_start(emulator: Emulator) -> None:
    with pytest.raises(OSError, match="in use"):
        await Emulator({}, port=emulator.port).start()
