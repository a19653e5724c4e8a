"""What does a user read when Service Bus fails? Every kind of error that the SDK documents, as one of ours."""

from __future__ import annotations

import asyncio
import inspect
import socket
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.servicebus import ServiceBusMessageBatch
from azure.servicebus import exceptions as sdk
from azure.servicebus._pyamqp.error import AMQPConnectionError, ErrorCondition, TokenAuthFailure
from azure.servicebus.aio import ServiceBusSender

from boilermaker_fn.errors import NotSent, QueueUnavailable
from boilermaker_fn.local.queue import Rules
from boilermaker_fn.messages import Message
from boilermaker_fn.service_bus import AzureServiceBus, outbox
from boilermaker_fn.service_bus.failures import FAILURES, explained
from tests.emulated import emulated

HOST = "ns.servicebus.windows.net"
ALL = [
    kind
    for _, kind in inspect.getmembers(sdk, inspect.isclass)
    if issubclass(kind, sdk.ServiceBusError | sdk.MessageAlreadySettled)
    and kind.__name__ not in {"ServiceBusError", "AutoLockRenewFailed", "AutoLockRenewTimeout"}  # the base; not used
]
PASSING = {
    "OperationTimeoutError",
    "ServiceBusCommunicationError",
    "ServiceBusConnectionError",
    "ServiceBusServerBusyError",
}
SAYS = {
    "MessagingEntityNotFoundError": "SERVICE_BUS_QUEUE_NAME",
    "MessagingEntityDisabledError": "enable it",
    "ServiceBusAuthorizationError": "Azure Service Bus Data Sender",
    "ServiceBusAuthenticationError": "credential",
    "ServiceBusQuotaExceededError": "full",
    "ServiceBusServerBusyError": "throttles",
    "ServiceBusConnectionError": "5671",
    "ServiceBusCommunicationError": "firewall",
    "OperationTimeoutError": "in time",
    "MessageSizeExceededError": "reference",
    "MessageLockLostError": "lock",
    "SessionLockLostError": "sessions",
    "SessionCannotBeLockedError": "sessions",
}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_documented_kind_has_a_meaning(kind):
    error = kind()
    assert isinstance(error, FAILURES)
    failure = explained(error, "orders", HOST)
    assert failure.__cause__ is error
    assert failure.passing is (kind.__name__ in PASSING)
    assert "'orders'" in str(failure)
    assert "refused" not in str(failure).split("(")[0]  # no kind is explained by the last resort
    assert SAYS.get(kind.__name__, "") in str(failure)


def wrapped(error: Exception) -> sdk.ServiceBusError:
    """As the SDK hands on what it did not expect."""
    return sdk.ServiceBusError(message=f"Handler failed: {error}.", error=error)


def unresolved(number: int) -> sdk.ServiceBusError:
    lost = AMQPConnectionError(ErrorCondition.SocketError, error=socket.gaierror(number, "no address"))
    return sdk.ServiceBusConnectionError(error=lost)


@pytest.mark.parametrize(
    ("error", "passing", "says"),
    [
        (ClientAuthenticationError("no accounts"), False, "az login"),
        (wrapped(ClientAuthenticationError("no accounts")), False, "az login"),
        (OSError("unreachable"), True, "cannot be reached"),
        (TimeoutError(), True, "cannot be reached"),
        (wrapped(ConnectionResetError("reset")), True, "cannot be reached"),
        (wrapped(AttributeError("'NoneType' object has no attribute '_link'")), True, "try again"),
        (unresolved(socket.EAI_NONAME), False, "does not resolve"),
        (unresolved(socket.EAI_AGAIN), True, "the connection"),
        (sdk.ServiceBusAuthenticationError(error=TokenAuthFailure(404, b"not found")), False, "no such queue"),
        (sdk.ServiceBusAuthenticationError(error=TokenAuthFailure(401, b"no")), False, "disableLocalAuth"),
        (sdk.ServiceBusError("argument"), False, "argument"),
    ],
)
def test_what_an_error_was_made_from_says_more(error, passing, says):
    failure = explained(error, "orders", HOST)
    assert (failure.passing, says in str(failure)) == (passing, True), failure


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
async def test_whatever_the_sdk_raises_the_caller_learns_what_was_not_sent(kind, monkeypatch):
    async def fail(*_: object, **options: object) -> None:
        raise kind()

    monkeypatch.setattr(outbox, "_PATIENCE", 0.0)
    async with emulated({"orders": Rules()}) as emulator:
        bus = AzureServiceBus(connection_string=emulator.connection_string)
        monkeypatch.setattr(ServiceBusSender, "send_messages", fail)
        with pytest.raises(NotSent) as caught:
            await bus.transport.send([Message("orders", name, b"{}") for name in "ab"])
        await bus.close()
    assert [name for name, _ in caught.value.failures] == ["a", "b"]
    assert all(isinstance(error, QueueUnavailable) for _, error in caught.value.failures)


async def test_one_refused_message_takes_no_others_along(monkeypatch):
    real = ServiceBusSender.send_messages

    async def choosy(self: ServiceBusSender, payload: Any, **options: object) -> None:
        if isinstance(payload, ServiceBusMessageBatch) or payload.properties.message_id == "bad":
            raise sdk.ServiceBusError("a message is malformed")
        await real(self, payload, **options)

    monkeypatch.setattr(ServiceBusSender, "send_messages", choosy)
    async with emulated({"orders": Rules()}) as emulator:
        bus = AzureServiceBus(connection_string=emulator.connection_string)
        with pytest.raises(NotSent) as caught:
            await asyncio.wait_for(
                bus.transport.send([Message("orders", name, b"{}") for name in ("a", "bad", "b")]), 60
            )
        assert [delivery.message_id for delivery in await bus.inbox("orders").peek(10)] == ["a", "b"]
        await bus.close()
    assert [name for name, _ in caught.value.failures] == ["bad"]
