"""Can a user test an app in three lines? Everything that becomes due runs, time skips, and all of it can be seen."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Iterator
from typing import Any

import pytest

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy
from boilermaker_fn.errors import ResultTimeout, TaskFailed, TaskNotFound
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import Message
from boilermaker_fn.retries import RetryMode
from boilermaker_fn.testing import Endless, VirtualWorker

NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)


def seconds(number: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=number)


class Shop:
    """An app with a task of each kind; its state is a list."""

    def __init__(self) -> None:
        self.app = app = Boilermaker([])

        @app.task
        async def charge(state: Any, amount: int) -> int:
            state.append(amount)
            return amount

        @app.task
        async def slow(state: Any, takes: float) -> str:
            state.append("begun")
            await asyncio.sleep(takes)
            state.append("done")
            return "done"

        @app.task
        async def flaky(state: Any, failures: int) -> int:
            state.append("tried")
            if len(state) <= failures:
                raise RetryException("not yet", RetryPolicy(max_tries=5, delay=120, delay_max=120))
            return len(state)

        @app.task
        async def boom(state: Any) -> None:
            raise KeyError("boom")

        @app.task
        async def again(state: Any, delay: float) -> None:
            await app.options(delay=delay).apply_async(again, delay)

        @app.task
        async def stuck(state: Any) -> None:
            await asyncio.Event().wait()

        @app.task
        def blocking(state: Any) -> str:
            time.sleep(0.01)
            return "blocked"

        @app.task
        async def when(state: Any) -> datetime.datetime:
            return NOON

        self.charge, self.slow, self.flaky, self.boom = charge, slow, flaky, boom
        self.again, self.stuck, self.blocking, self.when = again, stuck, blocking, when


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def worker(shop: Shop) -> Iterator[VirtualWorker]:
    with VirtualWorker(shop.app, start=NOON) as one:
        yield one


def test_a_task_runs_and_its_result_is_seen(shop: Shop, worker: VirtualWorker) -> None:
    handle = worker.run(shop.app.apply_async(shop.charge, 3))
    assert shop.app.state == []
    worker.until_idle()
    assert worker.result(handle) == 3
    assert worker.result(str(handle.task_id)) == 3
    assert worker.info(handle).finished_at == NOON
    assert worker.queue() == []
    assert worker.dead_letters() == []
    assert worker.now == NOON


def test_until_idle_skips_to_retries(shop: Shop, worker: VirtualWorker) -> None:
    handle = worker.run(shop.app.apply_async(shop.flaky, 2))
    worker.until_idle()
    assert worker.result(handle) == 3
    assert worker.info(handle).attempts == 3
    assert worker.now == NOON + seconds(240)


def test_skip_runs_what_falls_due_and_no_more(shop: Shop, worker: VirtualWorker) -> None:
    for delay in (10, 20, 21):
        worker.run(shop.app.options(delay=delay).apply_async(shop.charge, delay))
    worker.skip(9.5)
    assert shop.app.state == []
    worker.skip(datetime.timedelta(seconds=10.5))
    assert shop.app.state == [10, 20]
    assert worker.now == NOON + seconds(20)
    (left,) = worker.queue()
    assert (left.function, left.due, left.queue) == ("charge", NOON + seconds(21), "boilermaker-tasks")


def test_a_task_that_is_running_at_the_end_of_a_skip_goes_on(shop: Shop, worker: VirtualWorker) -> None:
    handle = worker.run(shop.app.apply_async(shop.slow, 3600))
    worker.skip(60)
    assert shop.app.state == ["begun"]
    assert worker.queue() == []
    with pytest.raises(ResultTimeout):
        worker.result(handle)
    worker.skip(3539)
    assert shop.app.state == ["begun"]
    worker.skip(1)
    assert shop.app.state == ["begun", "done"]
    assert worker.info(handle).attempts == 1


def test_tasks_run_concurrently_up_to_the_limit(shop: Shop) -> None:
    with VirtualWorker(shop.app, start=NOON, concurrency=2) as worker:
        for _ in range(4):
            worker.run(shop.app.apply_async(shop.slow, 10))
        worker.skip(10)
        assert shop.app.state[:2] == ["begun", "begun"]
        assert shop.app.state.count("done") == 2
        worker.until_idle()
        assert worker.now == NOON + seconds(20)


def test_a_failure_leaves_a_dead_letter_with_everything(shop: Shop, worker: VirtualWorker) -> None:
    handle = worker.run(shop.app.apply_async(shop.boom))
    worker.until_idle()
    (letter,) = worker.dead_letters()
    assert (letter.reason, letter.error_type, letter.function) == ("TaskFailed", "KeyError", "boom")
    assert (letter.task_id, letter.attempt, letter.origin) == (handle.task_id, 1, "boilermaker-tasks")
    assert letter.failed_at == NOON
    assert "boom" in letter.description
    assert 'raise KeyError("boom")' in letter.traceback
    assert b'"function_name":"boom"' in letter.body
    with pytest.raises(TaskFailed, match="KeyError"):
        worker.result(handle)


def test_callbacks_and_chains_run_to_their_end(shop: Shop, worker: VirtualWorker) -> None:
    app = shop.app
    first, last = app.create_task(shop.charge, 1), app.create_task(shop.charge, 3)
    worker.run(app.publish_task(app.chain(first, app.create_task(shop.charge, 2), last)))
    worker.until_idle()
    assert app.state == [1, 2, 3]
    assert worker.result(last.task_id) == 3


def test_run_delivers_while_a_coroutine_waits(shop: Shop, worker: VirtualWorker) -> None:
    async def scenario() -> str:
        handle = await shop.app.apply_async(shop.slow, 100)
        await asyncio.sleep(50)
        assert shop.app.state == ["begun"]
        return await handle.result(timeout=60)

    assert worker.run(scenario()) == "done"


def test_what_never_comes_is_not_waited_for(worker: VirtualWorker) -> None:
    with pytest.raises(Endless, match="86400 s"):
        worker.run(asyncio.Event().wait())
    with pytest.raises(Endless, match="60 s"):
        worker.run(asyncio.sleep(61), timeout=60)


@pytest.mark.parametrize("delay", [0, 3600])
def test_an_endless_workflow_is_said(shop: Shop, worker: VirtualWorker, delay: float) -> None:
    worker.run(shop.app.apply_async(shop.again, delay))
    with pytest.raises(Endless, match=r"after 20 deliveries .* 'again'"):
        worker.until_idle(limit=20)


def test_an_endless_workflow_in_one_instant_is_said_by_skip(shop: Shop, worker: VirtualWorker) -> None:
    worker.run(shop.app.apply_async(shop.again, 0))
    with pytest.raises(Endless, match="after 20 deliveries"):
        worker.skip(1, limit=20)


def test_a_task_that_never_returns_is_said(shop: Shop, worker: VirtualWorker) -> None:
    worker.run(shop.app.apply_async(shop.stuck))
    with pytest.raises(Endless, match=r"'stuck'.* a day of virtual time"):
        worker.until_idle()


def test_threads_take_no_virtual_time(shop: Shop, worker: VirtualWorker) -> None:
    handle = worker.run(shop.app.apply_async(shop.blocking))
    worker.run(shop.app.options(delay=1).apply_async(shop.charge, 1))
    worker.until_idle()
    assert worker.result(handle) == "blocked"
    assert worker.info(handle).finished_at == NOON


def test_results_are_revived_by_the_handle(shop: Shop, worker: VirtualWorker) -> None:
    handle = worker.run(shop.app.apply_async(shop.when))
    worker.until_idle()
    assert worker.result(handle) == NOON
    assert worker.result(str(handle.task_id)) == NOON.isoformat().replace("+00:00", "Z")


def test_an_unknown_task_is_said(worker: VirtualWorker) -> None:
    with pytest.raises(TaskNotFound):
        worker.info("never-published")


def test_what_the_broker_gave_up_is_recorded_without_running(shop: Shop, worker: VirtualWorker) -> None:
    async def poisoned() -> str:
        handle = await shop.app.apply_async(shop.charge, 1)
        inbox = shop.app.shell.wiring.engine.inbox("boilermaker-tasks")
        for _ in range(10):
            (delivery,) = await inbox.receive(1, 0)
            await inbox.release(delivery)
        return handle.task_id

    task_id = worker.run(poisoned())
    worker.until_idle()
    (letter,) = worker.dead_letters()
    assert (letter.reason, letter.task_id) == ("MaxDeliveryCountExceeded", task_id)
    assert worker.info(task_id).reason == "MaxDeliveryCountExceeded"
    assert shop.app.state == []


def test_what_is_no_task_is_seen_in_the_queue_and_among_the_dead_letters(shop: Shop, worker: VirtualWorker) -> None:
    wiring = shop.app.shell.wiring
    worker.run(wiring.engine.transport.send([Message(wiring.queue, "odd", b"{}")]))
    (odd,) = worker.queue()
    assert (odd.task, odd.function, odd.message_id, odd.body) == (None, "", "odd", b"{}")
    worker.until_idle()
    (letter,) = worker.dead_letters()
    assert (letter.reason, letter.task_id, letter.attempt, letter.body) == ("InvalidTaskFormat", "", 0, b"{}")


def test_all_queues_of_the_app_are_served(shop: Shop) -> None:
    @shop.app.task(queue="reports")
    async def report(state: Any) -> None:
        state.append("report")

    with VirtualWorker(shop.app) as worker:
        worker.run(shop.app.apply_async(report))
        assert [message.queue for message in worker.queue()] == ["reports"]
        worker.until_idle()
    assert shop.app.state == ["report"]


def test_random_delays_have_their_full_length_or_come_from_the_seed(shop: Shop) -> None:
    policy = RetryPolicy(max_tries=2, delay=100, retry_mode=RetryMode.Exponential)

    @shop.app.task(policy=policy)
    async def retried(state: Any) -> None:
        raise RetryException("once more")

    def took(seed: int | None) -> float:
        with VirtualWorker(shop.app, start=NOON, seed=seed) as worker:
            worker.run(shop.app.apply_async(retried))
            worker.until_idle()
            return (worker.now - NOON).total_seconds()

    assert took(None) == 100
    assert took(7) == took(7) != 100


def test_the_app_is_as_before_afterwards(shop: Shop) -> None:
    engine = LocalEngine(None)
    app = Boilermaker([], engine)
    app.register_async(shop.slow)
    before = app.shell.wiring
    with VirtualWorker(app) as worker:
        inside = app.shell.wiring.engine
        worker.run(app.apply_async(shop.slow, 10))
        worker.skip(5)
    assert app.shell.wiring is before
    assert app.state == ["begun"]

    async def left() -> list[Any]:
        return await engine.inbox(before.queue).peek(10)

    assert asyncio.run(left()) == []
    assert inside is not engine


def test_code_under_test_that_closes_the_app_stays_in_memory(shop: Shop, worker: VirtualWorker) -> None:
    async def publishes_and_closes() -> Any:
        handle = await shop.app.apply_async(shop.charge, 1)
        await shop.app.close()
        return handle

    first, second = worker.run(publishes_and_closes()), worker.run(publishes_and_closes())
    worker.until_idle()
    assert (worker.result(first), worker.result(second)) == (1, 1)


def test_the_synchronous_client_publishes_into_it(shop: Shop, worker: VirtualWorker) -> None:
    with shop.app.sync as client:
        task_id = client.apply(shop.charge, 5).task_id
        worker.until_idle()
        assert worker.result(task_id) == 5


async def test_it_says_how_to_use_it_when_a_loop_is_running(shop: Shop) -> None:
    with pytest.raises(RuntimeError, match="plain `def` test"), VirtualWorker(shop.app):
        pass


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [({"concurrency": 0}, "concurrency is 0"), ({"start": datetime.datetime(2030, 1, 1)}, "no time zone")],
)
def test_wrong_arguments_are_said(shop: Shop, arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        VirtualWorker(shop.app, **arguments)


def test_time_does_not_go_back(worker: VirtualWorker) -> None:
    with pytest.raises(ValueError, match="-1"):
        worker.skip(-1)
