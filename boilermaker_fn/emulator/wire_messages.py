"""How does a message change on its way? From a client's transfer to what the broker keeps, and from that to a delivery.

The broker keeps a message as it came, so that nothing that a client put into it changes its type.
"""

from __future__ import annotations

import struct
from typing import Final
from uuid import uuid4

from ..messages import DEAD_LETTER_SUFFIX, Delivery, Message, Properties, PropertyValue, origin_of
from .amqp.encoding import encode
from .amqp.messages import (
    APPLICATION_PROPERTIES,
    DATA,
    DELIVERY_ANNOTATIONS,
    HEADER,
    MESSAGE_ANNOTATIONS,
    PROPERTIES,
    Section,
    encode_header,
    encode_section,
    list_of,
    map_of,
    merged,
    properties_of,
    sections,
    value_of,
)
from .amqp.values import Int, Malformed, Symbol, Timestamp, Value
from .broker import Peeked, token_of
from .refusals import ARGUMENT_ERROR, Refused

#: The message format of a batch: each of its data sections is a message.
BATCH_FORMAT: Final = 0x8001_3700

_MAX_ID: Final = 128
_MAX_PROPERTIES: Final = 64 * 1024
_NO_TTL: Final = 0xFFFF_FFFF
_LAST_TIME: Final = 253_402_300_799_999

_SCHEDULED: Final = Symbol("x-opt-scheduled-enqueue-time")
_SEQUENCE_NUMBER: Final = Symbol("x-opt-sequence-number")
_ENQUEUED: Final = Symbol("x-opt-enqueued-time")
_LOCKED_UNTIL: Final = Symbol("x-opt-locked-until")
_LOCK_TOKEN: Final = Symbol("x-opt-lock-token")
_SOURCE: Final = Symbol("x-opt-deadletter-source")
_STATE: Final = Symbol("x-opt-message-state")

_STATES: Final = {"active": Int(0), "scheduled": Int(2)}

# The annotations of nearly every delivery: their keys between their values.
_LONG: Final = struct.Struct(">q").pack
_HEAD: Final = b"\x00\x53\x72\xc1\x7f\x08"
_HEAD_WITHOUT_LOCK: Final = b"\x00\x53\x72\xc1\x3f\x04"
_KEY_1: Final = encode(_SEQUENCE_NUMBER) + b"\x81"
_KEY_2: Final = encode(_ENQUEUED) + b"\x83"
_KEY_3: Final = encode(_LOCKED_UNTIL) + b"\x83"
_KEY_4: Final = encode(_LOCK_TOKEN) + b"\x98"
_TOKEN: Final = struct.Struct(">QQ").pack
_HEADERS: Final = [encode_header(None, None, None, count) for count in range(256)]


def unpacked(message_format: int, payload: bytes) -> list[bytes]:
    """The messages of a transfer: one, or those of a batch. Raises Malformed."""
    if message_format != BATCH_FORMAT:
        return [payload]
    inner = [value_of(payload, section) for section in sections(payload) if section.code == DATA]
    if not inner or not all(isinstance(one, bytes) for one in inner):
        raise Malformed("a batch has a data section with bytes for each of its messages")
    return inner


def arrived(queue: str, data: bytes, now: float) -> Message:
    """What the broker is to keep of a message that a client sent. Raises Malformed, Refused."""
    found = {section.code: section for section in sections(data)}
    if all(code < PROPERTIES for code in found):
        raise Malformed("a message has properties or a body")
    not_before = _scheduled_for(data, found.get(MESSAGE_ANNOTATIONS))
    properties = properties_of(data, found[PROPERTIES]) if PROPERTIES in found else {}
    if (own := found.get(APPLICATION_PROPERTIES)) is not None and own.end - own.start > _MAX_PROPERTIES:
        raise Refused(ARGUMENT_ERROR, f"application properties of {own.end - own.start} bytes, {_MAX_PROPERTIES} fit")
    expires_at = _expiry(data, found.get(HEADER), properties, now if not_before is None else max(now, not_before))
    if (instructions := found.get(DELIVERY_ANNOTATIONS)) is not None:  # these were for us
        data = data[: instructions.start] + data[instructions.end :]
    return Message(queue, _id_of(properties), data, not_before=not_before, expires_at=expires_at)


def _id_of(properties: dict[str, Value]) -> str:
    """The message id, for finding duplicates. A message without one is like no other."""
    message_id = properties.get("message_id")
    if message_id is None or message_id == "":
        return uuid4().hex
    text = message_id.hex() if isinstance(message_id, bytes) else str(message_id)
    if len(text) > _MAX_ID:
        raise Refused(ARGUMENT_ERROR, f"a message id of {len(text)} characters, {_MAX_ID} fit: {text[:40]!r}...")
    return text


