"""What does a task that is given up leave behind? A dead letter that always fits and says why.

Ours carry the two properties that Service Bus itself sets, and the error, the attempt and the origin beside them, so
that one look tells what failed. If it would not fit into a message the traceback is cut first and the body last.
"""

from __future__ import annotations

import datetime
from typing import Final

from .messages import (
    DEAD_LETTER_DESCRIPTION,
    DEAD_LETTER_REASON,
    Delivery,
    Message,
    PropertyValue,
    carried,
    dead_letter_id,
    origin_of,
)
from .outcomes import ErrorInfo

MAX_DESCRIPTION: Final = 4096  # what Service Bus takes for its own two properties, in characters
MAX_REASON: Final = 256
MAX_TRACEBACK: Final = 16_384
#: Left for the names of the properties, the headers and what the service adds, in bytes.
OVERHEAD: Final = 4_096


def dead_letter(
    delivery: Delivery,
    *,
    message_id: str,
    queue: str,
    limit: int,
    reason: str,
    error: ErrorInfo,
    now: float,
    task_id: str = "",
    function: str = "",
    attempt: int = 0,
) -> Message:
    """The dead letter for `delivery`, to be sent to `queue`; at most `limit` bytes, `now` in seconds."""
    properties: dict[str, PropertyValue] = {
        **{name: value for name, value in carried(delivery.properties).items() if name not in _OURS},
        DEAD_LETTER_REASON: reason[:MAX_REASON],
        DEAD_LETTER_DESCRIPTION: f"{error.type}: {error.message}"[:MAX_DESCRIPTION],
        "error_type": error.type[:256],
        "task_id": task_id,
        "function": function[:256],
        "attempt": attempt,
        "origin": origin_of(delivery.queue),
        "origin_message_id": delivery.message_id,
        "failed_at": datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(),
    }
    body, traceback = delivery.body, _tail(error.traceback, MAX_TRACEBACK)
    room = limit - OVERHEAD - sum(_size(name, value) for name, value in properties.items())
    traceback = _tail(traceback, max(0, room - len(body)))
    if traceback:
        properties["traceback"] = traceback
    if len(body) > room:
        properties["original_size"] = len(body)
        body = body[: max(0, room)]
    return Message(queue=queue, message_id=dead_letter_id(message_id), body=body, properties=properties)


_OURS = {"traceback", "original_size"}


def _size(name: str, value: PropertyValue) -> int:
    return len(name) + (len(value.encode(errors="replace")) if isinstance(value, str) else 8) + 8


def _tail(text: str, size: int) -> str:
    """The last `size` bytes of a text: in a traceback the end says most."""
    encoded = text.encode(errors="replace")
    return text if len(encoded) <= size else encoded[len(encoded) - size :].decode(errors="ignore")
