"""Are AMQP values written and read as the specification has it, and is anything else refused?"""

from __future__ import annotations

import contextlib
import struct
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boilermaker_fn.emulator.amqp import performatives
from boilermaker_fn.emulator.amqp.composites import decode_performative, encode_performative
from boilermaker_fn.emulator.amqp.decoding import decode, skip
from boilermaker_fn.emulator.amqp.encoding import encode
from boilermaker_fn.emulator.amqp.frames import EMPTY_FRAME, Frame, FrameReader, frame
from boilermaker_fn.emulator.amqp.hot_frames import TRANSFER_OVERHEAD, settlement, transfer
from boilermaker_fn.emulator.amqp.values import (
    Array,
    Byte,
    Char,
    Described,
    Float32,
    Int,
    Malformed,
    Opaque,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
)


def whole(low: int, high: int, kind: Any) -> st.SearchStrategy[Any]:
    return st.integers(low, high).map(kind)


ascii_text = st.text(st.characters(max_codepoint=127), max_size=300)
scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    whole(0, 2**8 - 1, UByte),
    whole(0, 2**16 - 1, UShort),
    whole(0, 2**32 - 1, UInt),
    whole(0, 2**64 - 1, ULong),
    whole(-(2**7), 2**7 - 1, Byte),
    whole(-(2**15), 2**15 - 1, Short),
    whole(-(2**31), 2**31 - 1, Int),
    whole(-(2**63), 2**63 - 1, int),
    whole(-(2**63), 2**63 - 1, Timestamp),
    st.floats(allow_nan=False),
    st.floats(width=32, allow_nan=False).map(Float32),
    st.characters(exclude_categories=["Cs"]).map(Char),
    st.text(max_size=300),
    ascii_text.map(Symbol),
    st.binary(max_size=300),
    st.uuids(),
    st.binary(min_size=16, max_size=16).map(lambda data: Opaque(0x94, data)),
)
arrays = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=300).map(lambda values: Array(0x81, values)),
    st.lists(st.uuids(), max_size=20).map(lambda values: Array(0x98, values)),
    st.lists(st.text(max_size=20), max_size=20).map(lambda values: Array(0xB1, values)),
)
values = st.recursive(
    scalars | arrays,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.text(max_size=5) | ascii_text.map(Symbol), inner, max_size=5),
        st.builds(Described, whole(0, 2**64 - 1, ULong), inner),
    ),
    max_leaves=20,
)


def typed(value: Any) -> Any:
    """The value with the types of all that is in it: UInt(1) equals 1, but is another value."""
    match value:
        case dict():
            return [(typed(key), typed(item)) for key, item in value.items()]
        case list() | Described() | Array():
            return type(value), [typed(item) for item in value]
        case _:
            return type(value), value


@given(values)
def test_what_is_written_is_read_as_the_same_value_of_the_same_type(value: Any) -> None:
    data = encode(value)
    read, end = decode(data)
    assert typed(read) == typed(value)
    assert end == len(data) == skip(data, 0)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (None, "40"),
        (True, "41"),
        (UInt(0), "43"),
        (UInt(1), "5201"),
        (UInt(256), "7000000100"),
        (ULong(0x70), "5370"),
        (-1, "55ff"),
        (128, "810000000000000080"),
        ("a", "a10161"),
        (Symbol("a"), "a30161"),
        (b"", "a000"),
        ([], "45"),
        ([None], "c0020140"),
        ({}, "c10100"),
        (Array(0x81, [1]), "e00a01810000000000000001"),
        (Timestamp(1), "830000000000000001"),
        (UUID(int=1), "98" + "00" * 15 + "01"),
    ],
)
def test_the_bytes_are_those_of_the_specification(value: Any, data: str) -> None:
    assert encode(value).hex() == data


def test_wide_forms_of_small_values_are_read_too() -> None:
    assert decode(bytes.fromhex("7000000001"))[0] == 1
    assert decode(bytes.fromhex("5601"))[0] is True
    assert decode(bytes.fromhex("d0000000050000000140"))[0] == [None]
    assert decode(bytes.fromhex("b10000000161"))[0] == "a"


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (object(), TypeError),
        (2**63, ValueError),
        (UInt(-1), ValueError),
        (UByte(256), ValueError),
        (Array(0x40, [None]), TypeError),
    ],
)
def test_what_has_no_encoding_is_refused(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"encoding|does not fit"):
        encode(value)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "ff",  # no such type
        "70000000",  # ends too soon
        "a10561",
        "b1ffffffff61",
        "a101ff",  # no UTF-8
        "a301ff",  # no ASCII
        "98" + "00" * 15,
        "5602",  # no boolean
        "7300110000",  # no character
        "c0020240",  # two values in the space of one
        "c003014040",  # one value in the space of two
        "d0000000ffffffffff40",
        "c1020140",  # a key without a value
        "c103024540",  # a list as a key
        "e003ff4041",
        "f0000000057fffffff40",  # elements without bytes, without end
        "e005010053004040",  # described elements
        "00" * 200,
        "c0ff01" * 80,
    ],
)
def test_what_is_no_value_is_refused(data: str) -> None:
    with pytest.raises(Malformed):
        decode(bytes.fromhex(data))


