"""How a worker works a queue: on the engine in memory and a virtual clock."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from boilermaker_fn import Boilermaker, RetryException
from boilermaker_fn.errors import LockLost, StoreUnavailable, TaskFailed
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import DEAD_LETTER_SUFFIX, Delivery
from boilermaker_fn.results import ResultStore
from boilermaker_fn.testing.virtual_time import VirtualTimeLoop
from boilermaker_fn.wiring import Wiring


class Place:
    """An app on an engine in memory, whose clock is a virtual event loop's."""

    def __init__(self, **engine: Any) -> None:
        self.loop = VirtualTimeLoop(start=1_000_000.0)
        self.engine = LocalEngine(None, clock=self.loop.time, **engine)
        self.app = Boilermaker([])
        self.wiring = Wiring(
            self.engine, ResultStore(self.engine.table), "work", "dead", self.loop.time, chance=lambda: 0.5
        )

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        with self.app.shell.rewired(self.wiring):
            try:
                return self.loop.run_until_complete(self._to_the_end(work))
            finally:
                self.loop.close()

    async def _to_the_end(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await work
        finally:
            await self.engine.close()

    async def waiting(self, queue: str = "work") -> list[Delivery]:
        return await self.engine.inbox(queue).peek(1000)


async def test_concurrency_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="concurrency is 0"):
        Boilermaker().worker(concurrency=0)


def test_it_runs_as_many_tasks_at_once_as_it_was_told_and_reserves_no_more() -> None:
    place = Place()
    now, most, reserved = 0, 0, []

    @place.app.task
    async def work(state: Any) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        reserved.append(sum(d.delivery_count > 0 for d in await place.waiting()))
        await asyncio.sleep(10)
        now -= 1

    async def scene() -> None:
        handles = await place.app.publish_many([place.app.create_task(work) for _ in range(20)])
        worker = place.app.worker(concurrency=4)
        await worker.start()
        await asyncio.gather(*[handle.result() for handle in handles])
        await worker.stop()

    place.run(scene())
    assert most == 4
    assert max(reserved) == 4


def test_a_worker_of_one_runs_one_task_after_another_without_pauses() -> None:
    place = Place()

    @place.app.task
    async def work(state: Any) -> None:
        await asyncio.sleep(1)

    async def scene() -> float:
        handles = await place.app.publish_many([place.app.create_task(work) for _ in range(10)])
        began = place.loop.time()
        worker = place.app.worker(concurrency=1)
        await worker.start()
        await asyncio.gather(*[handle.result() for handle in handles])
        await worker.stop()
        return (await handles[-1].info()).finished_at.timestamp() - began

    assert place.run(scene()) == pytest.approx(10, abs=0.2)


def test_the_lock_is_renewed_while_a_task_runs_for_longer_than_it_lasts() -> None:
    place = Place(lock_duration=30.0)
    runs = []

    @place.app.task
    async def long(state: Any) -> str:
        runs.append(place.loop.time())
        await asyncio.sleep(600)
        return "done"

    async def scene() -> str:
        handle = await place.app.apply_async(long)
        worker = place.app.worker()
        other = place.app.worker()
        await worker.start()
        await other.start()
        value = await handle.result()
        await worker.stop()
        await other.stop()
        assert await place.waiting() == []
        return value

    assert place.run(scene()) == "done"
    assert len(runs) == 1


def test_stopping_lets_what_runs_finish_within_the_grace_period() -> None:
    place = Place()

    @place.app.task
    async def work(state: Any) -> str:
        await asyncio.sleep(20)
        return "finished"

    async def scene() -> str:
        handle = await place.app.apply_async(work)
        worker = place.app.worker(grace=25)
        await worker.start()
        await asyncio.sleep(2)
        await worker.stop()
        return await handle.result(timeout=0.1)

    assert place.run(scene()) == "finished"


def test_what_does_not_finish_in_the_grace_period_is_handed_back_and_has_used_no_attempt() -> None:
    place = Place()
    seen = []

    @place.app.task
    async def slow(state: Any) -> str:
        seen.append("started")
        await asyncio.sleep(100 if len(seen) == 1 else 1)
        return "at last"

    async def scene() -> None:
        handle = await place.app.apply_async(slow)
        first = place.app.worker(grace=5)
        await first.start()
        await asyncio.sleep(2)
        await first.stop()
        (message,) = await place.waiting()
        assert message.message_id == handle.task_id
        second = place.app.worker()
        await second.start()
        # At once: it was released, its lock did not have to expire.
        assert await handle.result(timeout=5) == "at last"
        assert (await handle.info()).attempts == 1
        await second.stop()

    place.run(scene())
    assert seen == ["started", "started"]


