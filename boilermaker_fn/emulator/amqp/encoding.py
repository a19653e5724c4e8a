"""How is a value written? As short as AMQP 1.0 allows, by its class (see values.py)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

from .values import (
    Array,
    Byte,
    Char,
    Described,
    Float32,
    Int,
    Opaque,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
    Value,
)


def encode(value: Value) -> bytes:
    """The bytes of a value, its constructor first. Raises TypeError and ValueError for what AMQP does not have."""
    try:
        return _WRITERS[type(value)](value)
    except KeyError:
        raise TypeError(f"{value!r} of type {type(value).__name__} has no AMQP encoding here") from None
    except struct.error:
        raise ValueError(f"{value!r} does not fit into an AMQP {type(value).__name__}") from None


def encode_list(encoded: Iterable[bytes]) -> bytes:
    """A list of values that are encoded already."""
    items = list(encoded)
    return _compound(0xC0, 0xD0, len(items), b"".join(items)) if items else b"\x45"


def encode_map(encoded: Iterable[bytes]) -> bytes:
    """A map of keys and values in turn that are encoded already."""
    items = list(encoded)
    return _compound(0xC1, 0xD1, len(items), b"".join(items))


def encode_described(descriptor: int, encoded: bytes) -> bytes:
    """A described value with a descriptor below 256; the value is encoded already."""
    return bytes((0x00, 0x53, descriptor)) + encoded


def encode_binary(data: bytes) -> bytes:
    """Bytes."""
    return _sized(0xA0, 0xB0, data)


def _compound(short: int, long: int, count: int, data: bytes) -> bytes:
    if count <= 0xFF and len(data) + 1 <= 0xFF:
        return bytes((short, len(data) + 1, count)) + data
    return struct.pack(">BII", long, len(data) + 4, count) + data


def _sized(short: int, long: int, data: bytes) -> bytes:
    if len(data) <= 0xFF:
        return bytes((short, len(data))) + data
    return struct.pack(">BI", long, len(data)) + data


def _fixed(layout: str) -> Callable[[Value], bytes]:
    return struct.Struct(layout).pack


def _number(code: int, layout: str) -> Callable[[Value], bytes]:
    pack = struct.Struct(">B" + layout).pack
    return lambda value: pack(code, value)


def _signed(short: int, long: int, layout: str) -> Callable[[Value], bytes]:
    small, large = struct.Struct(">Bb").pack, struct.Struct(">B" + layout).pack
    return lambda value: small(short, value) if -128 <= value <= 127 else large(long, value)


def _unsigned(zero: int, short: int, long: int, layout: str) -> Callable[[Value], bytes]:
    large = struct.Struct(">B" + layout).pack

    def write(value: int) -> bytes:
        if value == 0:
            return bytes((zero,))
        return bytes((short, value)) if 0 < value <= 0xFF else large(long, value)

    return write


def _text(value: str) -> bytes:
    return _sized(0xA1, 0xB1, value.encode())


def _symbol(value: str) -> bytes:
    return _sized(0xA3, 0xB3, value.encode("ascii"))


def _uuid(value: UUID) -> bytes:
    return b"\x98" + value.bytes


def _described(value: Described) -> bytes:
    return b"\x00" + encode(value.descriptor) + encode(value.value)


def _array(value: Array) -> bytes:
    write = _ELEMENTS.get(value.code)
    if write is None:
        raise TypeError(f"arrays of format code {value.code:#04x} have no encoding here")
    data = bytes((value.code,)) + b"".join(write(element) for element in value.values)
    return _compound(0xE0, 0xF0, len(value.values), data)


# Elements of an array share one constructor, so each is written in its widest form.
_ELEMENTS: Final[dict[int, Callable[[Value], bytes]]] = {
    0x60: _fixed(">H"),
    0x70: _fixed(">I"),
    0x71: _fixed(">i"),
    0x80: _fixed(">Q"),
    0x81: _fixed(">q"),
    0x83: _fixed(">q"),
    0x98: lambda value: value.bytes,
    0xB1: lambda value: struct.pack(">I", len(value.encode())) + value.encode(),
    0xB3: lambda value: struct.pack(">I", len(value)) + value.encode("ascii"),
}

_WRITERS: Final[dict[type, Callable[[Value], bytes]]] = {
    type(None): lambda _: b"\x40",
    bool: lambda value: b"\x41" if value else b"\x42",
    UByte: _number(0x50, "B"),
    UShort: _number(0x60, "H"),
    UInt: _unsigned(0x43, 0x52, 0x70, "I"),
    ULong: _unsigned(0x44, 0x53, 0x80, "Q"),
    Byte: _number(0x51, "b"),
    Short: _number(0x61, "h"),
    Int: _signed(0x54, 0x71, "i"),
    int: _signed(0x55, 0x81, "q"),
    float: _number(0x82, "d"),
    Float32: _number(0x72, "f"),
    Timestamp: _number(0x83, "q"),
    Char: lambda value: struct.pack(">BI", 0x73, ord(value)),
    UUID: _uuid,
    Opaque: lambda value: bytes((value.code,)) + value.data,
    bytes: encode_binary,
    str: _text,
    Symbol: _symbol,
    list: lambda value: encode_list(map(encode, value)),
    dict: lambda value: encode_map(encode(part) for pair in value.items() for part in pair),
    Array: _array,
    Described: _described,
}
