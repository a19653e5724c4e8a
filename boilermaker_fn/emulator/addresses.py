"""What does an address of a link name? A queue, a queue's management, or the place where tokens are put."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from .amqp.values import Value
from .refusals import NOT_FOUND, NOT_IMPLEMENTED, Refused

_MANAGEMENT: Final = "/$management"
_CBS: Final = "$cbs"


class Kind(Enum):
    """What is behind an address."""

    QUEUE = auto()
    MANAGEMENT = auto()
    CBS = auto()


class Address(NamedTuple):
    """What an address names; `queue` is a queue's name, with `/$deadletterqueue` for what was set aside from it."""

    kind: Kind
    queue: str


def parsed(address: Value) -> Address:
    """Read an address, a path or a whole URI. Raises Refused for what Service Bus has and the emulator has not."""
    if not isinstance(address, str) or not address:
        raise Refused(NOT_FOUND, f"a link needs the name of a queue as its address, not {address!r}")
    path = unquote(urlsplit(address).path if "://" in address else address).strip("/")
    lower = path.lower()
    if lower == _CBS:
        return Address(Kind.CBS, "")
    if "/subscriptions/" in lower:
        raise Refused(NOT_IMPLEMENTED, f"{path!r}: the emulator has no topics and subscriptions, only queues")
    if "$transfer" in lower:
        raise Refused(NOT_IMPLEMENTED, f"{path!r}: the emulator forwards nothing, so it has no transfer queues")
    if lower.endswith(_MANAGEMENT):
        return Address(Kind.MANAGEMENT, path[: -len(_MANAGEMENT)])
    return Address(Kind.QUEUE, path)
