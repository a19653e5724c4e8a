"""What the doctor says of a namespace and its queues, over AMQP from the emulator."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from azure.core.credentials import AccessToken, AzureNamedKeyCredential
from azure.identity import CredentialUnavailableError
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender
from azure.servicebus.exceptions import ServiceBusAuthorizationError

from boilermaker_fn import Boilermaker
from boilermaker_fn.cli.doctor.checkup import checkup
from boilermaker_fn.cli.doctor.duplicates import drops_duplicates
from boilermaker_fn.cli.doctor.findings import Finding, Level, ok
from boilermaker_fn.cli.doctor.namespace import Namespace, reached, token
from boilermaker_fn.cli.doctor.needs import Needs
from boilermaker_fn.cli.doctor.queues import examined
from boilermaker_fn.emulator import Emulator
from boilermaker_fn.local.queue import Rules
from boilermaker_fn.service_bus import AzureServiceBus
from boilermaker_fn.service_bus.access import Access
from tests.doctor.administration import Identity
from tests.emulated import emulated
from tests.stage import ManualClock

ORDERS, LAKE = "orders", "orders-dead-letters"
DAY = 86_400.0
NEEDS = Needs((ORDERS,), LAKE, longest_delay=300, longest_lock=0)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    queues = {ORDERS: Rules(), LAKE: Rules(), "careless": Rules(duplicate_window=0)}
    async with emulated(queues) as one:
        yield one


def app_on(emulator: Emulator, queue: str = ORDERS, dead_letter_queue: str = LAKE) -> Boilermaker:
    return Boilermaker(
        {},
        AzureServiceBus(
            None, queue, connection_string=emulator.connection_string, dead_letter_queue_name=dead_letter_queue
        ),
    )


async def said(emulator: Emulator, queue: str, needs: Needs = NEEDS) -> list[Finding]:
    async with Namespace(Access(None, None, emulator.connection_string)) as namespace:
        found = await examined(namespace, queue, needs, None)
    assert all(finding.check == f"queue {queue}" for finding in found)
    assert all(finding.remedy for finding in found if finding.level is not Level.OK)
    return found


def unreachable(port: int) -> Namespace:
    return Namespace(
        Access(
            None,
            None,
            f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true;",
        )
    )


# -- the namespace


async def test_a_namespace_that_answers(emulator: Emulator) -> None:
    found = await checkup(app_on(emulator))
    assert [finding.check for finding in found if finding.level is Level.PROBLEM] == []
    texts = [f"{finding.check}: {finding.found}" for finding in found]
    assert f"connection: AMQP on port {emulator.port}, no TLS" in texts
    assert "queue orders: is there, may be sent to and received from, and drops duplicates" in texts
    assert "queue orders-dead-letters: is there, may be sent to and received from, and drops duplicates" in texts


async def test_a_namespace_that_does_not_resolve() -> None:
    found = await checkup(Boilermaker({}, AzureServiceBus("no-such.servicebus.invalid", ORDERS, Identity())))
    (finding,) = [one for one in found if one.level is Level.PROBLEM]
    assert finding.check == "namespace"
    assert finding.found.startswith("no-such.servicebus.invalid does not resolve")
    assert "correct SERVICE_BUS_NAMESPACE_URL" in finding.remedy


async def test_a_port_on_which_nobody_listens(emulator: Emulator) -> None:
    port = emulator.port
    await emulator.close()
    _, finding = await reached(unreachable(port))
    assert (finding.check, finding.level) == ("connection", Level.PROBLEM)
    assert finding.found.startswith(f"127.0.0.1:{port} cannot be reached")
    assert "start it (boilermaker-fn emulator), or correct the port" in finding.remedy


@pytest.mark.parametrize(
    ("answer", "found"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak AMQP"), (b"", "cannot be reached")]
)
async def test_a_port_of_somebody_else(answer: bytes, found: str) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, finding = await reached(unreachable(port))
    assert (finding.check, finding.level) == ("connection", Level.PROBLEM)
    assert found in finding.found


async def test_a_port_without_tls_where_a_namespace_should_be(emulator: Emulator) -> None:
    namespace = Namespace(Access("127.0.0.1", Identity(), None))
    namespace.port = emulator.port
    _, finding = await reached(namespace)
    assert (finding.check, finding.level) == ("connection", Level.PROBLEM)
    assert finding.found.startswith(f"TLS with 127.0.0.1:{emulator.port} fails")


# -- who one is there


class Known(Identity):
    """Somebody whose token says who it is for."""

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        claims = base64.urlsafe_b64encode(json.dumps({"oid": "1234", "appid": "shop"}).encode()).decode().rstrip("=")
        return AccessToken(f"header.{claims}.signature", 2**31)


class Nobody(Identity):
    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        raise CredentialUnavailableError("Azure CLI not found on path")


async def test_a_token_says_who_it_is_for() -> None:
    async with Namespace(Access("shop.servicebus.windows.net", Known(), None)) as namespace:
        finding, principal = await token(namespace)
    assert (finding.level, principal) == (Level.OK, "1234")
    assert finding.found == "for shop, object id 1234"
    async with Namespace(Access("shop.servicebus.windows.net", Identity(), None)) as namespace:
        finding, principal = await token(namespace)  # one that is not readable
    assert (finding.level, principal) == (Level.OK, None)


async def test_no_token() -> None:
    async with Namespace(Access("shop.servicebus.windows.net", Nobody, None)) as namespace:
        finding, _ = await token(namespace)
    assert finding.level is Level.PROBLEM
    assert finding.found == "none for Service Bus: Azure CLI not found on path"
    assert "az login" in finding.remedy


async def test_without_a_token_the_clock_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    async def well(namespace: Namespace) -> list[Finding]:
        return [ok("connection", "AMQP on port 5671, TLSv1.3")]

    monkeypatch.setattr("boilermaker_fn.cli.doctor.checkup.reached", well)  # there is no such namespace here
    found = await checkup(Boilermaker({}, AzureServiceBus("no-such.servicebus.invalid", ORDERS, Nobody)))
    levels = {finding.check: finding.level for finding in found}
    assert (levels["token"], levels["clock"]) == (Level.PROBLEM, Level.WARNING)
    assert not [check for check in levels if check.startswith("queue")]


async def test_its_administration_is_that_of_the_namespace() -> None:
    text = "Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=c2VjcmV0"
    for access in (Access("shop.servicebus.windows.net", Identity, None), Access(None, None, text)):
        async with Namespace(access) as namespace, namespace.administration() as client:
            assert namespace.manageable
            assert client.fully_qualified_namespace == "shop.servicebus.windows.net"
    async with Namespace(
        Access("shop.servicebus.windows.net", AzureNamedKeyCredential("Root", "a"), None)
    ) as namespace:
        assert namespace.keyed
        assert not namespace.manageable


class Elsewhere:
    """An engine that this package does not know."""

    name, queue, dead_letter_queue, transport, table = "Redis", None, None, None, None

    async def close(self) -> None: ...


async def test_an_engine_of_somebody_else() -> None:
    engine: Any = Elsewhere()
    (finding,) = [one for one in await checkup(Boilermaker({}, engine)) if one.check == "engine"]
    assert (finding.level, finding.found) == (Level.WARNING, "Redis is none of this package")


# -- queues


async def test_a_queue_that_is_missing(emulator: Emulator) -> None:
    (finding,) = await said(emulator, "order")
    assert finding.level is Level.PROBLEM
    assert finding.found == "does not exist in 127.0.0.1"
    assert "correct SERVICE_BUS_QUEUE_NAME" in finding.remedy


async def test_a_queue_that_the_connection_string_is_not_for(emulator: Emulator) -> None:
    text = f"{emulator.connection_string}EntityPath={ORDERS};"
    async with Namespace(Access(None, None, text)) as namespace:
        (finding,) = await examined(namespace, LAKE, NEEDS, None)
        (other,) = await examined(namespace, ORDERS, NEEDS, None)
    assert (finding.level, other.level) == (Level.PROBLEM, Level.OK)
    assert finding.found == "is out of reach: the connection string is for 'orders' only (EntityPath)"


async def test_all_queues_of_an_app_are_looked_at(emulator: Emulator) -> None:
    app = app_on(emulator, "careless", "pond")

    @app.task(queue="express")
    async def fast(state: Any) -> None: ...

    problems = [one for one in await checkup(app) if one.level is Level.PROBLEM]
    assert [finding.check for finding in problems] == ["queue careless", "queue express", "queue pond"]
    assert problems[0].found.startswith("keeps duplicates")
    assert {finding.found for finding in problems[1:]} == {"does not exist in 127.0.0.1"}


async def test_queues_that_keep_duplicates(emulator: Emulator) -> None:
    (finding,) = await said(emulator, "careless")
    assert finding.level is Level.PROBLEM
    assert finding.found.startswith("keeps duplicates")
    assert "cannot be switched on later" in finding.remedy
    (finding,) = await said(emulator, "careless", dataclasses.replace(NEEDS, dead_letter_queue="careless"))
    assert finding.level is Level.WARNING


async def test_no_rights(emulator: Emulator) -> None:
    emulator.faults = dataclasses.replace(emulator.faults, refuse_tokens=True)
    sending, receiving = await said(emulator, ORDERS)
    assert sending.level is receiving.level is Level.PROBLEM
    assert sending.found.startswith("sending fails: ServiceBus")
    assert receiving.found.startswith("receiving fails: ServiceBus")
    assert "Send and Listen" in sending.remedy


async def test_a_missing_right_is_named_with_the_command_that_gives_it(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(self: ServiceBusSender) -> None:
        raise ServiceBusAuthorizationError(message="Unauthorized access. 'Send' claim(s) are required")

    monkeypatch.setattr(ServiceBusSender, "__aenter__", refused)  # the emulator gives all rights or none
    async with Namespace(Access(None, None, emulator.connection_string)) as namespace:
        namespace.credential = Identity()
        namespace.host = "shop.servicebus.windows.net"
        (finding,) = await examined(namespace, ORDERS, NEEDS, "1234")
    assert finding.found.startswith("sending fails: ServiceBusAuthorizationError: Unauthorized access. 'Send'")
    assert finding.remedy.startswith("give Azure Service Bus Data Owner")
    assert (
        'az role assignment create --assignee-object-id 1234 --role "Azure Service Bus Data Owner" --scope $(az '
        "servicebus queue show --resource-group <group> --namespace-name shop --name orders --query id --output tsv)"
    ) in finding.remedy


# -- the probe for duplicates


@asynccontextmanager
async def links(emulator: Emulator, queue: str) -> AsyncIterator[tuple[ServiceBusSender, ServiceBusReceiver]]:
    async with (
        ServiceBusClient.from_connection_string(emulator.connection_string, retry_total=0) as client,
        client.get_queue_sender(queue) as sender,
        client.get_queue_receiver(queue) as receiver,
    ):
        yield sender, receiver


@pytest.mark.parametrize(("queue", "dropped"), [(ORDERS, True), ("careless", False)])
async def test_the_probe_leaves_nothing(queue: str, dropped: bool, emulator: Emulator) -> None:
    async with links(emulator, queue) as (sender, receiver):
        assert await drops_duplicates(sender, receiver) is dropped
        assert await receiver.peek_messages(10, sequence_number=1) == []


@pytest.mark.parametrize("calls", [1, 2])
async def test_the_probe_leaves_nothing_when_it_is_interrupted(
    calls: int, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted when the service has the message and has not answered yet: the worst moment."""
    schedule, sent = ServiceBusSender.schedule_messages, []

    async def interrupted(self: ServiceBusSender, *arguments: Any) -> list[int]:
        sent.append(arguments)
        if len(sent) == calls:
            probe.cancel()
        return await schedule(self, *arguments)

    monkeypatch.setattr(ServiceBusSender, "schedule_messages", interrupted)
    async with links(emulator, "careless") as (sender, receiver):
        probe = asyncio.create_task(drops_duplicates(sender, receiver))
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert len(sent) == 2
        assert await receiver.peek_messages(10, sequence_number=1) == []


