"""How are performatives, and what stands in them, written and read? As lists, each field of the type that it must have.

All fields are written, trailing nulls too: there are clients that index into them.
"""

from __future__ import annotations

import typing
from types import UnionType
from typing import Final, NamedTuple, TypeAlias, cast

from .decoding import decode, decode_described
from .encoding import encode, encode_described, encode_list
from .performatives import (
    Accepted,
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Error,
    Flow,
    Modified,
    Open,
    Outcome,
    Performative,
    Rejected,
    Released,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Source,
    Target,
    Transfer,
)
from .values import Described, Malformed, ULong, Value

_Composite: TypeAlias = Performative | Outcome | Error | Source | Target

_CODES: Final[dict[type, int]] = {
    Open: 0x10, Begin: 0x11, Attach: 0x12, Flow: 0x13, Transfer: 0x14, Disposition: 0x15, Detach: 0x16, End: 0x17,
    Close: 0x18, Error: 0x1D, Accepted: 0x24, Rejected: 0x25, Released: 0x26, Modified: 0x27, Source: 0x28,
    Target: 0x29, SaslMechanisms: 0x40, SaslInit: 0x41, SaslOutcome: 0x44,
}  # fmt: skip
_CLASSES: Final = {code: cls for cls, code in _CODES.items()}
_REQUIRED: Final = object()


class _Field(NamedTuple):
    name: str
    kinds: frozenset[type] | None  # None: any; exact types, because that is what the decoder gives
    default: Value


def _kinds(hint: Value) -> frozenset[type] | None:
    if hint is Value:
        return None
    parts = typing.get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return frozenset(typing.get_origin(part) or part for part in parts)


def _fields_of(cls: type) -> list[_Field]:
    defaults: dict[str, Value] = getattr(cls, "_field_defaults", {})
    return [
        _Field(name, _kinds(hint), defaults.get(name, _REQUIRED)) for name, hint in typing.get_type_hints(cls).items()
    ]


_FIELDS: Final = {cls: _fields_of(cls) for cls in _CODES}


def encode_performative(performative: Performative | Outcome) -> bytes:
    """A performative (or an outcome) with all its fields."""
    return _encode_composite(performative)


def decode_performative(data: bytes, at: int = 0) -> tuple[Performative, int]:
    """The performative at `at`, and where it ends. Raises Malformed for a field of a wrong type too."""
    code, at = decode_described(data, at)
    fields, end = decode(data, at)
    cls = _CLASSES.get(code)
    if cls is None:
        raise Malformed(f"there is no performative with descriptor {code:#04x}")
    return cast("Performative", _build(cls, fields)), end


def _encode_composite(value: tuple[Value, ...]) -> bytes:
    return encode_described(_CODES[type(value)], encode_list(map(_encode_field, value)))


def _encode_field(value: Value) -> bytes:
    return _encode_composite(value) if type(value) in _CODES else encode(value)


def _build(cls: type, values: Value) -> _Composite:
    fields = _FIELDS[cls]
    if type(values) is not list or len(values) > len(fields):
        raise Malformed(f"{cls.__name__} is no list of at most {len(fields)} fields")
    built = []
    for (name, kinds, default), value in zip(fields, values, strict=False):
        if value is None:
            value = None if default is _REQUIRED else default
        elif type(value) is Described:
            value = _nested(value)
        if kinds is not None and type(value) not in kinds:
            raise Malformed(f"field {name!r} of {cls.__name__} is a {type(value).__name__}")
        built.append(value)
    for name, _, default in fields[len(values) :]:
        if default is _REQUIRED:
            raise Malformed(f"field {name!r} of {cls.__name__} is missing")
        built.append(default)
    return cast("_Composite", cls(*built))


def _nested(value: Described) -> Value:
    """What is described is one of ours, or stays as it is."""
    cls = _CLASSES.get(value.descriptor) if isinstance(value.descriptor, ULong) else None
    return value if cls is None else _build(cls, value.value)
