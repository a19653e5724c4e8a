"""Does sending over the real SDK keep its promises? Counted on the wire, between the SDK and the emulator."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest
from azure.core.credentials import AccessToken

from boilermaker_fn import Boilermaker
from boilermaker_fn.emulator import Emulator
from boilermaker_fn.emulator.faults import Faults
from boilermaker_fn.errors import NotSent, QueueUnavailable
from boilermaker_fn.local.queue import Rules
from boilermaker_fn.messages import Message
from boilermaker_fn.service_bus import AzureServiceBus, outbox, sender_link
from boilermaker_fn.service_bus.sender_link import Upkeep
from tests.emulated import emulated
from tests.proxies import Proxy
from tests.wire.operations import CountedLine, Operations

QUEUES = {"orders": Rules(), "bills": Rules()}


class Wire(Proxy):
    """What passes between the client and the emulator."""

    def __init__(self, port: int) -> None:
        super().__init__(port, lambda: CountedLine(self.operations))
        self.operations = Operations()

    def cut(self) -> None:
        """End all connections; new ones work."""
        for connection in self._connections:
            connection.cancel()

    @property
    def links(self) -> int:
        """How often a link to send to `orders` was attached."""
        return self.operations.attached["orders"]


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with emulated(QUEUES) as emulator:
        yield emulator


@pytest.fixture
async def wire(emulator: Emulator) -> AsyncIterator[Wire]:
    async with Wire(emulator.port) as wire:
        yield wire


@pytest.fixture
async def connection(emulator: Emulator, wire: Wire) -> str:
    return wire.through(emulator.connection_string)


@pytest.fixture
async def bus(connection: str) -> AsyncIterator[AzureServiceBus]:
    bus = AzureServiceBus(connection_string=connection)
    yield bus
    await bus.close()


def message(message_id: str, *, queue: str = "orders", body: bytes = b"{}", **options) -> Message:
    return Message(queue, message_id, body, **options)


async def ids_in(emulator: Emulator, queue: str = "orders") -> list[str]:
    """What is in a queue, seen by a client of its own."""
    other = AzureServiceBus(connection_string=emulator.connection_string)
    try:
        return [delivery.message_id for delivery in await other.inbox(queue).peek(10_000)]
    finally:
        await other.close()


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


# Few operations


async def test_what_is_sent_at_the_same_time_shares_batches(bus, wire, emulator):
    await bus.transport.send([message("first")])
    wire.operations.sends = 0
    await asyncio.gather(*(bus.transport.send([message(f"m{number}")]) for number in range(200)))
    assert wire.operations.sends == 1
    assert sorted(await ids_in(emulator)) == sorted(["first", *(f"m{number}" for number in range(200))])


async def test_what_comes_while_a_batch_is_under_way_makes_the_next_one(bus, wire):
    async def producer(name: str) -> None:
        for number in range(20):
            await bus.transport.send([message(f"{name}/{number}")])

    await asyncio.gather(*(producer(f"p{number}") for number in range(16)))
    assert wire.operations.sent == 16 * 20
    assert wire.operations.sends <= 2 * 20
    assert wire.links == 1


async def test_one_call_is_one_batch_for_each_queue(bus, wire):
    await bus.transport.send([message("a"), message("b", queue="bills"), message("c"), message("d", queue="bills")])
    assert (wire.operations.sends, wire.operations.sent) == (2, 4)


async def test_a_delay_costs_no_operation_of_its_own(bus, wire, emulator):
    numbers = await bus.transport.send([message("later", not_before=time.time() + 600), message("now")])
    assert numbers == {}
    assert wire.operations.sends == 1
    assert not wire.operations.managed
    assert await ids_in(emulator) == ["later", "now"]


async def test_numbers_are_told_of_what_is_scheduled_if_asked_for(bus, wire, emulator):
    due = time.time() + 600
    numbers = await bus.transport.send(
        [message("a", not_before=due), message("b"), message("c", not_before=due)], numbered=True
    )
    inbox = bus.inbox("orders")
    found = {delivery.message_id: delivery.sequence_number for delivery in await inbox.peek(10)}
    assert numbers == {name: found[name] for name in ("a", "c")}
    assert wire.operations.managed["com.microsoft:schedule-message"] == 1
    again = await bus.transport.send([message("a", not_before=due)], numbered=True)
    assert again["a"] not in found.values()  # a duplicate gets a number that is nobody's
    assert len(await inbox.peek(10)) == 3


async def test_tasks_with_one_delay_are_scheduled_by_one_operation(bus, wire):
    app = Boilermaker(None, bus)

    @app.task()
    async def fry(state: None, number: int) -> None: ...

    handles = await app.options(delay=600, queue="orders").publish_many([app.create_task(fry, n) for n in range(10)])
    assert wire.operations.managed["com.microsoft:schedule-message"] == 1
    assert len({handle.sequence_number for handle in handles}) == 10


# Sizes


async def test_more_than_a_batch_goes_in_several(bus, wire, emulator):
    sent = [message(f"m{number}", body=bytes(100_000)) for number in range(10)]
    await bus.transport.send(sent)
    assert (wire.operations.sends, wire.operations.sent) == (5, 10)
    assert await ids_in(emulator) == [one.message_id for one in sent]


async def test_what_fits_alone_only_goes_alone(bus, wire, emulator):
    large = bytes(bus.transport.max_message_bytes)
    await bus.transport.send([message("a"), message("large", body=large), message("b")])
    assert wire.operations.sends == 2
    assert sorted(await ids_in(emulator)) == ["a", "b", "large"]


async def test_what_is_too_large_on_the_wire_only_fails_alone(bus, emulator):
    many = {f"{number:05}": 1 for number in range(10_000)}
    with pytest.raises(NotSent) as caught:
        await bus.transport.send([message("a"), message("large", body=bytes(200_000), properties=many), message("b")])
    ((name, error),) = caught.value.failures
    assert name == "large"
    assert "262144 bytes" in str(error)
    assert sorted(await ids_in(emulator)) == ["a", "b"]


async def test_what_amqp_cannot_hold_fails_alone(bus, emulator):
    with pytest.raises(NotSent) as caught:
        await bus.transport.send([message("a"), message("huge", properties={"number": 2**64}), message("\ud800")])
    assert sorted(name for name, _ in caught.value.failures) == ["huge", "\ud800"]
    assert await ids_in(emulator) == ["a"]


async def test_a_life_shorter_than_a_second_is_kept(bus):
    await bus.transport.send([message("a", expires_at=time.time() + 0.3), message("b", expires_at=time.time() - 5)])
    await asyncio.sleep(0.4)
    assert await bus.inbox("orders").receive(10, 0) == []


# Failures


async def failure_of(sending) -> QueueUnavailable:
    with pytest.raises(NotSent) as caught:
        await sending
    assert [name for name, _ in caught.value.failures] == ["a", "b"]
    (error,) = {error for _, error in caught.value.failures}
    assert isinstance(error, QueueUnavailable)
    return error


async def test_a_wrong_queue_name_is_said_at_once(bus):
    async with asyncio.timeout(15):
        error = await failure_of(bus.transport.send([message("a", queue="odrers"), message("b", queue="odrers")]))
    assert not error.passing
    assert "'odrers'" in str(error)
    assert "SERVICE_BUS_QUEUE_NAME" in str(error)


async def test_other_queues_get_theirs(bus, emulator):
    with pytest.raises(NotSent) as caught:
        await bus.transport.send([message("a", queue="odrers"), message("b")])
    assert [name for name, _ in caught.value.failures] == ["a"]
    assert await ids_in(emulator) == ["b"]


async def test_a_refused_credential_is_said_at_once(bus, emulator):
    emulator.faults = Faults(refuse_tokens=True)
    async with asyncio.timeout(15):
        error = await failure_of(bus.transport.send([message("a"), message("b")]))
    assert not error.passing
    assert "credential" in str(error)
    with pytest.raises(QueueUnavailable):
        await bus.inbox("orders").receive(1, 0)


class Token:
    def __init__(self) -> None:
        self.closed = False

    async def get_token(self, *scopes: str, **options: object) -> AccessToken:
        return AccessToken("token", int(time.time()) + 3600)

    async def close(self) -> None:
        self.closed = True


async def test_a_namespace_that_does_not_resolve_is_said_at_once(monkeypatch):
    def unknown(*where: object, **options: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    made: list[Token] = []

    def credential() -> Token:
        made.append(Token())
        return made[-1]

    bus = AzureServiceBus("https://nowhere.servicebus.windows.net/", "orders", credential)
    async with asyncio.timeout(15):
        error = await failure_of(bus.transport.send([message("a"), message("b")]))
    await bus.close()
    assert not error.passing
    assert "nowhere.servicebus.windows.net does not resolve" in str(error)
    assert "SERVICE_BUS_NAMESPACE_URL" in str(error)
    assert [credential.closed for credential in made] == [True]


async def test_throttling_is_waited_out(bus, wire, emulator):
    await bus.transport.send([message("first")])
    emulator.faults = Faults(busy=True)
    sending = asyncio.gather(*(bus.transport.send([message(name)]) for name in ("a", "b")))
    await until(lambda: wire.operations.sends >= 3)  # refused, and refused again
    emulator.faults = Faults()
    await sending
    assert await ids_in(emulator) == ["first", "a", "b"]
    assert wire.links == 1


async def test_patience_with_throttling_ends(bus, emulator, monkeypatch):
    monkeypatch.setattr(outbox, "_PATIENCE", 0.5)
    emulator.faults = Faults(busy=True)
    error = await failure_of(bus.transport.send([message("a"), message("b")]))
    assert error.passing
    assert "throttles" in str(error)


async def test_a_lost_connection_loses_nothing(bus, wire, emulator):
    await bus.transport.send([message("a")])
    wire.cut()
    await bus.transport.send([message("b"), message("c", not_before=time.time() + 600)], numbered=True)
    assert await ids_in(emulator) == ["a", "b", "c"]


async def test_cancelling_one_caller_leaves_the_others(bus, emulator):
    sending = [asyncio.ensure_future(bus.transport.send([message(name)])) for name in ("a", "b", "c")]
    await asyncio.sleep(0)
    sending[1].cancel()
    results = await asyncio.gather(*sending, return_exceptions=True)
    assert [type(result) for result in results] == [dict, asyncio.CancelledError, dict]
    await bus.close()
    assert await ids_in(emulator) == ["a", "b", "c"]  # what was on its way is not held up


# Idle links


async def test_an_idle_link_is_replaced_before_anybody_waits_for_it(connection, wire, emulator):
    emulator.faults = Faults(detach_idle_links_after=1.5)
    bus = AzureServiceBus(connection_string=connection, upkeep=Upkeep(look=0.1, idle=0.3))
    await bus.transport.send([message("a")])
    await until(lambda: wire.links >= 7)  # idle for several times as long as the service allows
    await until(lambda: open_and_fresh(bus))
    links = wire.links
    await bus.transport.send([message("b")])
    assert wire.links == links  # no link was opened for it
    await bus.close()
    assert await ids_in(emulator) == ["a", "b"]


def open_and_fresh(bus: AzureServiceBus) -> bool:
    link = bus._namespaces.current().outbox("orders")._link
    return link._replacing is None and link._sender is not None and link._sender.attached and link._idle() < 0.2


async def test_a_broken_link_is_replaced_though_nobody_sends(connection, wire, emulator):
    bus = AzureServiceBus(connection_string=connection, upkeep=Upkeep(look=0.1))
    await bus.transport.send([message("a")])
    wire.cut()
    await until(lambda: wire.links == 2)
    await until(lambda: open_and_fresh(bus))
    await bus.transport.send([message("b")])
    assert wire.links == 2
    await bus.close()


async def test_after_a_freeze_nobody_trusts_the_link(bus, wire, monkeypatch):
    await bus.transport.send([message("a")])
    real = time.time
    monkeypatch.setattr(sender_link.time, "time", lambda: real() + 600)
    await bus.transport.send([message("b")])
    assert wire.links == 2
    assert wire.operations.sends == 2  # it was not even tried on the old one


async def test_a_link_that_is_used_stays(connection, wire):
    bus = AzureServiceBus(connection_string=connection, upkeep=Upkeep(look=0.05, idle=0.5))
    for number in range(20):
        await bus.transport.send([message(f"m{number}")])
        await asyncio.sleep(0.05)
    assert wire.links == 1
    await bus.close()


# Beginning and end


async def test_a_connection_string_for_one_queue_does_for_the_others(connection, emulator):
    bus = AzureServiceBus(connection_string=f"{connection}EntityPath=orders")
    await bus.transport.send([message("a"), message("b", queue="bills")])
    await bus.close()
    assert await ids_in(emulator, "bills") == ["b"]


async def test_what_cannot_even_connect_says_so_of_each_message():
    def no_credential() -> object:
        raise RuntimeError("no credential here")

    bus = AzureServiceBus("ns.servicebus.windows.net", "orders", no_credential)
    with pytest.raises(NotSent, match="no credential here") as caught:
        await bus.transport.send([message("a"), message("b")])
    assert [name for name, _ in caught.value.failures] == ["a", "b"]
    await bus.close()


async def test_closing_sends_what_is_waiting(bus, emulator):
    sending = [asyncio.ensure_future(bus.transport.send([message(name)])) for name in ("a", "b")]
    await asyncio.sleep(0)
    await bus.close()
    assert all(one.done() for one in sending)
    assert await ids_in(emulator) == ["a", "b"]


async def test_used_again_it_opens_again(bus, emulator):
    await bus.transport.send([message("a")])
    await bus.close()
    await bus.close()
    await bus.transport.send([message("b")])
    assert await ids_in(emulator) == ["a", "b"]


async def test_nothing_is_left_behind(bus):
    before = asyncio.all_tasks()
    await bus.transport.send([message("a")])
    (delivery,) = await bus.inbox("orders").receive(1, 0)
    await bus.inbox("orders").complete(delivery)
    await bus.close()
    assert asyncio.all_tasks() == before


async def test_each_event_loop_has_its_own_links(bus, wire, emulator):
    async def elsewhere() -> None:
        await bus.transport.send([message("b")])
        await bus.close()

    await bus.transport.send([message("a")])
    await asyncio.to_thread(asyncio.run, elsewhere())
    await bus.transport.send([message("c")])
    assert wire.links == 2
    assert await ids_in(emulator) == ["a", "b", "c"]


def test_the_sdk_is_imported_on_first_use():
    code = (
        "import sys; from boilermaker_fn.service_bus import AzureServiceBus; "
        "AzureServiceBus('ns.servicebus.windows.net').inbox('orders'); "
        "sys.exit(any(name.startswith('azure') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
