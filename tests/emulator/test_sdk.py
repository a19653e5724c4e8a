"""Can Microsoft's SDK tell the emulator from Service Bus? One client for all tests: its links are slow to open."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from azure.servicebus import (
    NEXT_AVAILABLE_SESSION,
    ServiceBusMessage,
    ServiceBusMessageState,
    ServiceBusReceivedMessage,
    ServiceBusReceiveMode,
    ServiceBusSubQueue,
)
from azure.servicebus import (
    ServiceBusClient as BlockingClient,
)
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusError,
    ServiceBusServerBusyError,
)

from boilermaker_fn.emulator import Emulator, Faults
from boilermaker_fn.local.queue import Rules

pytestmark = pytest.mark.asyncio(loop_scope="module")

module_fixture = pytest_asyncio.fixture(loop_scope="module", scope="module")


class Clock:
    """The time, which can be put forward: for the emulator, not for the SDK."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Bench:
    """An emulator with its links: to and from `work`, and from what was set aside."""

    def __init__(self, emulator: Emulator, clock: Clock, client: ServiceBusClient) -> None:
        self.emulator = emulator
        self.clock = clock
        self.client = client
        self.sender: ServiceBusSender = client.get_queue_sender("work")
        self.receiver: ServiceBusReceiver = client.get_queue_receiver("work")
        self.aside: ServiceBusReceiver = client.get_queue_receiver("work", sub_queue=ServiceBusSubQueue.DEAD_LETTER)

    async def get(self, count: int = 1, receiver: ServiceBusReceiver | None = None) -> list[ServiceBusReceivedMessage]:
        """Exactly so many messages."""
        got: list[ServiceBusReceivedMessage] = []
        while len(got) < count:
            more = await (receiver or self.receiver).receive_messages(count - len(got), max_wait_time=5)
            assert more, f"{len(got)} messages came, not {count}"
            got += more
        return got

    async def count(self, queue: str = "work") -> int:
        return len(await self.emulator.broker.peek(queue, 1000, 0))


@module_fixture
async def bench_of_module() -> AsyncIterator[Bench]:
    clock = Clock()
    queues = {"work": Rules(max_delivery_count=3), "other": Rules()}
    async with Emulator(queues, clock=clock) as emulator:
        client = ServiceBusClient.from_connection_string(emulator.connection_string, retry_total=0)
        async with client:
            yield Bench(emulator, clock, client)


@pytest_asyncio.fixture(loop_scope="module")
async def bench(bench_of_module: Bench) -> AsyncIterator[Bench]:
    """The bench, with nothing in its queues."""
    yield bench_of_module
    bench_of_module.emulator.faults = Faults()
    broker = bench_of_module.emulator.broker
    bench_of_module.clock.ahead += 1000  # whatever is locked or scheduled is there then
    for queue in ("work", "work", "work/$deadletterqueue", "other"):
        while await broker.receive(queue, 100, locked=False):
            pass


def patient(bench: Bench) -> ServiceBusClient:
    """A client that tries again, without waiting long."""
    return ServiceBusClient.from_connection_string(bench.emulator.connection_string, retry_backoff_factor=0.01)


def new(body: str | bytes = "body", **fields: object) -> ServiceBusMessage:
    return ServiceBusMessage(body, message_id=uuid4().hex, **fields)


async def test_a_message_arrives_with_all_that_was_put_into_it(bench: Bench) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    given = {
        "text": "ü",
        "number": -5,
        "large": 2**30,
        "real": 0.5,
        "yes": True,
        "id": UUID(int=1),
        "at": now,
    }
    fields = {
        "correlation_id": "c", "subject": "s", "content_type": "application/json", "reply_to": "r", "to": "t",
        "reply_to_session_id": "rs", "partition_key": "p", "time_to_live": timedelta(hours=1),
    }  # fmt: skip
    await bench.sender.send_messages(
        ServiceBusMessage(b"\x00body", message_id="m", application_properties=given, **fields)
    )
    (got,) = await bench.get()
    assert b"".join(got.body) == b"\x00body"
    assert got.message_id == "m"
    assert {name: getattr(got, name) for name in fields} == fields
    read = {name.decode(): value for name, value in got.application_properties.items()}
    assert read == {**given, "text": "ü".encode(), "at": int(now.timestamp() * 1000)}
    assert got.delivery_count == 0
    assert abs(got.enqueued_time_utc.timestamp() - bench.clock()) < 60
    assert abs(got.locked_until_utc.timestamp() - bench.clock() - 60) < 60
    await bench.receiver.complete_message(got)
    assert await bench.count() == 0