def test_values_within_values_end_somewhere() -> None:
    data = encode(None)
    for _ in range(40):
        data = b"\xd0" + struct.pack(">II", len(data) + 4, 1) + data
    with pytest.raises(Malformed, match="deep"):
        decode(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (decode, decode_performative, lambda data: skip(data, 0)):
        with contextlib.suppress(Malformed):
            read(data)


@given(values, st.data())
def test_damaged_values_are_read_or_refused(value: Any, data: st.DataObject) -> None:
    good = bytearray(encode([value]))
    at = data.draw(st.integers(0, len(good) - 1))
    good[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Malformed):
        decode(bytes(good))


SAMPLES: list[Any] = [
    performatives.Open("me", "host", UInt(1000), UShort(3), UInt(5), properties={Symbol("a"): "b"}),
    performatives.Begin(None, UInt(0), UInt(1), UInt(2)),
    performatives.Attach(
        "link",
        UInt(7),
        True,
        source=performatives.Source("queue", filter={Symbol("x"): Described(Symbol("x"), 1)}),
        target=performatives.Target("me"),
    ),
    performatives.Flow(UInt(1), UInt(2), UInt(3), UInt(4), UInt(5), UInt(6), UInt(7), drain=True),
    performatives.Transfer(UInt(1), UInt(2), b"tag", UInt(0), more=True),
    performatives.Disposition(False, UInt(1), UInt(2), settled=True, state=performatives.Accepted()),
    performatives.Disposition(
        True,
        UInt(1),
        state=performatives.Rejected(performatives.Error(Symbol("a:b"), "why", {Symbol("k"): "v"})),
    ),
    performatives.Disposition(True, UInt(1), state=performatives.Modified(True, False, {Symbol("k"): 1})),
    performatives.Disposition(True, UInt(1), state=performatives.Released()),
    performatives.Detach(UInt(1), True, performatives.Error(Symbol("a:b"))),
    performatives.End(),
    performatives.Close(performatives.Error(Symbol("a:b"), "why")),
    performatives.SaslMechanisms(Array(0xB3, ["ANONYMOUS"])),
    performatives.SaslInit(Symbol("PLAIN"), b"\0a\0b"),
    performatives.SaslOutcome(UByte(0)),
]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_performatives_come_back_with_all_their_fields(sample: Any) -> None:
    data = encode_performative(sample)
    read, end = decode_performative(data + b"payload")
    assert type(read) is type(sample)
    assert read == sample
    assert data[end:] + b"payload" == b"payload"
    (fields, _) = decode(data, 3)
    assert len(fields) == len(sample), "trailing nulls are written"


def test_omitted_and_null_fields_have_their_defaults() -> None:
    data = bytes.fromhex("005310") + encode(["me", None, None])
    read, _ = decode_performative(data)
    assert read == performatives.Open("me", None, UInt(0xFFFF_FFFF), UShort(0xFFFF))


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        (0x10, []),  # a required field is missing
        (0x10, [None]),
        (0x10, [UInt(1)]),  # of a wrong type
        (0x12, ["name", 1, True]),  # long instead of uint
        (0x14, [UInt(0)] * 12),  # too many
        (0x14, "no list"),
        (0x99, []),  # unknown
    ],
)
def test_performatives_with_wrong_fields_are_refused(code: int, fields: Any) -> None:
    with pytest.raises(Malformed):
        decode_performative(bytes((0, 0x53, code)) + encode(fields))


def test_frames_laid_out_beforehand_are_as_any_other() -> None:
    tag, accepted = bytes(range(16)), encode_performative(performatives.Accepted())
    sent = performatives.Transfer(UInt(3), UInt(70_000), tag, UInt(0), True, True)
    data = transfer(5, 3, 70_000, tag, b"payload", settled=True, more=True)
    head, body = data[:8], data[8:]
    read, end = decode_performative(body)
    assert (read, body[end:]) == (sent, b"payload")
    assert struct.unpack(">IBBH", head) == (len(data), 2, 0, 5)
    assert len(data) == TRANSFER_OVERHEAD + len(b"payload")
    for state in (accepted, encode_performative(performatives.Rejected(performatives.Error(Symbol("x"), "y" * 300)))):
        data = settlement(5, True, 1, 300, state)
        read, end = decode_performative(data, 8)
        assert struct.unpack(">IBBH", data[:8]) == (len(data), 2, 0, 5)
        assert end == len(data)
        assert isinstance(read, performatives.Disposition)
        assert (read.role, read.first, read.last, read.settled) == (True, 1, 300, True)
        assert encode_performative(read.state) == state


@given(st.lists(st.binary(max_size=40), max_size=10), st.data())
def test_frames_are_found_wherever_the_stream_is_cut(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frame(number, body) for number, body in enumerate(bodies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader, found = FrameReader(512), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        reader.feed(stream[start:end])
        while (one := reader.frame()) is not None:
            found.append(one)
    assert found == [Frame(0, number, body) for number, body in enumerate(bodies)]


@pytest.mark.parametrize(
    "head",
    [
        struct.pack(">IBBH", 513, 2, 0, 0),  # too large, refused before it has come
        struct.pack(">IBBH", 7, 2, 0, 0),  # smaller than its own head
        struct.pack(">IBBH", 16, 1, 0, 0),  # begins within its head
        struct.pack(">IBBH", 16, 5, 0, 0),  # begins behind its end
    ],
)
def test_impossible_frames_are_refused(head: bytes) -> None:
    reader = FrameReader(512)
    reader.feed(EMPTY_FRAME + head)
    assert reader.frame() == Frame(0, 0, b"")
    with pytest.raises(Malformed):
        reader.frame()
