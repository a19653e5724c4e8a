"""What do these bytes say? The AMQP 1.0 type system, read with limits: nothing is believed about lengths and counts."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, TypeAlias
from uuid import UUID

from .values import (
    MAX_DEPTH,
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
    Value,
)

#: Reads a value whose constructor was read: the bytes, where it begins, how deep it lies. Also returns where it ends.
_Reader: TypeAlias = Callable[[bytes, int, int], tuple[Value, int]]

# Elements without bytes of their own (null, true, the empty list) could be claimed in any number.
_MAX_ELEMENTS: Final = 65_536

_U16 = struct.Struct(">H").unpack_from
_U32 = struct.Struct(">I").unpack_from


def decode(data: bytes, at: int = 0) -> tuple[Value, int]:
    """The value that begins at `at`, and where it ends. Raises Malformed, and nothing else."""
    try:
        return _READERS[data[at]](data, at + 1, 0)
    except (IndexError, struct.error):
        raise Malformed(f"the value at byte {at} ends after the end of its {len(data)} bytes") from None


def decode_described(data: bytes, at: int = 0) -> tuple[int, int]:
    """The numeric descriptor of the described value at `at`, and where its value begins. Raises Malformed."""
    try:
        if data[at] == 0x00 and data[at + 1] == 0x53:
            return data[at + 2], at + 3
    except IndexError:
        pass
    else:
        if data[at] == 0x00:
            descriptor, at = decode(data, at + 1)
            if isinstance(descriptor, ULong):
                return int(descriptor), at
    raise Malformed(f"a described value with a numeric descriptor was expected at byte {at}")


def skip(data: bytes, at: int) -> int:
    """Where the value that begins at `at` ends, from its outermost length alone. Raises Malformed."""
    try:
        code = data[at]
        at += 1
        if code == 0x00:
            return skip(data, skip(data, at))
        width = code >> 4
        if width >= 0xA:
            end = at + 1 + data[at] if width in (0xA, 0xC, 0xE) else at + 4 + _U32(data, at)[0]
        else:
            end = at + _FIXED_WIDTHS[width]
    except (IndexError, KeyError, struct.error, RecursionError):
        raise Malformed(f"there is no whole value at byte {at}") from None
    if end > len(data):
        raise Malformed(f"the value at byte {at} ends after the end of its {len(data)} bytes")
    return end


_FIXED_WIDTHS: Final = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}


def _unknown(data: bytes, at: int, _: int) -> tuple[Value, int]:
    raise Malformed(f"{data[at - 1]:#04x} at byte {at - 1} is no type of AMQP 1.0")


def _constant(value: Value) -> _Reader:
    return lambda _data, at, _depth: (value, at)


def _number(layout: str, kind: Callable[[Value], Value]) -> _Reader:
    read = struct.Struct(layout)
    unpack, width = read.unpack_from, read.size
    return lambda data, at, _: (kind(unpack(data, at)[0]), at + width)


def _plain(layout: str) -> _Reader:
    read = struct.Struct(layout)
    unpack, width = read.unpack_from, read.size
    return lambda data, at, _: (unpack(data, at)[0], at + width)


def _octet(kind: Callable[[int], Value]) -> _Reader:
    return lambda data, at, _: (kind(data[at]), at + 1)


def _boolean(data: bytes, at: int, _: int) -> tuple[Value, int]:
    if data[at] > 1:
        raise Malformed(f"a boolean at byte {at} is {data[at]}")
    return data[at] == 1, at + 1


def _char(data: bytes, at: int, _: int) -> tuple[Value, int]:
    try:
        return Char(chr(_U32(data, at)[0])), at + 4
    except (ValueError, OverflowError):
        raise Malformed(f"the character at byte {at} is none") from None


def _bytes_of(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    end = at + size
    if end > len(data):
        raise Malformed(f"{size} bytes at byte {at} end after the end of its {len(data)} bytes")
    return data[at:end], end


def _uuid(data: bytes, at: int, _: int) -> tuple[Value, int]:
    value, at = _bytes_of(data, at, 16)
    return UUID(bytes=value), at


def _opaque(code: int, width: int) -> _Reader:
    def read(data: bytes, at: int, _: int) -> tuple[Value, int]:
        value, at = _bytes_of(data, at, width)
        return Opaque(code, value), at

    return read


def _binary_8(data: bytes, at: int, _: int) -> tuple[Value, int]:
    return _bytes_of(data, at + 1, data[at])


def _binary_32(data: bytes, at: int, _: int) -> tuple[Value, int]:
    return _bytes_of(data, at + 4, _U32(data, at)[0])


def _text(encoding: str, kind: Callable[[str], str], binary: _Reader) -> _Reader:
    def read(data: bytes, at: int, depth: int) -> tuple[Value, int]:
        raw, end = binary(data, at, depth)
        try:
            return kind(raw.decode(encoding)), end
        except UnicodeDecodeError:
            raise Malformed(f"the text at byte {at} is not {encoding}") from None

    return read


def _described(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    _check_depth(at, depth)
    descriptor, at = _READERS[data[at]](data, at + 1, depth + 1)
    value, at = _READERS[data[at]](data, at + 1, depth + 1)
    return Described(descriptor, value), at


def _list_0(_data: bytes, at: int, _depth: int) -> tuple[Value, int]:
    return [], at


def _elements(data: bytes, at: int, end: int, count: int, depth: int) -> list[Value]:
    _check_depth(at, depth)
    if end > len(data) or count > end - at:
        raise Malformed(f"{count} values at byte {at} do not fit into {min(end, len(data)) - at} bytes")
    values = []
    for _ in range(count):
        value, at = _READERS[data[at]](data, at + 1, depth + 1)
        values.append(value)
    if at != end:
        raise Malformed(f"{count} values end at byte {at}, their list at byte {end}")
    return values


def _list_8(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    end = at + 1 + data[at]
    return _elements(data, at + 2, end, data[at + 1], depth), end


def _list_32(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    end = at + 4 + _U32(data, at)[0]
    return _elements(data, at + 8, end, _U32(data, at + 4)[0], depth), end


def _map(elements: _Reader) -> _Reader:
    def read(data: bytes, at: int, depth: int) -> tuple[Value, int]:
        values, end = elements(data, at, depth)
        if len(values) % 2:
            raise Malformed(f"the map at byte {at} has a key without a value")
        try:
            return dict(zip(values[::2], values[1::2], strict=True)), end
        except TypeError:
            raise Malformed(f"the map at byte {at} has a list or a map as a key") from None

    return read


def _array(data: bytes, at: int, end: int, count: int, depth: int) -> tuple[Value, int]:
    _check_depth(at, depth)
    if end > len(data) or count > _MAX_ELEMENTS:
        raise Malformed(f"an array of {count} values at byte {at} is too long")
    code = data[at]
    if code == 0x00:
        raise Malformed(f"the array at byte {at} has described values, which are not supported")
    read, at = _READERS[code], at + 1
    values = []
    for _ in range(count):
        value, at = read(data, at, depth + 1)
        values.append(value)
    if at != end:
        raise Malformed(f"{count} values end at byte {at}, their array at byte {end}")
    return Array(code, values), end


def _array_8(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    return _array(data, at + 2, at + 1 + data[at], data[at + 1], depth)


def _array_32(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    return _array(data, at + 8, at + 4 + _U32(data, at)[0], _U32(data, at + 4)[0], depth)


def _check_depth(at: int, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise Malformed(f"the value at byte {at} lies more than {MAX_DEPTH} values deep")


_READERS: Final[list[_Reader]] = [_unknown] * 256
for _code, _reader in {
    0x00: _described,
    0x40: _constant(None),
    0x41: _constant(True),
    0x42: _constant(False),
    0x43: _constant(UInt(0)),
    0x44: _constant(ULong(0)),
    0x45: _list_0,
    0x50: _octet(UByte),
    0x51: _number(">b", Byte),
    0x52: _octet(UInt),
    0x53: _octet(ULong),
    0x54: _number(">b", Int),
    0x55: _plain(">b"),
    0x56: _boolean,
    0x60: _number(">H", UShort),
    0x61: _number(">h", Short),
    0x70: _number(">I", UInt),
    0x71: _number(">i", Int),
    0x72: _number(">f", Float32),
    0x73: _char,
    0x74: _opaque(0x74, 4),
    0x80: _number(">Q", ULong),
    0x81: _plain(">q"),
    0x82: _plain(">d"),
    0x83: _number(">q", Timestamp),
    0x84: _opaque(0x84, 8),
    0x94: _opaque(0x94, 16),
    0x98: _uuid,
    0xA0: _binary_8,
    0xA1: _text("utf-8", str, _binary_8),
    0xA3: _text("ascii", Symbol, _binary_8),
    0xB0: _binary_32,
    0xB1: _text("utf-8", str, _binary_32),
    0xB3: _text("ascii", Symbol, _binary_32),
    0xC0: _list_8,
    0xC1: _map(_list_8),
    0xD0: _list_32,
    0xD1: _map(_list_32),
    0xE0: _array_8,
    0xF0: _array_32,
}.items():
    _READERS[_code] = _reader