async def test_a_probe_that_was_left_behind_runs_as_a_task_that_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def kept(self: ServiceBusSender, *numbers: int) -> None: ...

    monkeypatch.setattr(ServiceBusSender, "cancel_scheduled_messages", kept)  # as if it had been killed
    clock = ManualClock()
    async with emulated({ORDERS: Rules(), LAKE: Rules()}, clock=clock) as emulator:
        async with links(emulator, ORDERS) as (sender, receiver):
            await drops_duplicates(sender, receiver)
            (left,) = await receiver.peek_messages(10, sequence_number=1)
        clock.now = time.time() + 2 * DAY
        app = app_on(emulator)
        inbox = app.shell.wiring.engine.inbox(ORDERS)
        (delivery,) = await inbox.receive(1, 5)
        assert delivery.message_id == left.message_id
        await app.shell.runner().handle(delivery)
        assert await app.shell.wiring.engine.inbox(LAKE).peek(1) == []
        await app.close()


async def test_a_service_that_is_busy(emulator: Emulator) -> None:
    emulator.faults = dataclasses.replace(emulator.faults, busy=True)
    (finding,) = await said(emulator, ORDERS)
    assert finding.level is Level.PROBLEM
    assert finding.found.startswith("scheduling and cancelling a message fails: ServiceBusServerBusyError")
