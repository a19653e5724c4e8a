"""Which AMQP types does Python not have? A value of such a type says so by its class; all others are plain Python.

None, bool, int (sent as long), float (double), str, bytes, UUID, list and map (a dict) need no class of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

#: Anything that can be encoded. A union of all cases would have to name itself.
Value: TypeAlias = Any

#: Values within values, at most: deeper ones are an attack, not a message.
MAX_DEPTH: Final = 32


class Malformed(ValueError):
    """These bytes are not AMQP 1.0. The message says what was expected."""


class UByte(int):
    """8 bits without sign."""


class UShort(int):
    """16 bits without sign."""


class UInt(int):
    """32 bits without sign."""


class ULong(int):
    """64 bits without sign."""


class Byte(int):
    """8 bits."""


class Short(int):
    """16 bits."""


class Int(int):
    """32 bits."""


class Timestamp(int):
    """Milliseconds since the epoch."""

    @classmethod
    def of(cls, seconds: float) -> Timestamp:
        """The timestamp of a time in seconds since the epoch."""
        return cls(seconds * 1000)


class Float32(float):
    """A number of single precision."""


class Char(str):
    """One character."""

    __slots__ = ()


class Symbol(str):
    """A name in ASCII."""

    __slots__ = ()


class Opaque(NamedTuple):
    """A value of a type that nothing here computes with (the decimals): its format code and its bytes."""

    code: int
    data: bytes


class Described(NamedTuple):
    """A value and the descriptor that says what it stands for."""

    descriptor: Value
    value: Value


class Array(NamedTuple):
    """Values of one type, which has this format code."""

    code: int
    values: Sequence[Value]
