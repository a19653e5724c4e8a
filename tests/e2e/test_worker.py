"""Does a worker outside Functions do what the host does there? `boilermaker-fn worker` on the emulator and Azurite."""

from __future__ import annotations

import asyncio

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.task.result import TaskStatus
from tests.e2e.place import Place, Producer, named
from tests.e2e.processes import PATIENCE

pytestmark = pytest.mark.slow


async def test_as_many_tasks_run_at_once_as_it_was_told(
    place: Place, producer: Producer, observer: Boilermaker
) -> None:
    keys = [f"crowd-{n}" for n in range(9)]
    await producer.publish(*(named(key, "linger", key, 0.5) for key in keys))
    with place.worker(concurrency=3):
        assert [await observer.handle(key).result(PATIENCE) for key in keys] == keys
    starts = [(entry.at, 1) for key in keys for entry in place.journal.entries(key)]
    ends = [(entry.at, -1) for key in keys for entry in place.journal.entries(key, "ended")]
    assert (len(starts), len(ends)) == (9, 9)
    running, most = 0, 0
    for _, change in sorted(starts + ends):
        running += change
        most = max(most, running)
    assert most == 3


async def test_a_task_longer_than_its_lock_runs_once(place: Place, producer: Producer, observer: Boilermaker) -> None:
    await producer.publish(named("long", "linger", "long", 8))
    with place.worker(concurrency=2):
        assert await observer.handle("long").result(PATIENCE) == "long"
        await place.until_empty()
    assert len(place.journal.entries("long")) == 1


async def test_sigterm_gives_back_what_cannot_finish(place: Place, producer: Producer, observer: Boilermaker) -> None:
    with place.worker(concurrency=4, grace=2) as draining:
        await producer.publish(named("too-long", "hang_once", "too-long"), named("short", "linger", "short", 1))
        await place.until_started("too-long", "short")
        assert await asyncio.to_thread(draining.terminate) == 0
    assert await observer.handle("too-long").status() is TaskStatus.Pending
    assert await observer.handle("short").result(PATIENCE) == "short"
    with place.worker(concurrency=4):
        assert await observer.handle("too-long").result(PATIENCE) == 2
    assert (await observer.handle("too-long").info()).attempts == 1
    assert [len(place.journal.entries(key)) for key in ("too-long", "short")] == [2, 1]


async def test_what_the_broker_gave_up_is_recorded(place: Place, producer: Producer, observer: Boilermaker) -> None:
    await producer.publish(named("poison", "crash", "poison", on_failure=named("antidote", "greet", "antidote")))
    for deliveries in range(1, 4):  # MaxDeliveryCount
        with place.worker(concurrency=1) as worker:
            await place.until_started("poison", times=deliveries)
            await asyncio.to_thread(worker.wait)
    with place.worker(concurrency=1):
        assert await observer.handle("antidote").result(PATIENCE) == "hello antidote"
    assert (await observer.handle("poison").info()).reason == "MaxDeliveryCountExceeded"
    assert (await place.letter("poison"))["function"] == "crash"


async def test_a_worker_outlives_its_broker(place: Place, producer: Producer, observer: Boilermaker) -> None:
    with place.worker(concurrency=2):
        await producer.publish(named("before", "greet", "before"))
        assert await observer.handle("before").result(PATIENCE) == "hello before"
        await asyncio.to_thread(place.emulator.restart)
        await producer.publish(named("after", "greet", "after"))
        assert await observer.handle("after").result(PATIENCE) == "hello after"