async def test_a_batch_is_its_messages(bench: Bench) -> None:
    batch = await bench.sender.create_message_batch()
    assert batch.max_size_in_bytes == 262_144
    for number in range(5):
        batch.add_message(new(str(number)))
    await bench.sender.send_messages(batch)
    got = await bench.get(5)
    assert [str(one) for one in got] == ["0", "1", "2", "3", "4"]
    for one in got:
        await bench.receiver.complete_message(one)


async def test_duplicates_are_dropped_within_a_batch_and_between_batches(bench: Bench) -> None:
    run = uuid4().hex
    for ids in (["a", "a", "b"], ["b", "c"], ["a"]):
        await bench.sender.send_messages([ServiceBusMessage(one, message_id=f"{run}{one}") for one in ids])
    assert [str(one) for one in await bench.get(3)] == ["a", "b", "c"]
    assert await bench.count() == 3


async def test_a_large_message_goes_both_ways(bench: Bench) -> None:
    body = bytes(range(256)) * 1000
    await bench.sender.send_messages(new(body))
    (got,) = await bench.get()
    assert b"".join(got.body) == body


async def test_a_message_that_is_too_large_is_refused_and_the_next_is_taken(bench: Bench) -> None:
    async with patient(bench) as client:
        sender = client.get_queue_sender("other")
        with pytest.raises(MessageSizeExceededError, match="exceeds the limit"):
            await sender.send_messages(new(bytes(262_145)))
        await sender.send_messages(new())
        assert await bench.count("other") == 1


async def test_scheduled_messages_have_numbers_and_come_when_they_are_due(bench: Bench) -> None:
    due = datetime.fromtimestamp(bench.clock() + 500, UTC)
    first, second = await bench.sender.schedule_messages([new("first"), new("second")], due)
    await bench.sender.cancel_scheduled_messages(second)
    (seen,) = await bench.receiver.peek_messages(10)
    assert (seen.sequence_number, seen.state) == (first, ServiceBusMessageState.SCHEDULED)
    assert abs((seen.scheduled_enqueue_time_utc - due).total_seconds()) < 0.01
    bench.clock.ahead += 501
    (got,) = await bench.get()
    assert (str(got), got.sequence_number) == ("first", first)
    with pytest.raises(MessageNotFoundError):
        await bench.sender.cancel_scheduled_messages(second)


async def test_scheduling_a_duplicate_answers_with_a_number_that_never_delivers(bench: Bench) -> None:
    message_id, due = uuid4().hex, datetime.fromtimestamp(bench.clock() + 500, UTC)
    numbers = [
        (await bench.sender.schedule_messages(ServiceBusMessage(body, message_id=message_id), due))[0]
        for body in ("first", "second")
    ]
    assert len(set(numbers)) == 2
    bench.clock.ahead += 501
    assert str((await bench.get())[0]) == "first"
    assert await bench.count() == 1


async def test_messages_are_scheduled_by_their_annotation_too(bench: Bench) -> None:
    due = datetime.fromtimestamp(bench.clock() + 500, UTC)
    await bench.sender.send_messages([new("later", scheduled_enqueue_time_utc=due), new("now")])
    (got,) = await bench.get()
    assert str(got) == "now"
    await bench.receiver.complete_message(got)
    bench.clock.ahead += 501
    assert str((await bench.get())[0]) == "later"


async def test_a_waiting_receiver_is_woken_when_a_message_is_due(bench: Bench) -> None:
    waiting = asyncio.create_task(bench.receiver.receive_messages(1, max_wait_time=5))
    await bench.sender.send_messages(
        new("soon", scheduled_enqueue_time_utc=datetime.fromtimestamp(bench.clock() + 0.3, UTC))
    )
    assert [str(one) for one in await waiting] == ["soon"]


async def test_an_abandoned_message_comes_again_until_it_was_delivered_too_often(bench: Bench) -> None:
    await bench.sender.send_messages(new())
    for count in range(3):
        (got,) = await bench.get()
        assert got.delivery_count == count
        await bench.receiver.abandon_message(got)
    (dead,) = await bench.get(receiver=bench.aside)
    assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"
    assert dead.dead_letter_source == "work"
    assert dead.delivery_count >= 3


async def test_a_dead_letter_has_its_reason_and_what_it_had(bench: Bench) -> None:
    await bench.sender.send_messages(new("bad", application_properties={"kept": 1}, correlation_id="c"))
    (got,) = await bench.get()
    await bench.receiver.dead_letter_message(got, reason="Broken", error_description="cannot be read")
    (dead,) = await bench.get(receiver=bench.aside)
    assert (str(dead), dead.dead_letter_reason, dead.dead_letter_error_description) == (
        "bad",
        "Broken",
        "cannot be read",
    )
    assert dead.application_properties[b"kept"] == 1
    assert (dead.correlation_id, dead.sequence_number) == ("c", got.sequence_number)
    await bench.aside.complete_message(dead)
    assert await bench.count("work/$deadletterqueue") == 0


