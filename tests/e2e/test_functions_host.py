"""Does the app work as it does in Azure? Published by one process, served by a Functions host, seen by a third."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.errors import TaskFailed
from boilermaker_fn.messages import DEAD_LETTER_DESCRIPTION, DEAD_LETTER_REASON
from boilermaker_fn.outcomes import Reason
from boilermaker_fn.task.result import TaskStatus
from tests.e2e.place import QUEUE, Place, Producer, named
from tests.e2e.processes import PATIENCE, Process

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("runtime")]


@pytest.fixture(scope="module")
def host(runtime: None, place: Place) -> Iterator[Process]:
    with place.host() as running:
        yield running


@pytest.mark.usefixtures("host")
async def test_a_task_succeeds_with_its_result(producer: Producer, observer: Boilermaker) -> None:
    told = await producer.publish(named("greeting", "greet", "Ada"))
    assert told == {"sent": ["greeting"], "not_sent": []}
    assert await observer.handle("greeting").result(PATIENCE) == "hello Ada"
    info = await observer.handle("greeting").info()
    assert (info.status, info.attempts) == (TaskStatus.Success, 1)


@pytest.mark.usefixtures("host")
async def test_a_retry_comes_at_its_time(place: Place, producer: Producer, observer: Boilermaker) -> None:
    await producer.publish(named("hesitation", "hesitate", "hesitation", 2, 1))
    assert await observer.handle("hesitation").result(PATIENCE) == 3
    first, second, third = place.journal.entries("hesitation")
    assert second.at - first.at >= 1
    assert third.at - second.at >= 1
    assert (await observer.handle("hesitation").info()).attempts == 3


@pytest.mark.usefixtures("host")
async def test_a_delayed_task_does_not_start_before(place: Place, producer: Producer, observer: Boilermaker) -> None:
    delayed = named("delayed", "greet", "delayed")
    delayed["options"]["delay"] = 1.5
    before = asyncio.get_running_loop().time()
    await producer.publish(delayed)
    await observer.handle("delayed").result(PATIENCE)
    info = await observer.handle("delayed").info()
    assert info.started is not None
    assert info.published is not None
    assert (info.started - info.published).total_seconds() >= 1.5
    assert asyncio.get_running_loop().time() - before >= 1.5


@pytest.mark.usefixtures("host")
async def test_a_chain_runs_in_its_order(place: Place, producer: Producer, observer: Boilermaker) -> None:
    links = [named(f"link-{n}", "greet", f"link-{n}") for n in range(4)]
    await producer.publish({**links[0], "chain": links[1:]})
    for n in range(4):
        assert await observer.handle(f"link-{n}").result(PATIENCE) == f"hello link-{n}"
    starts = [place.journal.entries(f"link-{n}") for n in range(4)]
    assert [len(entries) for entries in starts] == [1, 1, 1, 1]
    assert [entries[0].at for entries in starts] == sorted(entries[0].at for entries in starts)


@pytest.mark.usefixtures("host")
async def test_a_failure_sends_its_callback_and_leaves_its_reason(
    place: Place, producer: Producer, observer: Boilermaker
) -> None:
    await producer.publish(named("boiling", "boil", "boiling", on_failure=named("cooling", "greet", "plumber")))
    with pytest.raises(TaskFailed, match="ValueError: boiled over"):
        await observer.handle("boiling").result(PATIENCE)
    assert await observer.handle("cooling").result(PATIENCE) == "hello plumber"
    letter = await place.letter("boiling")
    assert letter[DEAD_LETTER_REASON] == Reason.TaskFailed
    assert letter[DEAD_LETTER_DESCRIPTION] == "ValueError: boiled over"
    assert 'raise ValueError("boiled over")' in letter["traceback"]
    assert (letter["function"], letter["attempt"], letter["origin"]) == ("boil", 1, QUEUE)


@pytest.mark.usefixtures("host")
async def test_retries_that_are_used_up_leave_a_dead_letter(
    place: Place, producer: Producer, observer: Boilermaker
) -> None:
    await producer.publish(named("hopeless", "hesitate", "hopeless", 99, 0))
    with pytest.raises(TaskFailed, match="RetryException: not yet"):
        await observer.handle("hopeless").result(PATIENCE)
    assert len(place.journal.entries("hopeless")) == 3
    letter = await place.letter("hopeless")
    assert (letter[DEAD_LETTER_REASON], letter["attempt"]) == (Reason.RetriesExhausted, 3)


@pytest.mark.usefixtures("host")
async def test_a_task_published_twice_runs_once(place: Place, producer: Producer, observer: Boilermaker) -> None:
    for _ in range(2):
        told = await producer.publish(named("twice", "greet", "twice"))
        assert told == {"sent": ["twice"], "not_sent": []}
    await observer.handle("twice").result(PATIENCE)
    await place.until_empty()
    assert len(place.journal.entries("twice")) == 1


@pytest.mark.usefixtures("host")
async def test_a_message_that_takes_its_host_along_is_reaped(
    place: Place, producer: Producer, observer: Boilermaker
) -> None:
    await producer.publish(named("poison", "crash", "poison", on_failure=named("antidote", "greet", "antidote")))
    with pytest.raises(TaskFailed, match="MaxDeliveryCountExceeded"):
        await observer.handle("poison").result(PATIENCE)
    assert await observer.handle("antidote").result(PATIENCE) == "hello antidote"
    letter = await place.letter("poison")
    assert (letter[DEAD_LETTER_REASON], letter["function"]) == (Reason.MaxDeliveryCountExceeded, "crash")
    assert len(place.journal.entries("poison")) == 3  # MaxDeliveryCount
    await place.until_empty()


@pytest.mark.usefixtures("host")
async def test_a_task_longer_than_its_lock_runs_once(place: Place, producer: Producer, observer: Boilermaker) -> None:
    await producer.publish(named("long", "linger", "long", 7))
    assert await observer.handle("long").result(PATIENCE) == "long"
    await place.until_empty()
    assert len(place.journal.entries("long")) == 1
