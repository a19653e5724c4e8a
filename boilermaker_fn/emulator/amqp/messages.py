"""How is a message laid out? As sections, most of which pass through here as the bytes that they came as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from .decoding import decode, decode_described, skip
from .encoding import encode, encode_binary, encode_described, encode_list, encode_map
from .values import Malformed, UInt, Value

HEADER: Final = 0x70
DELIVERY_ANNOTATIONS: Final = 0x71
MESSAGE_ANNOTATIONS: Final = 0x72
PROPERTIES: Final = 0x73
APPLICATION_PROPERTIES: Final = 0x74
DATA: Final = 0x75
VALUE: Final = 0x77
FOOTER: Final = 0x78

_PROPERTY_NAMES: Final = (
    "message_id", "user_id", "to", "subject", "reply_to", "correlation_id", "content_type", "content_encoding",
    "absolute_expiry_time", "creation_time", "group_id", "group_sequence", "reply_to_group_id",
)  # fmt: skip


class Section(NamedTuple):
    """One section: what it is, where it begins, where its value does, and where it ends, in the message's bytes."""

    code: int
    start: int
    value: int
    end: int


def sections(data: bytes) -> list[Section]:
    """The sections of a message in their order. Raises Malformed; values are measured, not read."""
    found = []
    at, last = 0, HEADER - 1
    while at < len(data):
        code, value = decode_described(data, at)
        # Only sections of the body repeat.
        if not (code > last or (code == last and DATA <= code < VALUE)) or code > FOOTER:
            raise Malformed(f"section {code:#04x} at byte {at} is unknown or out of order")
        end = skip(data, value)
        found.append(Section(code, at, value, end))
        at, last = end, code
    return found


def value_of(data: bytes, section: Section) -> Value:
    """What a section says. Raises Malformed."""
    value, end = decode(data, section.value)
    if end != section.end:
        raise Malformed(f"section {section.code:#04x} is longer than its value")
    return value


def map_of(data: bytes, section: Section) -> dict[Value, Value]:
    """What a section says that is a map. Raises Malformed."""
    value = value_of(data, section)
    if not isinstance(value, dict):
        raise Malformed(f"section {section.code:#04x} is no map")
    return value


def list_of(data: bytes, section: Section, length: int) -> list[Value]:
    """What a section says that is a list, filled up with nulls. Raises Malformed."""
    value = value_of(data, section)
    if not isinstance(value, list) or len(value) > length:
        raise Malformed(f"section {section.code:#04x} is no list of at most {length}")
    return value + [None] * (length - len(value))


def properties_of(data: bytes, section: Section) -> dict[str, Value]:
    """The properties section by names. Raises Malformed."""
    return dict(zip(_PROPERTY_NAMES, list_of(data, section, len(_PROPERTY_NAMES)), strict=True))


def encode_properties(**properties: Value) -> bytes:
    """A properties section."""
    values = [properties.pop(name, None) for name in _PROPERTY_NAMES]
    if properties:
        raise TypeError(f"a message has no {', '.join(properties)}")
    return encode_described(PROPERTIES, encode_list(map(encode, values)))


def encode_section(code: int, value: Value) -> bytes:
    """A section with one value."""
    return encode_described(code, encode(value))


def encode_data(data: bytes) -> bytes:
    """A data section."""
    return encode_described(DATA, encode_binary(data))


def encode_header(
    durable: Value, priority: Value, ttl: Value, delivery_count: int, first_acquirer: bool | None = None
) -> bytes:
    """A header section with all fields; `ttl` is in milliseconds."""
    fields = (durable, priority, ttl, first_acquirer, UInt(delivery_count))
    return encode_described(HEADER, encode_list(map(encode, fields)))


def merged(data: bytes, section: Section | None, more: Mapping[str, Value]) -> bytes:
    """A section that is a map, with more entries. Those that are there keep the types that they came with."""
    entries: list[bytes] = []
    if section is not None:
        map_of(data, section)  # so that what follows walks on solid ground
        at = section.value + (3 if data[section.value] == 0xC1 else 9)
        while at < section.end:
            value_at = skip(data, at)
            end = skip(data, value_at)
            if decode(data, at)[0] not in more:
                entries += (data[at:value_at], data[value_at:end])
            at = end
    for name, value in more.items():
        entries += (encode(name), encode(value))
    return encode_described(APPLICATION_PROPERTIES if section is None else section.code, encode_map(entries))