def test_retries_do_not_take_a_place_while_they_wait() -> None:
    place = Place()
    attempts = []

    @place.app.task(max_retries=3, retry_delay=100.0)
    async def flaky(state: Any) -> int:
        attempts.append(place.loop.time())
        if len(attempts) < 3:
            raise RetryException("later")
        return len(attempts)

    @place.app.task
    async def quick(state: Any) -> str:
        return "quick"

    async def scene() -> None:
        slow = await place.app.apply_async(flaky)
        worker = place.app.worker(concurrency=1)
        await worker.start()
        await asyncio.sleep(1)
        assert await (await place.app.apply_async(quick)).result(timeout=5) == "quick"
        assert await slow.result() == 3
        await worker.stop()

    place.run(scene())
    assert [round(b - a) for a, b in itertools.pairwise(attempts)] == [100, 200]


def test_every_queue_that_is_named_at_registration_is_worked() -> None:
    place = Place()

    @place.app.task(queue="reports")
    async def report(state: Any) -> str:
        return "report"

    async def scene() -> str:
        handle = await place.app.apply_async(report)
        assert [m.message_id for m in await place.waiting("reports")] == [handle.task_id]
        worker = place.app.worker()
        await worker.start()
        value = await handle.result()
        await worker.stop()
        return value

    assert place.run(scene()) == "report"


def test_what_the_broker_gives_up_is_recorded_and_its_failure_callback_runs() -> None:
    place = Place(max_delivery_count=2, lock_duration=10)
    told = []

    @place.app.task
    async def deadly(state: Any) -> None:
        raise AssertionError("is never run in this test")

    @place.app.task
    async def tell(state: Any, what: str) -> None:
        told.append(what)

    async def scene() -> None:
        task = place.app.create_task(deadly)
        task.on_failure = place.app.create_task(tell, "it died")
        handle = await place.app.publish_task(task)
        for _ in range(2):  # two processes die with it
            assert await place.engine.inbox("work").receive(1, 1)
            await asyncio.sleep(11)
        worker = place.app.worker()
        await worker.start()
        with pytest.raises(TaskFailed, match="MaxDeliveryCountExceeded"):
            await handle.result()
        await place.app.handle(task.on_failure.task_id).result()
        await worker.stop()
        assert await place.waiting("work" + DEAD_LETTER_SUFFIX) == []
        (letter,) = await place.waiting("dead")
        assert letter.properties["DeadLetterReason"] == "MaxDeliveryCountExceeded"

    place.run(scene())
    assert told == ["it died"]


class FailingInbox:
    """An inbox that fails for a while, as a broker that is away does."""

    def __init__(self, inbox: Any, failures: int) -> None:
        self.inbox = inbox
        self.failures = failures

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inbox, name)

    async def receive(self, count: int, wait: float) -> Sequence[Delivery]:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        return await self.inbox.receive(count, wait)


def test_a_backend_that_fails_ends_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place()
    inbox = place.engine.inbox
    failing: dict[str, FailingInbox] = {}
    monkeypatch.setattr(place.engine, "inbox", lambda q: failing.setdefault(q, FailingInbox(inbox(q), failures=20)))

    @place.app.task
    async def work(state: Any) -> str:
        return "done"

    async def scene() -> str:
        handle = await place.app.apply_async(work)
        worker = place.app.worker()
        await worker.start()
        value = await handle.result()
        await worker.stop()
        return value

    assert place.run(scene()) == "done"


def test_stopping_does_not_wait_for_a_thread_that_hangs() -> None:
    import threading

    place = Place()
    let_go = threading.Event()

    @place.app.task(timeout=2)
    def hangs(state: Any) -> None:
        let_go.wait(30)

    async def scene() -> str:
        handle = await place.app.apply_async(hangs)
        worker = place.app.worker(grace=1)
        await worker.start()
        await asyncio.sleep(0.5)
        await worker.stop()
        let_go.set()
        return handle.task_id

    task_id = place.run(scene())
    assert task_id


