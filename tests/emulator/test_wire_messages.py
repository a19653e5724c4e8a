"""Does a message keep all that its sender put into it, and get what the broker knows, on its way through a queue?"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from boilermaker_fn.emulator.amqp.encoding import encode
from boilermaker_fn.emulator.amqp.messages import (
    APPLICATION_PROPERTIES,
    DATA,
    DELIVERY_ANNOTATIONS,
    FOOTER,
    HEADER,
    MESSAGE_ANNOTATIONS,
    VALUE,
    encode_data,
    encode_header,
    encode_properties,
    encode_section,
    sections,
    value_of,
)
from boilermaker_fn.emulator.amqp.values import Malformed, Short, Symbol, Timestamp, UByte, UInt, ULong
from boilermaker_fn.emulator.broker import Peeked, token_of
from boilermaker_fn.emulator.wire_messages import (
    BATCH_FORMAT,
    arrived,
    delivered,
    peeked,
    property_values,
    tag_of,
    unpacked,
)
from boilermaker_fn.messages import Delivery

NOW = 1_800_000_000.0


def delivery(body: bytes, **fields: Any) -> Delivery:
    plain = {
        "queue": "work", "message_id": "m", "sequence_number": 7, "delivery_count": 1, "enqueued_at": NOW,
        "locked_until": NOW + 60,
    }  # fmt: skip
    return Delivery(body=body, **{**plain, **fields})


def read(data: bytes) -> dict[int, Any]:
    return {section.code: value_of(data, section) for section in sections(data)}


@pytest.mark.parametrize(
    ("given", "message_id"),
    [("id", "id"), (ULong(7), "7"), (UUID(int=1), str(UUID(int=1))), (b"\x01\xff", "01ff")],
)
def test_ids_of_all_types_are_ids(given: Any, message_id: str) -> None:
    assert arrived("work", encode_properties(message_id=given), NOW).message_id == message_id


def test_messages_without_an_id_are_no_duplicates() -> None:
    first, second = (arrived("work", encode_data(b""), NOW) for _ in range(2))
    assert first.message_id != second.message_id


@pytest.mark.parametrize(
    ("ttl", "absolute", "scheduled", "expires_at"),
    [
        (None, None, None, None),
        (5000, None, None, NOW + 5),
        (0, None, None, NOW),
        (5000, NOW + 99, None, NOW + 5),
        (None, NOW + 99, None, NOW + 99),
        (0xFFFF_FFFF, NOW + 99, None, NOW + 99),
        (5000, None, NOW + 100, NOW + 105),
        (5000, None, NOW - 100, NOW + 5),
    ],
)
def test_when_a_message_ends(ttl: Any, absolute: Any, scheduled: Any, expires_at: Any) -> None:
    data = encode_header(None, None, None if ttl is None else UInt(ttl), 0)
    if scheduled is not None:
        data += encode_section(MESSAGE_ANNOTATIONS, {Symbol("x-opt-scheduled-enqueue-time"): Timestamp.of(scheduled)})
    data += encode_properties(absolute_expiry_time=None if absolute is None else Timestamp.of(absolute))
    message = arrived("work", data, NOW)
    assert (message.expires_at, message.not_before) == (expires_at, scheduled)


def test_instructions_for_the_broker_do_not_go_on() -> None:
    rest = encode_section(MESSAGE_ANNOTATIONS, {Symbol("mine"): 1}) + encode_data(b"body")
    data = encode_header(True, None, None, 0) + encode_section(DELIVERY_ANNOTATIONS, {Symbol("x"): 1}) + rest
    assert arrived("work", data, NOW).body == encode_header(True, None, None, 0) + rest


def test_what_the_broker_knows_is_added() -> None:
    one = delivery(encode_properties(message_id="m") + encode_data(b"body"), delivery_count=3)
    found = read(delivered(one, locked=True))
    assert found[HEADER][4] == 2
    assert found[MESSAGE_ANNOTATIONS] == {
        "x-opt-sequence-number": 7,
        "x-opt-enqueued-time": NOW * 1000,
        "x-opt-locked-until": (NOW + 60) * 1000,
        "x-opt-lock-token": token_of(one),
    }
    assert UUID(bytes_le=tag_of(one)) == token_of(one)
    assert set(read(delivered(one, locked=False))[MESSAGE_ANNOTATIONS]) == {
        "x-opt-sequence-number",
        "x-opt-enqueued-time",
    }


def test_a_message_that_was_delivered_very_often_says_so() -> None:
    assert read(delivered(delivery(encode_data(b"")), locked=True))[HEADER][4] == 0
    assert read(delivered(delivery(encode_data(b""), delivery_count=1000), locked=True))[HEADER][4] == 999


def test_what_the_sender_gave_stays_beside_it() -> None:
    data = (
        encode_header(True, UByte(7), UInt(5000), 0)
        + encode_section(MESSAGE_ANNOTATIONS, {Symbol("mine"): Short(1), Symbol("x-opt-sequence-number"): "forged"})
        + encode_properties(message_id="m", subject="s")
        + encode_section(APPLICATION_PROPERTIES, {"kept": Short(1), "changed": 1})
        + encode_data(b"one")
        + encode_data(b"two")
        + encode_section(FOOTER, {})
    )
    out = delivered(delivery(data, properties={"changed": "now", "new": 2.5}), locked=True)
    found = read(out)
    assert found[HEADER] == [True, 7, 5000, None, 0]
    assert (found[MESSAGE_ANNOTATIONS]["mine"], found[MESSAGE_ANNOTATIONS]["x-opt-sequence-number"]) == (1, 7)
    assert found[APPLICATION_PROPERTIES] == {"kept": 1, "changed": "now", "new": 2.5}
    assert type(found[APPLICATION_PROPERTIES]["kept"]) is Short
    assert out.endswith(encode_data(b"one") + encode_data(b"two") + encode_section(FOOTER, {}))


def test_properties_are_added_where_there_were_none() -> None:
    out = delivered(delivery(encode_section(VALUE, None), properties={"new": 1}), locked=True)
    assert read(out)[APPLICATION_PROPERTIES] == {"new": 1}
    assert [section.code for section in sections(out)] == [HEADER, MESSAGE_ANNOTATIONS, APPLICATION_PROPERTIES, VALUE]


def test_properties_of_a_settlement_are_plain() -> None:
    given = {
        Symbol("text"): "a", "yes": True, "short": Short(1), "huge": ULong(2**64 - 1), "real": 0.5, "none": None,
        "id": UUID(int=1), "symbol": Symbol("s"),
    }  # fmt: skip
    plain = property_values(given)
    assert plain == {
        "text": "a", "yes": True, "short": 1, "huge": str(2**64 - 1), "real": 0.5, "id": str(UUID(int=1)),
        "symbol": "s",
    }  # fmt: skip
    assert [type(value) for value in plain.values()] == [str, bool, int, str, float, str, str]
    assert property_values("nothing") == {}


def test_a_peeked_message_says_its_state() -> None:
    one = Peeked("work/$deadletterqueue", "m", encode_data(b""), 7, 2, NOW, state="scheduled")
    found = read(peeked(one))
    assert found[HEADER][4] == 2
    assert found[MESSAGE_ANNOTATIONS]["x-opt-message-state"] == 2
    assert found[MESSAGE_ANNOTATIONS]["x-opt-deadletter-source"] == "work"


def test_a_batch_is_unpacked() -> None:
    batch = encode_properties(message_id="first") + encode_data(b"a") + encode_data(b"b")
    assert unpacked(BATCH_FORMAT, batch) == [b"a", b"b"]
    assert unpacked(0, batch) == [batch]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encode_properties(message_id="m"),
        encode_section(DATA, "text"),
        encode_section(0x79, 1),
        encode_data(b"a") + encode_properties(),
        encode(1),
    ],
)
def test_what_is_no_batch_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        unpacked(BATCH_FORMAT, data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encode_header(None, None, None, 0),
        encode_section(HEADER, {}) + encode_data(b""),
        encode_section(HEADER, [None] * 6) + encode_data(b""),
        encode_section(MESSAGE_ANNOTATIONS, []) + encode_data(b""),
        encode_section(MESSAGE_ANNOTATIONS, {Symbol("x-opt-scheduled-enqueue-time"): 5}) + encode_data(b""),
        encode_section(0x73, [None] * 14) + encode_data(b""),
        encode_section(0x73, "text") + encode_data(b""),
        encode_properties() + encode_properties(),
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        arrived("work", data, NOW)