def _scheduled_for(data: bytes, section: Section | None) -> float | None:
    if section is None:
        return None
    at = map_of(data, section).get(_SCHEDULED)
    if at is None:
        return None
    if not isinstance(at, Timestamp):
        raise Malformed(f"{_SCHEDULED} is {at!r}, which is no timestamp")
    if at > _LAST_TIME:  # whoever looks at the queue could not read it
        raise Refused(ARGUMENT_ERROR, f"{_SCHEDULED} is {at}, in milliseconds since 1970: that is after the year 9999")
    return at / 1000


def _expiry(data: bytes, header: Section | None, properties: dict[str, Value], since: float) -> float | None:
    """When the message ends: the time to live counts from when it can be received; else the time it says itself."""
    ttl = None if header is None else list_of(data, header, 5)[2]
    if isinstance(ttl, int) and 0 <= ttl < _NO_TTL:
        return since + ttl / 1000
    at = properties.get("absolute_expiry_time")
    return at / 1000 if isinstance(at, Timestamp) and at > 0 else None


def tag_of(delivery: Delivery) -> bytes:
    """The delivery tag: the lock token with the bytes in the order that .NET gives a GUID."""
    token = _TOKEN(delivery.sequence_number, delivery.delivery_count)
    return token[3::-1] + token[5:3:-1] + token[7:5:-1] + token[8:]


def delivered(delivery: Delivery, *, locked: bool) -> bytes:
    """The message as a client receives it."""
    # What it was delivered before counts, not this time.
    count = delivery.delivery_count - 1
    if delivery.properties or delivery.body[2] < PROPERTIES or delivery.queue.endswith(DEAD_LETTER_SUFFIX):
        return _dressed(delivery, count, _annotations(delivery, locked=locked))
    header = _HEADERS[count] if count < len(_HEADERS) else encode_header(None, None, None, count)
    number, enqueued = _LONG(delivery.sequence_number), _LONG(int(delivery.enqueued_at * 1000))
    if not locked:
        return b"".join((header, _HEAD_WITHOUT_LOCK, _KEY_1, number, _KEY_2, enqueued, delivery.body))
    until, token = _LONG(int(delivery.locked_until * 1000)), _TOKEN(delivery.sequence_number, delivery.delivery_count)
    return b"".join((header, _HEAD, _KEY_1, number, _KEY_2, enqueued, _KEY_3, until, _KEY_4, token, delivery.body))


def peeked(delivery: Peeked) -> bytes:
    """The message as a client sees it that only looks."""
    annotations = _annotations(delivery, locked=False)
    annotations[_STATE] = _STATES[delivery.state]
    return _dressed(delivery, delivery.delivery_count, annotations)


def property_values(changes: Value) -> Properties:
    """Properties that come with a settlement, as far as the broker keeps such values; others become text."""
    if not isinstance(changes, dict):
        return {}
    return {str(name): _plain(value) for name, value in changes.items() if value is not None}


def _plain(value: Value) -> PropertyValue:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    return float(value) if isinstance(value, float) else str(value)


def _annotations(delivery: Delivery, *, locked: bool) -> dict[str, Value]:
    annotations: dict[str, Value] = {
        _SEQUENCE_NUMBER: delivery.sequence_number,
        _ENQUEUED: Timestamp.of(delivery.enqueued_at),
    }
    if locked:
        annotations[_LOCKED_UNTIL] = Timestamp.of(delivery.locked_until)
        annotations[_LOCK_TOKEN] = token_of(delivery)
    if delivery.queue.endswith(DEAD_LETTER_SUFFIX):
        annotations[_SOURCE] = origin_of(delivery.queue)
    return annotations


def _dressed(delivery: Delivery, count: int, annotations: dict[str, Value]) -> bytes:
    """Header, annotations and properties, each with what the client gave and what the broker knows."""
    data = delivery.body
    found = {section.code: section for section in sections(data)}
    header = found.get(HEADER)
    durable, priority, ttl = list_of(data, header, 5)[:3] if header else (None, None, None)
    given = found.get(MESSAGE_ANNOTATIONS)
    parts = [
        encode_header(durable, priority, ttl, count),
        merged(data, given, annotations) if given else encode_section(MESSAGE_ANNOTATIONS, annotations),
    ]
    properties = found.get(PROPERTIES)
    own = found.get(APPLICATION_PROPERTIES)
    if properties:
        parts.append(data[properties.start : properties.end])
    if own or delivery.properties:
        parts.append(merged(data, own, delivery.properties))
    ends = [section.end for section in found.values() if section.code <= APPLICATION_PROPERTIES]
    parts.append(data[max(ends, default=0) :])
    return b"".join(parts)