async def test_what_expires_is_set_aside(bench: Bench) -> None:
    await bench.sender.send_messages(new(time_to_live=timedelta(seconds=100)))
    bench.clock.ahead += 101
    assert await bench.receiver.receive_messages(1, max_wait_time=0.5) == []
    (dead,) = await bench.get(receiver=bench.aside)
    assert dead.dead_letter_reason == "TTLExpiredException"
    assert dead.time_to_live == timedelta(seconds=100)


async def test_the_time_to_live_of_a_scheduled_message_counts_from_when_it_is_due(bench: Bench) -> None:
    due = datetime.fromtimestamp(bench.clock() + 500, UTC)
    await bench.sender.schedule_messages(new("late", time_to_live=timedelta(seconds=100)), due)
    bench.clock.ahead += 550
    assert str((await bench.get())[0]) == "late"


async def test_a_lock_is_renewed(bench: Bench) -> None:
    await bench.sender.send_messages(new())
    (got,) = await bench.get()
    before = got.locked_until_utc
    bench.clock.ahead += 30
    assert await bench.receiver.renew_message_lock(got) == got.locked_until_utc
    assert timedelta(seconds=29) < got.locked_until_utc - before < timedelta(seconds=60)
    await bench.receiver.complete_message(got)


async def test_who_lost_the_lock_hears_of_it(bench: Bench) -> None:
    await bench.sender.send_messages(new())
    for settle in (
        bench.receiver.complete_message, bench.receiver.abandon_message, bench.receiver.dead_letter_message,
        bench.receiver.renew_message_lock,
    ):  # fmt: skip
        (got,) = await bench.get()
        bench.clock.ahead += 61
        with pytest.raises(MessageLockLostError):
            await settle(got)
        if got.delivery_count == 2:
            await bench.sender.send_messages(new())


async def test_looking_takes_nothing(bench: Bench) -> None:
    await bench.sender.send_messages([new(str(number), application_properties={"n": number}) for number in range(4)])
    seen = await bench.receiver.peek_messages(10)
    assert [str(one) for one in seen] == ["0", "1", "2", "3"]
    assert [one.application_properties[b"n"] for one in seen] == [0, 1, 2, 3]
    assert {one.state for one in seen} == {ServiceBusMessageState.ACTIVE}
    rest = await bench.receiver.peek_messages(2, sequence_number=seen[2].sequence_number)
    assert [str(one) for one in rest] == ["2", "3"]
    assert await bench.receiver.peek_messages(1, sequence_number=seen[3].sequence_number + 1) == []
    assert [one.delivery_count for one in await bench.get(4)] == [0, 0, 0, 0]


async def test_looking_at_large_messages_takes_several_looks(bench: Bench) -> None:
    for number in range(4):
        await bench.sender.send_messages(new(str(number) * 100_000))
    seen = await bench.receiver.peek_messages(10, sequence_number=1)
    assert 1 <= len(seen) < 4


async def test_received_and_deleted_is_gone_and_what_was_not_received_is_not(bench: Bench) -> None:
    await bench.sender.send_messages([new(str(number)) for number in range(3)])
    async with bench.client.get_queue_receiver(
        "work", receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE
    ) as receiver:
        (got,) = await bench.get(receiver=receiver)
        assert got.locked_until_utc is None
    assert await bench.count() == 2


async def test_what_was_fetched_ahead_goes_back_as_if_it_had_never_come(bench: Bench) -> None:
    await bench.sender.send_messages([new(str(number)) for number in range(10)])
    async with bench.client.get_queue_receiver("work", prefetch_count=10) as receiver:
        (first,) = await bench.get(receiver=receiver)
        await receiver.complete_message(first)
    got = await bench.get(9)
    assert {str(one) for one in got} == {str(number) for number in range(10)} - {str(first)}
    assert {one.delivery_count for one in got} == {0}


async def test_what_comes_when_nobody_asked_goes_back(bench: Bench) -> None:
    """Without prefetch the SDK leaves credit on the link, and releases what it gets for it."""
    await bench.receiver.receive_messages(5, max_wait_time=0.2)
    await bench.sender.send_messages([new("a"), new("b")])
    got = await bench.get(2)
    assert {str(one) for one in got} == {"a", "b"}
    assert {one.delivery_count for one in got} == {0}


