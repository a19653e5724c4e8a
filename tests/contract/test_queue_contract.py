"""What every Transport and Inbox does: the semantics of a Service Bus queue with duplicate detection."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from boilermaker_fn.errors import LockLost, NotSent
from boilermaker_fn.messages import DEAD_LETTER_DESCRIPTION, DEAD_LETTER_REASON, DEAD_LETTER_SUFFIX, Message
from boilermaker_fn.service_bus import AzureServiceBus

from .conftest import DUPLICATE_WINDOW_SECONDS, LOCK_SECONDS, MAX_DELIVERIES

pytestmark = pytest.mark.asyncio(loop_scope="module")


def message(message_id, **options):
    return Message("orders", message_id, options.pop("body", b"body of " + message_id.encode()), **options)


def ids(deliveries):
    return [delivery.message_id for delivery in deliveries]


async def soon(waiting):
    """What was woken comes long before its wait is over."""
    return await asyncio.wait_for(waiting, 10)


async def receive_one(inbox):
    (delivery,) = await inbox.receive(1, 0)
    return delivery


# Sending


async def test_what_is_sent_is_received_whole(transport, inbox, clock):
    properties = {"text": "ä\x00", "number": 7, "big": 2**40, "ratio": 1.0, "flag": True}
    sent = message("a", body=bytes(range(256)), properties=properties)
    await transport.send([sent])
    clock.advance(5)
    delivery = await receive_one(inbox)
    assert (delivery.queue, delivery.message_id, delivery.body) == ("orders", "a", bytes(range(256)))
    assert dict(delivery.properties) == properties
    assert {name: type(value) for name, value in delivery.properties.items()} == {
        name: type(value) for name, value in properties.items()
    }
    assert delivery.delivery_count == 1
    assert delivery.enqueued_at == clock() - 5
    assert delivery.locked_until == clock() + LOCK_SECONDS
    assert inbox.lock_duration == LOCK_SECONDS


async def test_queues_are_separate(engine):
    await engine.transport.send([Message("orders", "same", b"1"), Message("bills", "same", b"2")])
    assert (await receive_one(engine.inbox("bills"))).body == b"2"
    assert (await receive_one(engine.inbox("orders"))).body == b"1"


async def test_sending_nothing_does_nothing(transport, inbox):
    await transport.send([])
    assert await inbox.peek(1) == []


async def test_sequence_numbers_grow_and_never_come_again(transport, inbox):
    seen = []
    for number in range(5):
        await transport.send([message(f"m{number}")])
        delivery = await receive_one(inbox)
        seen.append(delivery.sequence_number)
        await inbox.complete(delivery)
    assert seen == sorted(set(seen))


async def test_a_message_too_large_fails_alone(transport, inbox):
    limit = transport.max_message_bytes
    with pytest.raises(NotSent) as caught:
        await transport.send([message("first"), message("large", body=bytes(limit + 1)), message("last")])
    assert [message_id for message_id, _ in caught.value.failures] == ["large"]
    assert str(limit) in str(caught.value)
    assert ids(await inbox.receive(10, 0)) == ["first", "last"]


async def test_the_largest_message_fits(transport, inbox):
    body = bytes(transport.max_message_bytes - 20)
    await transport.send([message("large", body=body, properties={"ten_characters"[:10]: "0123456789"})])
    assert (await receive_one(inbox)).body == body


async def test_properties_count_as_part_of_the_message(transport, inbox):
    with pytest.raises(NotSent):
        await transport.send([message("large", body=bytes(transport.max_message_bytes), properties={"a": "b"})])
    with pytest.raises(NotSent):
        await transport.send([message("properties", properties={"a": "b" * 65_536})])
    assert await inbox.peek(10) == []


async def test_an_id_has_at_most_128_characters(transport, inbox):
    with pytest.raises(NotSent):
        await transport.send([message("x" * 129)])
    await transport.send([message("x" * 128)])
    assert ids(await inbox.receive(10, 0)) == ["x" * 128]


# Duplicates


async def test_the_same_id_is_taken_once_within_the_window(transport, inbox, clock):
    await transport.send([message("a", body=b"first"), message("a", body=b"second")])
    await transport.send([message("a", body=b"third")])
    (delivery,) = await inbox.receive(10, 0)
    assert delivery.body == b"first"
    await inbox.complete(delivery)
    clock.advance(DUPLICATE_WINDOW_SECONDS - 1)
    await transport.send([message("a")])
    assert await inbox.receive(10, 0) == []


async def test_after_the_window_the_same_id_is_taken_again(transport, inbox, clock):
    await transport.send([message("a")])
    await inbox.complete(await receive_one(inbox))
    clock.advance(DUPLICATE_WINDOW_SECONDS + 1)
    await transport.send([message("a")])
    assert ids(await inbox.receive(10, 0)) == ["a"]


async def test_a_scheduled_message_is_a_duplicate_too(transport, inbox, clock):
    await transport.send([message("a", not_before=clock() + 10)])
    await transport.send([message("a")])
    assert await inbox.receive(10, 0) == []
    clock.advance(10)
    assert ids(await inbox.receive(10, 0)) == ["a"]


# Order and schedule


async def test_first_in_first_out(transport, inbox):
    await transport.send([message(f"m{number}") for number in range(5)])
    await transport.send([message("m5")])
    assert ids(await inbox.receive(4, 0)) == ["m0", "m1", "m2", "m3"]
    assert ids(await inbox.receive(4, 0)) == ["m4", "m5"]
    assert await inbox.receive(4, 0) == []


async def test_a_scheduled_message_comes_when_it_is_due(transport, inbox, clock):
    due = clock() + 10
    await transport.send([message("later", not_before=due), message("now")])
    assert ids(await inbox.receive(10, 0)) == ["now"]
    clock.advance(9.9)
    assert await inbox.receive(10, 0) == []
    clock.advance(0.1)
    delivery = await receive_one(inbox)
    assert (delivery.message_id, delivery.enqueued_at, delivery.delivery_count) == ("later", due, 1)


async def test_a_schedule_in_the_past_means_now(transport, inbox, clock):
    await transport.send([message("a"), message("late", not_before=clock() - 100)])
    assert ids(await inbox.receive(10, 0)) == ["a", "late"]


async def test_order_is_by_the_time_of_becoming_available(transport, inbox, clock):
    await transport.send([message("third", not_before=clock() + 3), message("second", not_before=clock() + 2)])
    clock.advance(1)
    await transport.send([message("first")])
    clock.advance(9)
    await transport.send([message("fourth")])
    assert ids(await inbox.receive(10, 0)) == ["first", "second", "third", "fourth"]


# Waiting


async def test_a_receive_that_waits_is_woken_by_a_send(transport, inbox):
    receiving = asyncio.create_task(inbox.receive(5, 30))
    await asyncio.sleep(0.01)
    await transport.send([message("a"), message("b")])
    found = ids(await soon(receiving))
    if found == ["a"]:  # it waits for the first one, never for more
        found += ids(await inbox.receive(5, 10))
    assert found == ["a", "b"]


async def test_a_receive_that_waits_is_woken_by_a_release(transport, inbox):
    await transport.send([message("a")])
    delivery = await receive_one(inbox)
    receiving = asyncio.create_task(inbox.receive(5, 30))
    await asyncio.sleep(0.01)
    await inbox.release(delivery)
    assert ids(await soon(receiving)) == ["a"]


async def test_a_receive_that_waits_in_vain_returns_nothing(inbox):
    assert await inbox.receive(5, 0.02) == []


async def test_several_who_wait_share_what_comes(engine):
    receiving = [asyncio.create_task(engine.inbox("orders").receive(1, 30)) for _ in range(3)]
    await asyncio.sleep(0.01)
    await engine.transport.send([message(f"m{number}") for number in range(3)])
    received = await soon(asyncio.gather(*receiving))
    assert sorted(delivery.message_id for deliveries in received for delivery in deliveries) == ["m0", "m1", "m2"]


# Locks


async def test_a_locked_message_is_nobody_elses(transport, inbox):
    await transport.send([message("a"), message("b")])
    assert ids(await inbox.receive(1, 0)) == ["a"]
    assert ids(await inbox.receive(2, 0)) == ["b"]


async def test_a_completed_message_is_gone(transport, inbox, clock):
    await transport.send([message("a")])
    await inbox.complete(await receive_one(inbox))
    clock.advance(LOCK_SECONDS + 1)
    assert await inbox.receive(1, 0) == []
    assert await inbox.peek(1) == []


async def test_completing_twice_is_a_lost_lock(transport, inbox):
    await transport.send([message("a")])
    delivery = await receive_one(inbox)
    await inbox.complete(delivery)
    with pytest.raises(LockLost) as caught:
        await inbox.complete(delivery)
    assert caught.value.message_id == "a"


async def test_an_expired_lock_means_another_delivery(transport, inbox, clock):
    await transport.send([message("a"), message("b")])
    first = await receive_one(inbox)
    clock.advance(LOCK_SECONDS)
    second, other = await inbox.receive(10, 0)
    assert (second.message_id, second.delivery_count) == ("a", 2)
    assert second.sequence_number == first.sequence_number
    assert second.lock_token != first.lock_token
    assert (other.message_id, other.delivery_count) == ("b", 1)


@pytest.mark.parametrize("verb", ["complete", "release", "renew"])
@pytest.mark.parametrize("delivered_again", [False, True])
async def test_a_lost_lock_settles_nothing(transport, inbox, clock, verb, delivered_again):
    await transport.send([message("a")])
    zombie = await receive_one(inbox)
    clock.advance(LOCK_SECONDS)
    current = await receive_one(inbox) if delivered_again else None
    with pytest.raises(LockLost):
        await getattr(inbox, verb)(zombie)
    if current:
        assert await inbox.receive(1, 0) == []
        await inbox.complete(current)
        assert await inbox.peek(1) == []
    else:
        assert ids(await inbox.receive(1, 0)) == ["a"]


async def test_without_a_lock_nothing_can_be_settled(transport, inbox):
    await transport.send([message("a")])
    delivery = await receive_one(inbox)
    with pytest.raises(LockLost):
        await inbox.complete(dataclasses.replace(delivery, lock_token=""))
    await inbox.complete(delivery)


async def test_a_renewed_lock_holds_longer(transport, inbox, clock):
    await transport.send([message("a")])
    delivery = await receive_one(inbox)
    clock.advance(LOCK_SECONDS - 1)
    assert await inbox.renew(delivery) == clock() + LOCK_SECONDS
    clock.advance(LOCK_SECONDS - 1)
    assert await inbox.receive(1, 0) == []
    await inbox.complete(delivery)
    assert await inbox.peek(1) == []


async def test_a_renewed_lock_ends_too(transport, inbox, clock):
    await transport.send([message("a")])
    delivery = await receive_one(inbox)
    clock.advance(LOCK_SECONDS - 1)
    await inbox.renew(delivery)
    clock.advance(LOCK_SECONDS)
    assert (await receive_one(inbox)).delivery_count == 2


async def test_a_released_message_comes_again_at_its_old_place(transport, inbox):
    await transport.send([message("a"), message("b"), message("c")])
    first, _ = await inbox.receive(2, 0)
    await inbox.release(first)
    again, third = await inbox.receive(10, 0)
    assert (again.message_id, again.delivery_count) == ("a", 2)
    assert third.message_id == "c"


# Set aside by the broker


async def test_a_poison_message_is_set_aside(engine, inbox):
    await engine.transport.send([message("poison", properties={"kept": 1})])
    for count in range(1, MAX_DELIVERIES + 1):
        delivery = await receive_one(inbox)
        assert delivery.delivery_count == count
        await inbox.release(delivery)
    assert await inbox.receive(1, 0) == []
    dead = await receive_one(engine.inbox("orders" + DEAD_LETTER_SUFFIX))
    assert (dead.message_id, dead.body) == ("poison", b"body of poison")
    assert dead.properties["kept"] == 1
    assert dead.properties[DEAD_LETTER_REASON] == "MaxDeliveryCountExceeded"
    assert dead.properties[DEAD_LETTER_DESCRIPTION]


async def test_a_message_whose_locks_expire_is_set_aside(engine, inbox, clock):
    await engine.transport.send([message("poison"), message("good")])
    for _ in range(MAX_DELIVERIES):
        assert await receive_one(inbox)
        clock.advance(LOCK_SECONDS)
    assert ids(await inbox.receive(10, 0)) == ["good"]
    assert ids(await engine.inbox("orders" + DEAD_LETTER_SUFFIX).peek(10)) == ["poison"]


async def test_what_was_set_aside_has_no_delivery_limit(engine, inbox):
    await engine.transport.send([message("poison")])
    for _ in range(MAX_DELIVERIES):
        await inbox.release(await receive_one(inbox))
    await inbox.receive(1, 0)
    dead_letters = engine.inbox("orders" + DEAD_LETTER_SUFFIX)
    for _ in range(3 * MAX_DELIVERIES):
        await dead_letters.release(await receive_one(dead_letters))
    await dead_letters.complete(await receive_one(dead_letters))
    assert await dead_letters.peek(1) == []


async def test_a_receive_that_waits_for_dead_letters_is_woken(engine, inbox):
    await engine.transport.send([message("poison")])
    for _ in range(MAX_DELIVERIES):
        await inbox.release(await receive_one(inbox))
    receiving = asyncio.create_task(engine.inbox("orders" + DEAD_LETTER_SUFFIX).receive(1, 30))
    await asyncio.sleep(0.01)
    assert await inbox.receive(1, 0) == []
    assert ids(await soon(receiving)) == ["poison"]


async def test_an_expired_message_is_set_aside(engine, inbox, clock):
    await engine.transport.send([message("short", expires_at=clock() + 10), message("long", expires_at=clock() + 20)])
    clock.advance(10)
    assert ids(await inbox.receive(10, 0)) == ["long"]
    dead = await receive_one(engine.inbox("orders" + DEAD_LETTER_SUFFIX))
    assert (dead.message_id, dead.properties[DEAD_LETTER_REASON]) == ("short", "TTLExpiredException")


async def test_a_delivery_may_be_settled_after_the_message_expired(engine, inbox, clock):
    await engine.transport.send([message("a", expires_at=clock() + 10)])
    delivery = await receive_one(inbox)
    clock.advance(20)
    await inbox.complete(delivery)
    assert await inbox.peek(1) == []
    assert await engine.inbox("orders" + DEAD_LETTER_SUFFIX).peek(1) == []


# Looking


async def test_peek_sees_all_states_and_locks_nothing(transport, inbox, clock):
    await transport.send([message("locked"), message("ready"), message("scheduled", not_before=clock() + 10)])
    locked = await receive_one(inbox)
    peeked = await inbox.peek(10)
    assert ids(peeked) == ["locked", "ready", "scheduled"]
    assert [delivery.delivery_count for delivery in peeked] == [1, 0, 0]
    assert peeked[0].body == b"body of locked"
    assert ids(await inbox.receive(10, 0)) == ["ready"]
    await inbox.complete(locked)
    assert ids(await inbox.peek(10)) == ["ready", "scheduled"]


async def test_peek_goes_on_after_a_sequence_number(transport, inbox):
    await transport.send([message(f"m{number}") for number in range(5)])
    first = await inbox.peek(2)
    assert ids(first) == ["m0", "m1"]
    assert ids(await inbox.peek(2, after=first[-1].sequence_number)) == ["m2", "m3"]


async def test_what_was_peeked_cannot_be_settled(transport, inbox):
    await transport.send([message("a")])
    (peeked,) = await inbox.peek(1)
    with pytest.raises(LockLost):
        await inbox.complete(peeked)


async def test_an_engine_knows_whether_it_holds_a_task(engine, inbox):
    if isinstance(engine, AzureServiceBus):
        assert await engine.holds("orders", "task") is None
        return
    assert await engine.holds("orders", "task") is False
    await engine.transport.send([message("task/0/3")])
    assert await engine.holds("orders", "task") is True
    assert await engine.holds("orders", "tas") is False
    assert await engine.holds("bills", "task") is False
    await inbox.complete(await receive_one(inbox))
    assert await engine.holds("orders", "task") is False
    await engine.transport.send([message("task")])
    for _ in range(MAX_DELIVERIES):
        await inbox.release(await receive_one(inbox))
    await inbox.receive(1, 0)
    assert await engine.holds("orders", "task") is True
