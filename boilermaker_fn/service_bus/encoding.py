"""How does one of our messages look on the wire, and a delivery when it comes from there?"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType

from ..messages import NO_PROPERTIES, Delivery, Message, Properties, PropertyValue

_CONTENT_TYPE: Final = "application/json"
_SHORTEST_LIFE_MS: Final = 1  # 0 would mean: as long as the queue says
_LONGEST_LIFE_MS: Final = 2**32 - 1
_SCHEDULED: Final = "x-opt-scheduled-enqueue-time"
_LOCKED_UNTIL: Final = b"x-opt-locked-until"


def encoded(message: Message, now: float) -> AmqpAnnotatedMessage:
    """The message as the SDK sends it; `now` is in seconds since the epoch."""
    starts, annotations = now, None
    if message.not_before is not None and message.not_before > now:
        starts = message.not_before
        annotations = {_SCHEDULED: utc(starts)}
    header = None
    if message.expires_at is not None:
        life = round((message.expires_at - starts) * 1000)
        header = {"time_to_live": min(max(life, _SHORTEST_LIFE_MS), _LONGEST_LIFE_MS)}
    # A ServiceBusMessage would take twice as long to make, and knows of lives in whole seconds only.
    return AmqpAnnotatedMessage(
        data_body=message.body,
        header=header,
        properties={"message_id": message.message_id, "content_type": _CONTENT_TYPE},
        application_properties={name: _wide(value) for name, value in message.properties.items()} or None,
        annotations=annotations,
    )


def delivered(message: ServiceBusReceivedMessage, queue: str, token: str) -> Delivery:
    """What was received, as one of ours. `token` is "" for what was only looked at."""
    count = message.delivery_count or 0
    return Delivery(
        queue=queue,
        message_id="" if message.message_id is None else str(message.message_id),
        body=_body(message),
        sequence_number=message.sequence_number or 0,
        delivery_count=count + 1 if token else count,
        enqueued_at=_seconds(message.enqueued_time_utc),
        properties=_properties(message.application_properties),
        locked_until=locked_until(message) if token else 0.0,
        lock_token=token,
    )


def locked_until(message: ServiceBusReceivedMessage) -> float:
    """The end of the lock by the clock of the service, in seconds since the epoch."""
    return float((message.raw_amqp_message.annotations or {}).get(_LOCKED_UNTIL, 0)) / 1000


def leave_expiry_to_the_service(message: ServiceBusReceivedMessage) -> None:
    """Keep the SDK from refusing to settle because of what this machine's clock says, which may be wrong by minutes."""
    if message.raw_amqp_message.annotations:
        message.raw_amqp_message.annotations.pop(_LOCKED_UNTIL, None)
    message._expiry = None  # what a renewal put there


def _wide(value: PropertyValue) -> Any:
    """The SDK takes every number for one of 32 bits, unless it is told its type, in its own way."""
    if isinstance(value, int) and not -(2**31) <= value < 2**31:
        return {"TYPE": "LONG", "VALUE": value}
    return value


def _body(message: ServiceBusReceivedMessage) -> bytes:
    if message.body_type is AmqpMessageBodyType.DATA:
        return b"".join(message.body)
    value = message.body
    return value if isinstance(value, bytes) else str(message).encode()


def _properties(given: Mapping[Any, Any] | None) -> Properties:
    if not given:
        return NO_PROPERTIES
    return {_text(name): _value(value) for name, value in given.items() if value is not None}


def _value(value: object) -> PropertyValue:
    return value if isinstance(value, str | int | float) else _text(value)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def utc(seconds: float) -> datetime.datetime:
    """Seconds since the epoch, as the SDK wants them."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _seconds(time: datetime.datetime | None) -> float:
    return 0.0 if time is None else time.timestamp()
