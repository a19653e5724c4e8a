"""What travels through a queue, and how it is named.

Times are seconds since the epoch. Message ids are deterministic: whoever repeats a step sends the same id, and
the queue's duplicate detection drops the second one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

PropertyValue: TypeAlias = str | int | float | bool
Properties: TypeAlias = Mapping[str, PropertyValue]

NO_PROPERTIES: Final[Properties] = MappingProxyType({})

#: The broker sets messages aside under this name, below the queue they came from.
DEAD_LETTER_SUFFIX: Final = "/$deadletterqueue"

# Properties with which Service Bus says why it set a message aside; ours say it the same way.
DEAD_LETTER_REASON: Final = "DeadLetterReason"
DEAD_LETTER_DESCRIPTION: Final = "DeadLetterErrorDescription"

#: W3C trace context, as boilermaker-servicebus and the Azure SDKs name it.
TRACEPARENT: Final = "traceparent"

# Counters that travel beside the body, so that a body we cannot read in full is passed on untouched.
POSTPONED: Final = "boilermaker_postponed"
POSTPONED_UNKNOWN: Final = "boilermaker_postponed_unknown"
REDELIVERED: Final = "boilermaker_redelivered"
#: Why the broker gave the message up; whoever gets it records that and runs nothing.
GIVEN_UP: Final = "boilermaker_given_up"

#: How the body of a graph's message begins; no envelope of a task does.
GRAPH_BODY: Final = b'{"graph":'

#: What Service Bus takes in its Standard tier: body and properties, the properties alone (both in bytes), and the id.
MAX_MESSAGE_BYTES: Final = 262_144
MAX_PROPERTIES_BYTES: Final = 65_536
MAX_ID_CHARACTERS: Final = 128

#: How many bytes of properties go on with a message that is sent again: a queue takes 64 KiB, and ours need room.
MAX_CARRIED: Final = 16 * 1024

# Separates what we append to a task id; no task id contains it (see ids.py).
_SEPARATOR: Final = "/"


class Message(NamedTuple):
    """One message to send to `queue`. `not_before` schedules it, `expires_at` lets the broker drop it."""

    queue: str
    message_id: str
    body: bytes
    not_before: float | None = None
    expires_at: float | None = None
    properties: Properties = NO_PROPERTIES


def _no_properties() -> Properties:
    # As a default value it would be refused: before Python 3.12 a mapping proxy has no hash.
    return NO_PROPERTIES


@dataclass(frozen=True, slots=True)
class Delivery:
    """One time a queue handed a message over.

    `delivery_count` is 1 the first time. `lock_token` names the lock, which ends at `locked_until`; both are empty
    where the host holds the lock for us.
    """

    queue: str
    message_id: str
    body: bytes
    sequence_number: int
    delivery_count: int
    enqueued_at: float = 0.0
    properties: Properties = field(default_factory=_no_properties)
    locked_until: float = 0.0
    lock_token: str = ""


def attempt_id(task_id: str, generation: int, attempts_before: int) -> str:
    """The id of the message for one attempt: the task id itself for the first one."""
    if generation == 0 and attempts_before == 0:
        return task_id
    return f"{task_id}{_SEPARATOR}{generation}{_SEPARATOR}{attempts_before}"


def postponed_id(message_id: str, times: int) -> str:
    """The id of a message put off for the `times`-th time; `message_id` is the one it would have otherwise."""
    return f"{message_id}{_SEPARATOR}p{times}"


def dead_letter_id(message_id: str) -> str:
    """The id of the dead letter that a message leaves."""
    return f"{message_id}{_SEPARATOR}dead"


def carried(properties: Properties) -> dict[str, PropertyValue]:
    """The properties that go on when their message is sent again: ours, and as many others as fit, small ones first."""
    kept: dict[str, PropertyValue] = {}
    room = MAX_CARRIED
    for name in sorted(properties, key=lambda name: (name not in _ALWAYS_CARRIED, _size(name, properties[name]))):
        size = _size(name, properties[name])
        if size <= room:
            kept[name] = properties[name]
            room -= size
    return kept


def refusal(message: Message, limit: int = MAX_MESSAGE_BYTES) -> str | None:
    """Why Service Bus would refuse a message, or None; `limit` is how many bytes its body and properties may have."""
    if len(message.message_id) > MAX_ID_CHARACTERS:
        return f"its id has {len(message.message_id)} characters, at most {MAX_ID_CHARACTERS} fit"
    properties = sum(_size(name, value) for name, value in message.properties.items())
    if properties > MAX_PROPERTIES_BYTES:
        return f"its properties have {properties} bytes, at most {MAX_PROPERTIES_BYTES} fit"
    size = properties + len(message.body)
    if size > limit:
        return f"it has {size} bytes, at most {limit} fit: send a reference instead of the data"
    return None


def origin_of(queue: str) -> str:
    """The queue that a dead-letter sub-queue belongs to; any other queue is its own."""
    return queue.removesuffix(DEAD_LETTER_SUFFIX)


def task_id_of(message_id: str) -> str:
    """The task a message id belongs to."""
    return message_id.split(_SEPARATOR, 1)[0]


# Whatever strangers put beside them: without its counters a message could be put off for ever.
_ALWAYS_CARRIED: Final = frozenset({TRACEPARENT, POSTPONED, POSTPONED_UNKNOWN, REDELIVERED, GIVEN_UP})


def _size(name: str, value: PropertyValue) -> int:
    return len(name.encode(errors="replace")) + len(str(value).encode(errors="replace"))
