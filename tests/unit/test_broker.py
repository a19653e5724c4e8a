"""Do the emulator's queues do what Service Bus does, each by its own rules, in memory and in a file?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from boilermaker_fn.emulator.broker import Broker, MessageNotFound, NotAllowed, UnknownQueue, token_of
from boilermaker_fn.errors import ConfigurationError, LockLost
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.local.database import Database
from boilermaker_fn.local.queue import Rules
from boilermaker_fn.local.schema import Owner
from boilermaker_fn.messages import DEAD_LETTER_SUFFIX, Delivery, Message

NOON = 1_800_000_000.0
DEAD = "orders" + DEAD_LETTER_SUFFIX
QUEUES = {
    "orders": Rules(lock_duration=60, max_delivery_count=3, duplicate_window=600),
    "short": Rules(duplicate_window=20),
    "brief": Rules(time_to_live=10, dead_letter_expired=False),
    "plain": Rules(duplicate_window=0),
}


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "emulator.db" if request.param == "file" else None


@pytest.fixture
async def database(path: Path | None) -> AsyncIterator[Database]:
    database = Database(path, Owner.EMULATOR)
    yield database
    await database.close()


@pytest.fixture
def broker(database: Database, clock: Clock) -> Broker:
    return Broker(QUEUES, database, clock)


def message(message_id: str = "", **more: float | None) -> Message:
    return Message("", message_id, b"body of " + message_id.encode(), **more)


async def take(broker: Broker, queue: str = "orders", count: int = 10) -> list[Delivery]:
    return await broker.receive(queue, count, locked=True)


async def taken(broker: Broker, queue: str = "orders") -> Delivery:
    (delivery,) = await take(broker, queue)
    return delivery


def ids(deliveries: list[Delivery]) -> list[str]:
    return [delivery.message_id for delivery in deliveries]


# -- names


async def test_names_are_those_of_service_bus(broker: Broker) -> None:
    await broker.send("ORDERS", [message("a")])
    delivery = await taken(broker, "Orders")
    await broker.dead_letter("oRDERS", token_of(delivery), {})
    assert ids(await take(broker, "orders/$DeadLetterQueue")) == ["a"]
    assert broker.rules("ORDERS/$DEADLETTERQUEUE") == QUEUES["orders"]


@pytest.mark.parametrize("queue", ["other", "", "other/$deadletterqueue", "orders/$other", "$deadletterqueue"])
async def test_an_unknown_queue_is_named(broker: Broker, queue: str) -> None:
    with pytest.raises(UnknownQueue) as caught:
        await broker.send(queue, [message("a")])
    assert caught.value.queue == queue
    assert "brief, orders, plain, short" in str(caught.value)
    for asking in (broker.rules, broker.listen):
        with pytest.raises(UnknownQueue):
            asking(queue)


async def test_nothing_is_sent_to_a_dead_letter_queue_or_set_aside_from_it(broker: Broker) -> None:
    with pytest.raises(NotAllowed):
        await broker.send(DEAD, [message("a")])
    with pytest.raises(NotAllowed):
        await broker.schedule(DEAD, [message("a")])
    await broker.send("orders", [message("a")])
    await broker.dead_letter("orders", token_of(await taken(broker)), {})
    dead = await taken(broker, DEAD)
    with pytest.raises(NotAllowed):
        await broker.dead_letter(DEAD, token_of(dead), {})
    await broker.complete(DEAD, token_of(dead))


# -- locks


async def test_a_message_is_locked_and_settled_by_its_token(broker: Broker, clock: Clock) -> None:
    await broker.send("orders", [message("a")])
    delivery = await taken(broker)
    assert (delivery.body, delivery.delivery_count, delivery.locked_until) == (b"body of a", 1, NOON + 60)
    assert token_of(delivery).int == (delivery.sequence_number << 64) + 1
    assert await take(broker) == []
    clock.now += 30
    assert await broker.renew("orders", token_of(delivery)) == NOON + 90
    clock.now += 59
    await broker.complete("orders", token_of(delivery))
    assert await broker.peek("orders", 10, 1) == []


@pytest.mark.parametrize("ending", ["complete", "abandon", "release", "dead_letter", "renew"])
async def test_a_lost_lock_settles_nothing(broker: Broker, clock: Clock, ending: str) -> None:
    await broker.send("orders", [message("a")])
    lost = token_of(await taken(broker))
    clock.now += 60
    settle = getattr(broker, ending)
    with pytest.raises(LockLost):
        await settle("orders", lost)
    again = await taken(broker)
    with pytest.raises(LockLost):
        await settle("orders", lost)
    for other in (UUID(int=0), UUID(int=2**128 - 1), UUID(int=token_of(again).int + 1)):
        with pytest.raises(LockLost):
            await settle("orders", other)
    with pytest.raises(LockLost):
        await settle("short", token_of(again))
    await broker.complete("orders", token_of(again))


async def test_a_lock_outlives_a_restart(clock: Clock, tmp_path: Path) -> None:
    file = tmp_path / "made" / "emulator.db"
    first, second = Database(file, Owner.EMULATOR), Database(file, Owner.EMULATOR)
    await Broker(QUEUES, first, clock).send("orders", [message("a")])
    token = token_of(await taken(Broker(QUEUES, first, clock)))
    await first.close()
    restarted = Broker(QUEUES, second, clock)
    assert await take(restarted) == []
    await restarted.complete("orders", token)
    clock.now += 60
    assert await take(restarted) == []
    await second.close()


async def test_a_release_does_not_count(broker: Broker) -> None:
    await broker.send("orders", [message("a")])
    for _ in range(10):
        delivery = await taken(broker)
        assert delivery.delivery_count == 1
        await broker.release("orders", token_of(delivery))


async def test_receive_and_delete(broker: Broker, clock: Clock) -> None:
    await broker.send("orders", [message(name) for name in "abc"])
    assert ids(await broker.receive("orders", 2, locked=False)) == ["a", "b"]
    clock.now += 1000
    assert ids(await broker.receive("orders", 2, locked=False)) == ["c"]
    assert await broker.peek("orders", 10, 1) == []


# -- abandoned and set aside


async def test_what_is_abandoned_comes_again_with_what_was_added(broker: Broker) -> None:
    await broker.send("orders", [message("a"), message("b")])
    first, _ = await take(broker)
    await broker.abandon("orders", token_of(first), {"hue": "red", "times": 1})
    again = await taken(broker)
    assert (again.message_id, again.delivery_count) == ("a", 2)
    assert dict(again.properties) == {"hue": "red", "times": 1}
    await broker.abandon("orders", token_of(again), {"times": 2})
    assert dict((await taken(broker)).properties) == {"hue": "red", "times": 2}


async def test_the_last_delivery_sets_aside_at_once(broker: Broker) -> None:
    await broker.send("orders", [message("a")])
    number = 0
    for _ in range(3):
        delivery = await taken(broker)
        number = delivery.sequence_number
        await broker.abandon("orders", token_of(delivery), {"hue": "red"})
    dead = await taken(broker, DEAD)
    assert (dead.message_id, dead.sequence_number, dead.body) == ("a", number, b"body of a")
    assert dead.properties["DeadLetterReason"] == "MaxDeliveryCountExceeded"
    assert "3 times" in str(dead.properties["DeadLetterErrorDescription"])
    assert dead.properties["hue"] == "red"


async def test_a_dead_letter_has_no_delivery_limit(broker: Broker) -> None:
    await broker.send("orders", [message("a", expires_at=NOON + 1000)])
    await broker.dead_letter("orders", token_of(await taken(broker)), {"DeadLetterReason": "why"})
    for _ in range(10):
        dead = await taken(broker, DEAD)
        assert dead.properties == {"DeadLetterReason": "why"}
        await broker.abandon(DEAD, token_of(dead), {})


async def test_locks_that_run_out_use_deliveries_up(broker: Broker, clock: Clock) -> None:
    await broker.send("orders", [message("a")])
    for _ in range(3):
        await taken(broker)
        clock.now += 60
    assert await take(broker) == []
    assert (await taken(broker, DEAD)).properties["DeadLetterReason"] == "MaxDeliveryCountExceeded"


# -- time to live


async def test_what_expired_is_set_aside_or_removed_as_its_queue_says(broker: Broker, clock: Clock) -> None:
    for queue in ("orders", "brief"):
        await broker.send(queue, [message("a", expires_at=NOON + 5)])
    clock.now += 5
    for queue in ("orders", "brief"):
        assert await take(broker, queue) == []
        assert await broker.peek(queue, 10, 1) == []
    assert (await taken(broker, DEAD)).properties["DeadLetterReason"] == "TTLExpiredException"
    assert await take(broker, "brief" + DEAD_LETTER_SUFFIX) == []


async def test_a_queue_bounds_the_life_of_its_messages(broker: Broker, clock: Clock) -> None:
    await broker.send("brief", [message("a"), message("b", expires_at=NOON + 1000), message("c", expires_at=NOON + 5)])
    await broker.schedule("brief", [message("d", not_before=NOON + 100)])
    clock.now += 9
    assert ids(await broker.receive("brief", 10, locked=False)) == ["a", "b"]
    clock.now = NOON + 109
    assert ids(await take(broker, "brief")) == ["d"]


async def test_what_expires_under_its_lock_can_be_completed(broker: Broker, clock: Clock) -> None:
    await broker.send("brief", [message("a"), message("b")])
    a, b = await take(broker, "brief")
    clock.now += 11
    await broker.complete("brief", token_of(a))
    await broker.abandon("brief", token_of(b))
    assert await take(broker, "brief") == []


# -- duplicates


async def test_duplicates_are_dropped_in_the_window_of_their_queue(broker: Broker, clock: Clock) -> None:
    for queue in ("orders", "short", "plain"):
        await broker.send(queue, [message("a"), message("a")])
    clock.now += 21
    for queue in ("short", "orders", "plain"):  # the one that forgets soonest first
        await broker.send(queue, [message("a")])
    found = {queue: len(await take(broker, queue)) for queue in ("orders", "short", "plain")}
    assert found == {"orders": 1, "short": 2, "plain": 3}


async def test_messages_without_an_id_are_all_taken(broker: Broker) -> None:
    await broker.send("orders", [message(), message()])
    await broker.send("orders", [message()])
    assert ids(await take(broker)) == ["", "", ""]


# -- scheduled


async def test_a_scheduled_message_comes_at_its_time_under_its_number(broker: Broker, clock: Clock) -> None:
    numbers = await broker.schedule("orders", [message("a", not_before=NOON + 10), message("b"), message("")])
    assert numbers == sorted(set(numbers))
    now = await take(broker)
    assert [(one.message_id, one.sequence_number) for one in now] == [("b", numbers[1]), ("", numbers[2])]
    assert await broker.next_due("orders") == NOON + 10
    clock.now += 10
    later = await taken(broker)
    assert (later.message_id, later.sequence_number, later.enqueued_at) == ("a", numbers[0], NOON + 10)


async def test_a_scheduled_duplicate_has_a_number_that_never_delivers(broker: Broker, clock: Clock) -> None:
    due = NOON + 10
    await broker.send("orders", [message("sent")])
    numbers = await broker.schedule(
        "orders", [message("a", not_before=due), message("a", not_before=due), message("sent", not_before=due)]
    )
    numbers += await broker.schedule("orders", [message("a", not_before=due), message("b", not_before=due)])
    assert len(set(numbers)) == 5
    for number in (numbers[1], numbers[2], numbers[3]):
        with pytest.raises(MessageNotFound) as caught:
            await broker.cancel("orders", [number])
        assert caught.value.number == number
    clock.now = due
    assert [(one.message_id, one.sequence_number) for one in await take(broker)][1:] == [
        ("a", numbers[0]),
        ("b", numbers[4]),
    ]


async def test_what_is_cancelled_never_comes_and_keeps_its_id(broker: Broker, clock: Clock) -> None:
    due = NOON + 10
    numbers = await broker.schedule("orders", [message(name, not_before=due) for name in "abc"])
    await broker.cancel("orders", numbers[:2])
    await broker.send("orders", [message("a")])
    clock.now = due
    assert ids(await take(broker)) == ["c"]


async def test_a_cancellation_is_of_all_or_of_none(broker: Broker, clock: Clock) -> None:
    due = NOON + 10
    (a,) = await broker.schedule("orders", [message("a", not_before=due)])
    (other,) = await broker.schedule("short", [message("a", not_before=due)])
    for wrong in (a + 100, 0, -1, 2**63, other):
        with pytest.raises(MessageNotFound):
            await broker.cancel("orders", [a, wrong])
    clock.now = due
    with pytest.raises(MessageNotFound):  # it is due, though nobody has looked yet
        await broker.cancel("orders", [a])
    assert ids(await take(broker)) == ["a"]


# -- looking


async def test_a_peek_shows_all_states_from_a_number_on(broker: Broker, clock: Clock) -> None:
    await broker.schedule("orders", [message("later", not_before=NOON + 10)])
    await broker.send("orders", [message("locked"), message("ready")])
    await broker.receive("orders", 1, locked=True)
    shown = await broker.peek("orders", 10, 0)
    assert [(one.message_id, one.state, one.delivery_count) for one in shown] == [
        ("later", "scheduled", 0),
        ("locked", "active", 1),
        ("ready", "active", 0),
    ]
    assert ids(list(await broker.peek("orders", 10, shown[1].sequence_number))) == ["locked", "ready"]
    assert ids(list(await broker.peek("orders", 1, shown[1].sequence_number))) == ["locked"]
    assert await broker.peek("orders", 1, 2**64) == []
    assert len(await broker.peek("orders", 10, -5)) == 3
    clock.now += 10
    assert [one.state for one in await broker.peek("orders", 1, 1)] == ["active"]
    assert [one.message_id for one in await take(broker)] == ["ready", "later"]


# -- waking


@pytest.mark.parametrize("step", ["send", "schedule", "abandon", "release"])
async def test_who_listens_is_woken(broker: Broker, step: str) -> None:
    await broker.send("orders", [message("held")])
    held = token_of(await taken(broker))
    with broker.listen("Orders") as woken:
        assert not woken.is_set()
        match step:
            case "send" | "schedule":
                await getattr(broker, step)("orders", [message("a")])
            case _:
                await getattr(broker, step)("orders", held)
        assert woken.is_set()


async def test_who_listens_to_dead_letters_is_woken(broker: Broker, clock: Clock) -> None:
    await broker.send("orders", [message("a"), message("b", expires_at=NOON + 5)])
    a, _ = await take(broker)
    with broker.listen(DEAD) as woken:
        await broker.dead_letter("orders", token_of(a), {})
        assert woken.is_set()
        woken.clear()
        clock.now += 60
        assert await take(broker) == []
        assert woken.is_set()


async def test_a_send_whose_sender_goes_away_is_done_and_wakes(broker: Broker) -> None:
    with broker.listen("orders") as woken:
        sending = asyncio.create_task(broker.send("orders", [message("a")]))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.wait_for(woken.wait(), 60)
        assert ids(await take(broker)) == ["a"]


async def test_a_receive_whose_caller_goes_away_gives_back(broker: Broker) -> None:
    await broker.send("orders", [message("a")])
    receiving = asyncio.create_task(take(broker))
    await asyncio.sleep(0)
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert (await taken(broker)).delivery_count == 1


# -- the file


async def test_the_embedded_engine_and_the_emulator_refuse_each_others_files(tmp_path: Path, clock: Clock) -> None:
    theirs, ours = LocalEngine(tmp_path / "engine.db"), Database(tmp_path / "emulator.db", Owner.EMULATOR)
    await theirs.transport.send([Message("orders", "a", b"")])
    await Broker(QUEUES, ours, clock).send("orders", [message("a")])
    await theirs.close()
    await ours.close()

    wrong, other = Database(tmp_path / "engine.db", Owner.EMULATOR), LocalEngine(tmp_path / "emulator.db")
    with pytest.raises(ConfigurationError, match="belongs to the embedded engine, not to the emulator: use another"):
        await Broker(QUEUES, wrong, clock).open()
    with pytest.raises(ConfigurationError, match="belongs to the emulator, not to the embedded engine: use another"):
        await other.inbox("orders").peek(1)
    await wrong.close()
    await other.close()
