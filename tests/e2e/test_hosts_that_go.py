"""What becomes of the tasks of a host that goes away, with and without notice?"""

from __future__ import annotations

import asyncio

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.task.result import TaskStatus
from tests.e2e.place import Place, Producer, named
from tests.e2e.processes import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("runtime")]


async def test_a_host_that_drains_gives_back_what_it_cannot_finish(
    place: Place, producer: Producer, observer: Boilermaker
) -> None:
    with place.host(grace=2) as draining:
        await producer.publish(named("too-long", "hang_once", "too-long"), named("short", "linger", "short", 1))
        await place.until_started("too-long", "short")
        assert await asyncio.to_thread(draining.terminate) == 0
    assert await observer.handle("too-long").status() is TaskStatus.Pending
    assert await observer.handle("short").result(PATIENCE) == "short"
    with place.host():
        assert await observer.handle("too-long").result(PATIENCE) == 2
    assert (await observer.handle("too-long").info()).attempts == 1
    assert [len(place.journal.entries(key)) for key in ("too-long", "short")] == [2, 1]


async def test_a_task_whose_host_is_killed_runs_again(place: Place, producer: Producer, observer: Boilermaker) -> None:
    with place.host() as victim:
        await producer.publish(named("survivor", "hang_once", "survivor"))
        await place.until_started("survivor")
        victim.kill()
    with place.host():
        assert await observer.handle("survivor").result(PATIENCE) == 2
    first, second = place.journal.entries("survivor")
    assert first.process != second.process
    assert len(place.journal.entries("survivor", "ended")) == 1
    assert (await observer.handle("survivor").info()).attempts == 1
