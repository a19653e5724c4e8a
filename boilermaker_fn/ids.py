"""How are tasks named? UUIDv7: unique, and sorted by the time they were made."""

from __future__ import annotations

import re
import sys
from typing import Final, NewType

TaskId = NewType("TaskId", str)
GraphId = NewType("GraphId", str)

#: Marks a task that was never given an id of its own; it cannot be published.
NullTaskId = TaskId("00000000-0000-0000-0000-000000000000")

#: Longest task id in characters: a message id may have 128, and we append generation, attempt and postponements.
MAX_ID_LENGTH = 96

# Not allowed in a key of Azure Table Storage, or our own separator in message ids.
_FORBIDDEN: Final = r'[/\\#?%"\x00-\x1f\x7f-\x9f\ud800-\udfff]'

_QUEUE: Final = r"(?=.{1,260}$)[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?"


def new_task_id() -> TaskId:
    """A new UUIDv7 as text."""
    # Imported here: whoever only runs tasks makes no ids.
    if sys.version_info >= (3, 14):
        from uuid import uuid7
    else:
        from uuid_utils import uuid7
    return TaskId(str(uuid7()))


def problem_with_id(given: object, name: str = "task_id", longest: int = MAX_ID_LENGTH) -> str | None:
    """Why what was given cannot be an id, or None if it can; `name` is what the message calls it."""
    if not isinstance(given, str):
        return f"{name} is {given!r}: it must be a text"
    if not 1 <= len(given) <= longest:
        return f"{name} has {len(given)} characters: it must have 1 to {longest}"
    bad = sorted(set(re.findall(_FORBIDDEN, given)))
    if bad:
        return f"{name} {given!r} contains {', '.join(map(repr, bad))}: use letters, digits and -_.:"
    return None


def same_queue(one: str, other: str) -> bool:
    """Whether two names are those of one queue: Service Bus does not tell capitals from small letters."""
    return one.lower() == other.lower()


def problem_with_queue(queue: object) -> str | None:
    """Why `queue` cannot name a queue, or None if it can (the rules are those of Service Bus)."""
    if not isinstance(queue, str) or not re.fullmatch(_QUEUE, queue):
        return (
            f"is {queue!r}: the name of a queue has 1 to 260 letters, digits and ._-/ and begins and ends with a "
            "letter or digit"
        )
    return None
