"""What is used in a way nobody meant is refused with words, or does no harm."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import threading
from typing import Any

import pytest

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy
from boilermaker_fn.entities import Insert
from boilermaker_fn.errors import (
    AlreadyPublished,
    ArgumentError,
    ConfigurationError,
    OptionError,
    RegistrationError,
    ResultsNotKept,
    ResultTimeout,
    StoreUnavailable,
)
from boilermaker_fn.execution import MAX_THREADS
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.result_rows import to_entity
from boilermaker_fn.task import TaskStatus
from boilermaker_fn.task.row import terminal_row
from tests.stage import Stage


async def test_closing_the_synchronous_client_leaves_no_thread_waiting_for_ever(tmp_path) -> None:
    app = Boilermaker([], LocalEngine(tmp_path / "tasks.db"))
    outcomes: list[object] = []

    @app.task
    async def work(state: Any) -> None: ...

    def wait(waiting: threading.Event) -> None:
        handle = app.sync.apply(work)
        waiting.set()
        try:
            handle.result(timeout=1)
        except ResultTimeout as error:
            outcomes.append(error.task_id == handle.task_id)

    def close_while_somebody_waits() -> None:
        waiting = threading.Event()
        thread = threading.Thread(target=wait, args=(waiting,), daemon=True)
        thread.start()
        assert waiting.wait(20)
        app.sync.close()
        thread.join(20)

    await asyncio.to_thread(close_while_somebody_waits)
    assert outcomes == [True]
    await asyncio.to_thread(app.sync.close)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="fork is a thing of Unix")
def test_the_synchronous_client_works_in_a_forked_process(tmp_path) -> None:
    app = Boilermaker([], LocalEngine(tmp_path / "tasks.db"))

    @app.task
    async def work(state: Any) -> None: ...

    app.sync.apply(work)
    child = multiprocessing.get_context("fork").Process(target=app.sync.apply, args=(work,))
    child.start()
    child.join(30)
    child.kill()
    assert child.exitcode == 0
    app.sync.close()


async def test_a_second_worker_inside_async_with_is_refused(stage: Stage) -> None:
    async with stage.app:
        with pytest.raises(RuntimeError, match="runs a worker already"):
            async with stage.app:
                raise AssertionError("not reached")


async def test_a_worker_outside_of_the_main_thread_says_what_to_use_instead() -> None:
    app = Boilermaker([], LocalEngine())
    with pytest.raises(RuntimeError, match="use `async with app` elsewhere"):
        await asyncio.to_thread(asyncio.run, app.worker().run())


@pytest.mark.parametrize("links", [(0, 1, 1, 2), (0, 1, 0)])
async def test_a_task_is_a_link_of_a_chain_once(stage: Stage, links: tuple[int, ...]) -> None:
    @stage.app.task
    async def work(state: Any) -> None: ...

    tasks = [stage.app.create_task(work) for _ in range(3)]
    copies = [tasks[link].model_copy() for link in links]
    with pytest.raises(ArgumentError, match="is twice in one chain"):
        await stage.app.publish_task(stage.app.chain(*copies))
    assert await stage.waiting() == []


async def test_one_id_for_two_links_is_refused(stage: Stage) -> None:
    @stage.app.task
    async def work(state: Any) -> None: ...

    named = stage.app.options(task_id="mine")
    with pytest.raises(ArgumentError, match="task mine is twice"):
        await stage.app.publish_task(stage.app.chain(named.create_task(work), named.create_task(work)))


async def test_options_hold_for_tasks_made_before(stage: Stage) -> None:
    @stage.app.task
    async def work(state: Any) -> None: ...

    task, *others = (stage.app.create_task(work) for _ in range(3))
    later = stage.app.options(delay=60, queue="slow")
    await later.publish_task(task)
    await later.publish_task(task)
    await later.publish_many(others)
    waiting = await stage.waiting("slow")
    assert [message.enqueued_at - stage.clock.now for message in waiting] == [60, 60, 60]
    with pytest.raises(AlreadyPublished):
        await stage.app.options(delay=61).publish_task(task)
    with pytest.raises(OptionError, match="cannot share"):
        await stage.app.options(task_id="mine").publish_many(others)


@pytest.mark.parametrize("wrong", [{"timeout": math.inf}, {"expires": 1e12}, {"max_retries": 1, "retry_delay": 1e12}])
def test_seconds_that_fit_into_no_message_are_refused_when_registered(wrong: dict[str, Any]) -> None:
    async def work(state: Any) -> None: ...

    with pytest.raises(RegistrationError, match="seconds"):
        Boilermaker().register_async(work, **wrong)


def test_seconds_that_fit_into_no_message_are_refused_when_published() -> None:
    with pytest.raises(OptionError, match="at most"):
        Boilermaker().options(delay=1e12)


def test_exceptions_that_can_be_read_only_once_are_refused() -> None:
    async def work(state: Any) -> None: ...

    with pytest.raises(RegistrationError, match="only once"):
        Boilermaker().register_async(work, retry_on=(kind for kind in [OSError]))


class Bare(RetryException):
    """Does not call its base."""

    def __init__(self) -> None: ...


class Grave(BaseException):
    """No Exception, as some libraries raise."""


async def test_a_retry_exception_without_its_base_asks_for_a_retry(stage: Stage) -> None:
    @stage.app.task(policy=RetryPolicy(max_tries=3, delay=1))
    async def work(state: Any) -> None:
        raise Bare

    await stage.app.apply_async(work)
    assert await stage.play() == ["retry", "retry", "retries_exhausted"]


async def test_a_policy_that_is_none_fails_the_task_with_words(stage: Stage) -> None:
    @stage.app.task
    async def work(state: Any) -> None:
        raise RetryException("later", policy="fast")  # type: ignore[arg-type]

    handle = await stage.app.apply_async(work)
    assert await stage.play() == ["failure"]
    assert "'fast', not a RetryPolicy" in (await handle.info()).errors[0]


@pytest.mark.parametrize("blocking", [False, True])
async def test_an_error_that_is_no_exception_is_an_outcome_too(stage: Stage, blocking: bool) -> None:
    async def on_loop(state: Any) -> None:
        raise Grave

    def in_thread(state: Any) -> None:
        raise Grave

    work = in_thread if blocking else on_loop
    stage.app.register_async(work, retry_on=(Grave,), policy=RetryPolicy(max_tries=2))
    await stage.app.apply_async(work)
    assert await stage.play() == ["retry", "retries_exhausted"]


async def test_threads_that_the_system_refuses_take_no_place_away(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    @stage.app.task
    def work(state: Any) -> None: ...

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    await stage.app.apply_async(work)
    (delivery,) = await stage.engine.inbox("tasks").receive(1, 0)
    with monkeypatch.context() as patch:
        patch.setattr("boilermaker_fn.threads.DaemonThreads.submit", refuse)
        for _ in range(MAX_THREADS + 1):
            with pytest.raises(RuntimeError, match="can't start"):
                await stage.runner.handle(delivery)
    assert await stage.runner.handle(delivery) == "success"


async def test_a_row_of_a_newer_version_puts_its_task_off(stage: Stage) -> None:
    @stage.app.task
    async def work(state: Any) -> None:
        raise AssertionError("it has ended already")

    task = stage.app.create_task(work)
    entity = to_entity(terminal_row(task, TaskStatus.Success, stage.clock.now))
    await stage.engine.table.write([Insert(type(entity)(entity.partition, entity.row, {"status": "mended"}))])
    handle = await stage.app.publish_task(task)
    assert await stage.deliver() == "postponed"
    with pytest.raises(StoreUnavailable, match="status 'mended', which this version does not know"):
        await handle.status()


async def test_a_handle_of_a_function_that_keeps_no_result_says_so(stage: Stage) -> None:
    @stage.app.task(keep_result=False)
    async def work(state: Any) -> None: ...

    published = await stage.app.apply_async(work)
    with pytest.raises(ResultsNotKept):
        await stage.app.handle(published.task_id, work).cancel()


@pytest.mark.parametrize("worked", [{}, {"queue": "other"}])
def test_the_queue_for_dead_letters_cannot_be_worked(monkeypatch: pytest.MonkeyPatch, worked: dict[str, Any]) -> None:
    monkeypatch.setenv("SERVICE_BUS_QUEUE_NAME", "work")
    monkeypatch.setenv("DEAD_LETTER_QUEUE_NAME", worked.get("queue", "work"))
    app = Boilermaker([], LocalEngine())

    async def work(state: Any) -> None: ...

    app.register_async(work, **worked)
    with pytest.raises(ConfigurationError, match="round for ever"):
        app.shell.runner()


async def test_what_is_put_off_can_be_read_in_the_log(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    await stage.app.publish_by_name("tpyo")
    await stage.deliver()
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "settled tpyo: postponed"
    ]
