"""What does an error of the SDK mean, and what can be done about it?"""

from __future__ import annotations

import socket
from typing import Final

from azure.core.exceptions import ClientAuthenticationError
from azure.servicebus import exceptions as sdk

from ..errors import QueueNotFound, QueueUnavailable

#: All that an operation of the SDK may raise for what is beyond the program: everything else is a bug.
FAILURES: Final = (sdk.ServiceBusError, ClientAuthenticationError, OSError, TimeoutError, ValueError)

#: The lock of a message is no longer ours.
LOST: Final = (sdk.MessageLockLostError, sdk.MessageAlreadySettled, sdk.MessageNotFoundError)
#: After these a link is as good as before.
HARMLESS: Final = (*LOST, sdk.ServiceBusServerBusyError)

# Where they come from, so that nobody has to look for it.
_NAMESPACE: Final = "SERVICE_BUS_NAMESPACE_URL or ServiceBusConnection__fullyQualifiedNamespace"
_UNRESOLVED: Final = f"the host name {{host}} does not resolve: correct {_NAMESPACE}, or its private DNS zone"
_NO_QUEUE: Final = (
    "there is no such queue in {host}: create it, or correct the name (SERVICE_BUS_QUEUE_NAME, DEAD_LETTER_QUEUE_NAME, "
    "queue=)"
)
#: By kind of error, the most special first: whether it passes by itself, what it is, and what to do.
_MEANINGS: Final[tuple[tuple[type[BaseException], bool, str], ...]] = (
    (sdk.MessagingEntityNotFoundError, False, _NO_QUEUE),
    (
        sdk.MessagingEntityDisabledError,
        False,
        "it is disabled: enable it (its status in the portal), for receiving and for sending",
    ),
    (
        sdk.ServiceBusAuthorizationError,
        False,
        "no right to use it: give the identity this runs as the role Azure Service Bus Data Sender (to publish) or "
        "Azure Service Bus Data Owner (to run tasks) on the queue; a new role takes some minutes to work",
    ),
    (
        sdk.ServiceBusAuthenticationError,
        False,
        "{host} did not accept the credential: check the key, that the token is for this tenant, and that the "
        "namespace allows keys at all (disableLocalAuth)",
    ),
    (
        ClientAuthenticationError,
        False,
        "there is no token for {host}: sign in (az login), or in the cloud check the identity and AZURE_CLIENT_ID",
    ),
    (
        sdk.ServiceBusQuotaExceededError,
        False,
        "it is full, or the namespace has too many connections: run or purge what is in it, or raise its size",
    ),
    (sdk.MessagingEntityAlreadyExistsError, False, "it exists already"),
    (sdk.ServiceBusServerBusyError, True, "{host} is busy and throttles: publish in batches, or raise its tier"),
    (sdk.OperationTimeoutError, True, "{host} did not answer in time: try again"),
    (
        sdk.ServiceBusConnectionError,
        True,
        "the connection to {host} failed: try again; if it stays so, check network, firewall (AMQP uses port 5671) "
        "and private endpoint",
    ),
    (
        sdk.ServiceBusCommunicationError,
        True,
        "{host} cannot be reached: check network, firewall (AMQP uses port 5671) and private endpoint",
    ),
    (sdk.MessageSizeExceededError, False, "the message is too large: send a reference instead of the data"),
    (sdk.MessageLockLostError, False, "the lock of the message is lost: it is delivered again"),
    (sdk.MessageAlreadySettled, False, "the message is settled already"),
    (sdk.MessageNotFoundError, False, "it has no such message: it was run, cancelled, or set aside"),
    (sdk.SessionLockLostError, False, "it works with sessions: create it without them"),
    (sdk.SessionCannotBeLockedError, False, "it works with sessions: create it without them"),
    (OSError, True, "{host} cannot be reached: check network, firewall and private endpoint"),
    # How the SDK fails when a link is closed under its hands.
    (ValueError, True, "the link to {host} was closed meanwhile: try again"),
    (AttributeError, True, "the link to {host} was closed meanwhile: try again"),
)
#: Of the ways in which a name does not resolve, this one passes by itself.
_RESOLVER_DOWN: Final = socket.EAI_AGAIN


def explained(error: BaseException, queue: str, host: str) -> QueueUnavailable:
    """The error as one of ours, with its remedy; `host` is that of the namespace."""
    causes = _causes(error)
    if any(isinstance(cause, socket.gaierror) and cause.errno != _RESOLVER_DOWN for cause in causes):
        return _made(error, queue, host, False, _UNRESOLVED)
    # An error that wraps another says less than that one, and one of no special kind says least.
    for cause in causes:
        for kind, passing, meaning in _MEANINGS:
            if isinstance(cause, kind):
                if kind is sdk.ServiceBusAuthenticationError and _names_no_queue(causes):
                    meaning = _NO_QUEUE
                return _made(error, queue, host, passing, meaning)
    return _made(error, queue, host, getattr(error, "_retryable", False), "{host} refused")


def _made(error: BaseException, queue: str, host: str, passing: bool, meaning: str) -> QueueUnavailable:
    kind = QueueNotFound if meaning is _NO_QUEUE else QueueUnavailable
    failure = kind(queue, f"{meaning.format(host=host)} ({_said(error)})", passing=passing)
    failure.__cause__ = error
    return failure


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what it was made from, as the SDK keeps them: in `inner_exception` and `inner_error`."""
    found: list[BaseException] = []
    pending: list[object] = [error]
    while pending:
        one = pending.pop(0)
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            pending += [getattr(one, "inner_exception", None), getattr(one, "inner_error", None), one.__cause__]
    return found


def _names_no_queue(causes: list[BaseException]) -> bool:
    """With a key, a queue that does not exist is refused when the token for it is handed in."""
    return any(getattr(cause, "status_code", None) == 404 for cause in causes)


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