class BrokenInbox:
    """An inbox of which one method fails, as the test says."""

    def __init__(self, inbox: Any, method: str, error: Exception, times: int) -> None:
        self._inbox = inbox
        self._method = method
        self._error = error
        self.left = times

    def __getattr__(self, name: str) -> Any:
        if name != self._method or not self.left:
            return getattr(self._inbox, name)
        self.left -= 1

        async def fail(*_: Any) -> None:
            raise self._error

        return fail


@pytest.mark.parametrize("error", [LockLost("m"), StoreUnavailable("away")])
def test_a_message_that_cannot_be_completed_comes_again_and_its_task_does_not(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(lock_duration=10)
    inbox = place.engine.inbox
    broken: dict[str, BrokenInbox] = {}
    monkeypatch.setattr(
        place.engine, "inbox", lambda q: broken.setdefault(q, BrokenInbox(inbox(q), "complete", error, 1))
    )
    runs = []

    @place.app.task
    async def work(state: Any) -> str:
        runs.append("run")
        return "done"

    async def scene() -> None:
        handle = await place.app.apply_async(work)
        worker = place.app.worker()
        await worker.start()
        assert await handle.result() == "done"
        await asyncio.sleep(30)
        await worker.stop()
        assert broken["work"].left == 0
        assert [m.message_id for m in await inbox("work").peek(10)] == []

    place.run(scene())
    assert runs == ["run"]


def test_a_lock_that_cannot_be_renewed_once_is_renewed_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(lock_duration=30)
    inbox = place.engine.inbox
    broken: dict[str, BrokenInbox] = {}
    away = StoreUnavailable("away")
    monkeypatch.setattr(place.engine, "inbox", lambda q: broken.setdefault(q, BrokenInbox(inbox(q), "renew", away, 1)))
    runs = []

    @place.app.task
    async def long(state: Any) -> str:
        runs.append("run")
        await asyncio.sleep(100)
        return "done"

    async def scene() -> str:
        handle = await place.app.apply_async(long)
        worker = place.app.worker()
        await worker.start()
        value = await handle.result()
        await worker.stop()
        return value

    assert place.run(scene()) == "done"
    assert (runs, broken["work"].left) == (["run"], 0)


def test_a_zombie_that_lost_its_lock_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(lock_duration=30)
    inbox = place.engine.inbox
    lost = LockLost("m")
    monkeypatch.setattr(place.engine, "inbox", lambda q: BrokenInbox(inbox(q), "renew", lost, 1))
    values = iter(["first", "second"])

    @place.app.task
    async def long(state: Any) -> str:
        mine = next(values)
        await asyncio.sleep(100 if mine == "first" else 5)
        return mine

    async def scene() -> str:
        handle = await place.app.apply_async(long)
        worker = place.app.worker()
        await worker.start()
        value = await handle.result()
        await asyncio.sleep(200)  # the zombie ends, too
        assert (await handle.info()).result == value
        await worker.stop()
        assert await place.waiting() == []
        return value

    assert place.run(scene()) == "second"


def test_a_bug_in_the_runner_hands_the_message_back_until_the_broker_gives_it_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place(max_delivery_count=3)

    @place.app.task
    async def work(state: Any) -> str:
        return "never"

    async def broken(self: Any, delivery: Delivery) -> str:
        raise KeyError("a bug")

    monkeypatch.setattr("boilermaker_fn.runner.Runner.handle", broken)

    async def scene() -> str:
        handle = await place.app.apply_async(work)
        worker = place.app.worker()
        await worker.start()
        with pytest.raises(TaskFailed) as failed:
            await handle.result()
        await worker.stop()
        return failed.value.reason

    assert place.run(scene()) == "MaxDeliveryCountExceeded"


def test_a_second_signal_interrupts_what_runs() -> None:
    place = Place()

    @place.app.task
    async def endless(state: Any) -> None:
        await asyncio.sleep(10_000)

    async def scene() -> float:
        await place.app.apply_async(endless)
        worker = place.app.worker(grace=1_000)
        running = asyncio.ensure_future(worker.run())
        await asyncio.sleep(1)
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(1)
        signal.raise_signal(signal.SIGTERM)
        await running
        (message,) = await place.waiting()
        assert message.delivery_count == 1
        return place.loop.time()

    assert place.run(scene()) < 1_000_100
