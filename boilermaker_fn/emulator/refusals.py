"""How does the emulator say no? With the conditions that Service Bus uses, which its SDKs turn into exceptions."""

from __future__ import annotations

import logging
from typing import Final

from ..errors import BoilermakerError, LockLost, StoreUnavailable
from .amqp.composites import encode_performative
from .amqp.performatives import Error, Rejected
from .amqp.values import Malformed, Symbol
from .broker import MessageNotFound, NotAllowed, UnknownQueue

logger = logging.getLogger(__name__)

NOT_FOUND: Final = Symbol("amqp:not-found")
NOT_ALLOWED: Final = Symbol("amqp:not-allowed")
NOT_IMPLEMENTED: Final = Symbol("amqp:not-implemented")
INVALID_FIELD: Final = Symbol("amqp:invalid-field")
DECODE_ERROR: Final = Symbol("amqp:decode-error")
INTERNAL_ERROR: Final = Symbol("amqp:internal-error")
UNAUTHORIZED: Final = Symbol("amqp:unauthorized-access")
LIMIT_EXCEEDED: Final = Symbol("amqp:resource-limit-exceeded")
FRAMING_ERROR: Final = Symbol("amqp:connection:framing-error")
CONNECTION_FORCED: Final = Symbol("amqp:connection:forced")
UNATTACHED_HANDLE: Final = Symbol("amqp:session:unattached-handle")
HANDLE_IN_USE: Final = Symbol("amqp:session:handle-in-use")
DETACH_FORCED: Final = Symbol("amqp:link:detach-forced")
MESSAGE_TOO_LARGE: Final = Symbol("amqp:link:message-size-exceeded")
SERVER_BUSY: Final = Symbol("com.microsoft:server-busy")
LOCK_LOST: Final = Symbol("com.microsoft:message-lock-lost")
MESSAGE_NOT_FOUND: Final = Symbol("com.microsoft:message-not-found")
ARGUMENT_ERROR: Final = Symbol("com.microsoft:argument-error")

_CONDITIONS: Final[dict[type[Exception], Symbol]] = {
    UnknownQueue: NOT_FOUND,
    NotAllowed: NOT_ALLOWED,
    LockLost: LOCK_LOST,
    MessageNotFound: MESSAGE_NOT_FOUND,
    StoreUnavailable: SERVER_BUSY,
    Malformed: DECODE_ERROR,
}

_STATUSES: Final[dict[Symbol, int]] = {
    NOT_FOUND: 404,
    NOT_ALLOWED: 400,
    NOT_IMPLEMENTED: 501,
    DECODE_ERROR: 400,
    UNAUTHORIZED: 401,
    SERVER_BUSY: 503,
    LOCK_LOST: 410,
    MESSAGE_NOT_FOUND: 404,
    ARGUMENT_ERROR: 400,
}


class Refused(BoilermakerError):
    """A client is told no. `error` is what it reads; raised while a frame is read, it ends the connection."""

    def __init__(self, condition: Symbol, description: str) -> None:
        super().__init__(f"{condition}: {description}")
        self.error = Error(condition, description)


def error_of(exception: Exception) -> Error:
    """What a client is told when this was raised. What nobody has foreseen is logged as well."""
    if isinstance(exception, Refused):
        return exception.error
    condition = _CONDITIONS.get(type(exception))
    if condition is None:
        logger.error("the emulator has a defect", exc_info=exception)
        return Error(INTERNAL_ERROR, f"{type(exception).__name__}: {exception}")
    return Error(condition, str(exception))


def rejected(error: Error) -> bytes:
    """The encoded outcome that tells an error."""
    return encode_performative(Rejected(error))


def status_of(condition: Symbol) -> int:
    """The HTTP status that says the same in an answer to a request."""
    return _STATUSES.get(condition, 500)