async def test_each_message_goes_to_one_of_many_receivers(bench: Bench) -> None:
    async def work(receiver: ServiceBusReceiver) -> list[str]:
        done = []
        async with receiver:
            while got := await receiver.receive_messages(10, max_wait_time=0.5):
                for one in got:
                    await receiver.complete_message(one)
                    done.append(str(one))
        return done

    await bench.sender.send_messages([new(str(number)) for number in range(200)])
    lists = await asyncio.gather(*(work(bench.client.get_queue_receiver("work", prefetch_count=20)) for _ in range(3)))
    done = [one for some in lists for one in some]
    assert sorted(done, key=int) == [str(number) for number in range(200)]
    assert await bench.count() == 0


async def test_links_that_were_idle_are_opened_again(bench: Bench) -> None:
    bench.emulator.faults = Faults(detach_idle_links_after=0.3)
    async with patient(bench) as client:
        sender, receiver = client.get_queue_sender("other"), client.get_queue_receiver("other")
        await sender.send_messages(new("one"))
        (got,) = await bench.get(receiver=receiver)
        await asyncio.sleep(0.5)
        await receiver.complete_message(got)  # by way of the management, since the link is gone
        await sender.send_messages(new("two"))
        assert await bench.count("other") == 1
        await asyncio.sleep(0.5)
        with contextlib.suppress(ServiceBusError):  # the SDK gives up once when the management's link is gone
            await receiver.peek_messages(2)
        assert [str(one) for one in await receiver.peek_messages(2)] == ["two"]


async def test_the_blocking_client_works_too(bench: Bench) -> None:
    def use() -> list[str]:
        client = BlockingClient.from_connection_string(bench.emulator.connection_string)
        with client, client.get_queue_sender("other") as sender, client.get_queue_receiver("other") as receiver:
            sender.send_messages([new("one"), new("two")])
            done = []
            for one in receiver.receive_messages(2, max_wait_time=5):
                receiver.complete_message(one)
                done.append(str(one))
            return done

    done = await asyncio.to_thread(use)
    assert done
    assert await bench.count("other") == 2 - len(done)


# Refusals


async def test_an_unknown_queue_is_named(bench: Bench) -> None:
    sender = bench.client.get_queue_sender("nowhere")
    with pytest.raises(MessagingEntityNotFoundError, match="nowhere"):
        await sender.send_messages(new())
    await sender.close()
    receiver = bench.client.get_queue_receiver("nowhere")
    with pytest.raises(MessagingEntityNotFoundError, match="nowhere"):
        await receiver.receive_messages(1, max_wait_time=1)
    await receiver.close()


async def test_topics_and_sessions_are_refused_by_name(bench: Bench) -> None:
    for receiver, word in (
        (bench.client.get_subscription_receiver("topic", "sub"), "topics"),
        (bench.client.get_queue_receiver("work", session_id=NEXT_AVAILABLE_SESSION), "sessions"),
        (bench.client.get_queue_receiver("work", session_id="mine"), "sessions"),
    ):
        with pytest.raises(ServiceBusError, match=word):
            await receiver.receive_messages(1, max_wait_time=1)
        await receiver.close()


async def test_deferral_is_refused_by_name(bench: Bench) -> None:
    await bench.sender.send_messages(new())
    async with bench.client.get_queue_receiver("work") as receiver:
        (got,) = await bench.get(receiver=receiver)
        with pytest.raises(ServiceBusError, match="deferral"):
            await receiver.defer_message(got)
        with pytest.raises(ServiceBusError, match="receive-by-sequence-number"):
            await receiver.receive_deferred_messages([got.sequence_number])


async def test_nothing_is_sent_to_a_dead_letter_queue(bench: Bench) -> None:
    sender = bench.client.get_queue_sender("work/$deadletterqueue")
    with pytest.raises(ServiceBusError, match="cannot be sent to"):
        await sender.send_messages(new())
    await sender.close()


async def test_throttling_is_told_as_such(bench: Bench) -> None:
    bench.emulator.faults = Faults(busy=True)
    for send in (bench.sender.send_messages(new()), bench.sender.send_messages([new(), new()]),
                 bench.sender.schedule_messages(new(), datetime.now(UTC))):  # fmt: skip
        with pytest.raises(ServiceBusServerBusyError):
            await send
    bench.emulator.faults = Faults()
    await bench.sender.send_messages(new())
    assert await bench.count() == 1


async def test_who_has_no_rights_hears_of_it(bench: Bench) -> None:
    bench.emulator.faults = Faults(refuse_tokens=True)
    sender = bench.client.get_queue_sender("work")
    with pytest.raises((ServiceBusAuthenticationError, ServiceBusAuthorizationError)):
        await sender.send_messages(new())
    await sender.close()
