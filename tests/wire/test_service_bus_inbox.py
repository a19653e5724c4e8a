"""Does receiving over the real SDK keep its promises? What is locked is somebody's; what is settled stays settled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from boilermaker_fn.errors import LockLost
from boilermaker_fn.local.queue import Rules
from boilermaker_fn.messages import Message
from boilermaker_fn.service_bus import AzureServiceBus, completing
from tests.emulated import emulated
from tests.proxies import Proxy
from tests.wire.operations import CountedLine, Operations

QUEUES = {"orders": Rules(), "short": Rules(lock_duration=5.0)}


class SkewedClock:
    """The service's: `ahead` of ours, in seconds."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Wire(Proxy):
    def __init__(self, port: int) -> None:
        super().__init__(port, lambda: CountedLine(self.operations))
        self.operations = Operations()

    def cut(self) -> None:
        for connection in self._connections:
            connection.cancel()


@pytest.fixture
def clock() -> SkewedClock:
    return SkewedClock()


@pytest.fixture
async def wire(clock: SkewedClock) -> AsyncIterator[Wire]:
    async with emulated(QUEUES, clock=clock) as emulator, Wire(emulator.port) as wire:
        wire.connection_string = wire.through(emulator.connection_string)
        yield wire


@pytest.fixture
async def bus(wire: Wire) -> AsyncIterator[AzureServiceBus]:
    bus = AzureServiceBus(connection_string=wire.connection_string)
    yield bus
    await bus.close()


@pytest.fixture
async def other(wire: Wire) -> AsyncIterator[AzureServiceBus]:
    """Another process, as far as Service Bus can tell."""
    other = AzureServiceBus(connection_string=wire.connection_string)
    yield other
    await other.close()


async def put(bus: AzureServiceBus, *names: str, queue: str = "orders") -> None:
    await bus.transport.send([Message(queue, name, b"{}") for name in names])


def ids(deliveries) -> list[str]:
    return [delivery.message_id for delivery in deliveries]


async def test_what_nobody_asks_for_any_more_goes_to_others(bus, other):
    assert await bus.inbox("orders").receive(10, 0) == []  # it had credit for ten
    await put(other, "a", "b")
    received = await other.inbox("orders").receive(10, 5)
    assert [(delivery.message_id, delivery.delivery_count) for delivery in received] == [("a", 1), ("b", 1)]


async def test_a_cancelled_receive_gives_back_what_it_locks(bus, other):
    inbox = bus.inbox("orders")
    assert await inbox.receive(1, 0) == []
    receiving = asyncio.ensure_future(inbox.receive(5, 30))
    await asyncio.sleep(0.1)
    receiving.cancel()
    await put(other, "a", "b")
    with pytest.raises(asyncio.CancelledError):
        await receiving
    received = []
    while len(received) < 2:  # long before the locks expire
        received += await other.inbox("orders").receive(5, 5)
    assert sorted(ids(received)) == ["a", "b"]


async def test_closing_ends_a_receive_that_waits(bus):
    inbox = bus.inbox("orders")
    receiving = asyncio.ensure_future(inbox.receive(5, 60))
    await asyncio.sleep(0.1)
    await bus.close()
    assert await asyncio.wait_for(receiving, 10) == []


async def test_an_empty_queue_keeps_nobody_waiting_who_does_not_want_to(bus):
    inbox = bus.inbox("orders")
    waiting = asyncio.ensure_future(inbox.receive(1, 30))
    assert await asyncio.wait_for(inbox.receive(1, 0), 10) == []
    await put(bus, "a")
    assert ids(await asyncio.wait_for(waiting, 10)) == ["a"]


async def test_what_is_completed_together_is_told_together(bus, wire):
    await put(bus, *(f"m{number}" for number in range(20)))
    inbox = bus.inbox("orders")
    deliveries = await inbox.receive(20, 5)
    await asyncio.gather(*(inbox.complete(delivery) for delivery in deliveries))
    assert wire.operations.settled == len(deliveries) == 20
    assert wire.operations.dispositions == 1
    assert await inbox.peek(1) == []


async def test_of_those_completed_together_each_learns_its_own_fate(bus, clock):
    await put(bus, "zombie")
    inbox = bus.inbox("orders")
    (zombie,) = await inbox.receive(1, 5)
    clock.ahead = 61
    await put(bus, "a", "b")
    again = await inbox.receive(3, 5)
    assert sorted(ids(again)) == ["a", "b", "zombie"]
    results = await asyncio.gather(*(inbox.complete(one) for one in (zombie, *again)), return_exceptions=True)
    assert [type(result) for result in results] == [LockLost, type(None), type(None), type(None)]
    assert await inbox.peek(1) == []


async def test_if_the_sdk_changes_inside_messages_are_completed_one_by_one(bus, wire, monkeypatch):
    async def changed(*_: object) -> None:
        raise AttributeError("no such thing")

    monkeypatch.setattr(completing, "_tell", changed)
    await put(bus, "a", "b", "c")
    inbox = bus.inbox("orders")
    await asyncio.gather(*(inbox.complete(delivery) for delivery in await inbox.receive(3, 5)))
    assert wire.operations.dispositions == 3
    assert await inbox.peek(1) == []


@pytest.mark.parametrize("verb", ["complete", "release", "renew"])
async def test_a_connection_that_breaks_takes_no_lock_along(bus, wire, verb):
    await put(bus, "a", "b", "c")
    inbox = bus.inbox("orders")
    deliveries = await inbox.receive(3, 5)
    wire.cut()
    await asyncio.gather(*(getattr(inbox, verb)(delivery) for delivery in deliveries))
    if verb == "renew":
        await asyncio.gather(*(inbox.complete(delivery) for delivery in deliveries))
    left = await inbox.receive(5, 1)
    assert [delivery.delivery_count for delivery in left] == ([2, 2, 2] if verb == "release" else [])


async def test_a_receive_outlives_its_connection(bus, wire):
    inbox = bus.inbox("orders")
    receiving = asyncio.ensure_future(inbox.receive(1, 30))
    await asyncio.sleep(1)
    wire.cut()
    await put(bus, "a")
    assert ids(await asyncio.wait_for(receiving, 20)) == ["a"]


@pytest.mark.parametrize("ahead", [-300.0, 300.0])
async def test_clocks_that_differ_by_minutes_lose_no_lock(bus, clock, ahead):
    clock.ahead = ahead
    await put(bus, "a", "b", "c")
    inbox = bus.inbox("orders")
    deliveries = await inbox.receive(3, 5)
    assert 0 < inbox.lock_duration <= 60
    until = await inbox.renew(deliveries[0])
    assert abs(until - (clock() + 60)) < 30
    for delivery in deliveries:
        await inbox.complete(delivery)
    assert await inbox.peek(1) == []


async def test_the_lock_duration_is_seen_from_the_first_message(bus):
    inbox = bus.inbox("short")
    assert inbox.lock_duration == 60
    await put(bus, "a", queue="short")
    assert await inbox.receive(1, 5)
    assert 1 <= inbox.lock_duration <= 5


async def test_all_inboxes_of_a_queue_share_one_link(bus, wire):
    await put(bus, "a", "b")
    (first,) = await bus.inbox("orders").receive(1, 5)
    (second,) = await bus.inbox("orders").receive(1, 5)
    await bus.inbox("orders").complete(first)
    await bus.inbox("orders").complete(second)
    assert wire.operations.attached["orders"] == 2  # one to send, one to receive


async def test_service_bus_does_not_tell_what_it_holds(bus):
    await put(bus, "a")
    assert await bus.holds("orders", "a") is None
