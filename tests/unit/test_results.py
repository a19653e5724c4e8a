"""Terminal rows: written once, read back whole, purged by age."""

from __future__ import annotations

import asyncio
import datetime
import json
import uuid

import pydantic
import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.entities import MAX_ENTITY_BYTES, Insert, check_operations, size_of
from boilermaker_fn.errors import (
    ResultsNotKept,
    ResultTimeout,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    TaskNotFound,
)
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.outcomes import ErrorInfo
from boilermaker_fn.result_rows import from_entity, partition_of, partitions, to_entity
from boilermaker_fn.results import ResultStore, to_result
from boilermaker_fn.task import TaskStatus
from boilermaker_fn.task.row import MAX_RESULT_BYTES, TerminalRow
from tests.stage import Stage, staged


def row(task_id: str = "t", status: TaskStatus = TaskStatus.Success, **fields) -> TerminalRow:
    return TerminalRow(task_id, "work", status, **fields)


FAILED = row(
    status=TaskStatus.Failure,
    reason="TaskFailed",
    error=ErrorInfo("ValueError", "boom", "Traceback"),
    attempts=3,
    generation=2,
    graph_id="g",
    published_at=1.5,
    started_at=2.5,
    finished_at=3.5,
)


@pytest.fixture
async def store():
    """A store in memory."""
    engine = LocalEngine()
    yield ResultStore(engine.table)
    await engine.close()


# -- rows


@pytest.mark.parametrize(
    "one",
    [
        row(),
        row(result='"text"', attempts=1, finished_at=5.0),
        FAILED,
        row(status=TaskStatus.Cancelled, reason="Cancelled", error=ErrorInfo("Cancelled", "m")),
        row(result=json.dumps("é🔥" * 100_000, ensure_ascii=False)),
        row(result=json.dumps("x" * (MAX_RESULT_BYTES - 2))),
    ],
    ids=lambda one: f"{one.status}, {len(one.result)} characters",
)
async def test_what_is_written_is_read(store: ResultStore, one: TerminalRow) -> None:
    assert from_entity(to_entity(one)) == one
    assert await store.insert(one) is None
    assert await store.read("t") == one


def test_the_largest_row_fits() -> None:
    text = "\U0001f525" * 16_384
    error = ErrorInfo("x" * 1_024, text, text)
    largest = row("t" * 96, result="x" * MAX_RESULT_BYTES, error=error, reason="r" * 256, graph_id="g" * 96)
    largest = largest._replace(published_at=1.0, started_at=1.0, finished_at=1.0)
    for status in TaskStatus:
        ended = {"status": status, "error": None if status.succeeded else error}
        entity = to_entity(largest._replace(**ended))
        check_operations([Insert(entity)])
        assert size_of(entity) <= MAX_ENTITY_BYTES


def test_rows_spread_over_all_partitions() -> None:
    assert len(partitions()) == len(set(partitions())) == 256
    used = {partition_of(str(uuid.UUID(int=n))) for n in range(10_000)}
    assert used == set(partitions())


def test_the_form_users_see() -> None:
    seen = to_result(FAILED)
    assert (seen.task_id, seen.graph_id, seen.status, seen.result) == ("t", "g", TaskStatus.Failure, None)
    assert (seen.errors, seen.formatted_exception, seen.error_type) == (["boom"], "Traceback", "ValueError")
    assert (seen.reason, seen.attempts) == ("TaskFailed", 3)
    assert seen.started == datetime.datetime.fromtimestamp(2.5, datetime.UTC)
    assert seen.finished
    assert not seen.succeeded
    assert to_result(row(result="[1, null]")).result == [1, None]


# -- the store


async def test_the_first_row_stays(store: ResultStore) -> None:
    assert await store.insert(row(result="1")) is None
    assert await store.insert(FAILED) == row(result="1")
    assert await store.read("t") == row(result="1")


async def test_cancelling_loses_against_an_end_and_wins_against_none(store: ResultStore) -> None:
    await store.insert(row("ended"))
    assert await store.cancel("ended", 5.0) is False
    assert await store.cancel("queued", 5.0) is True
    assert await store.cancel("queued", 6.0) is True
    kept = await store.read("queued")
    assert kept is not None
    assert (kept.status, kept.finished_at) == (TaskStatus.Cancelled, 5.0)


async def test_purging_removes_what_is_old_in_resumable_pages(store: ResultStore) -> None:
    for number in range(600):
        await store.insert(row(f"old-{number}", finished_at=10.0))
        await store.insert(row(f"new-{number}", finished_at=20.0))
    removed, resume, pages = 0, None, 0
    while True:
        page = await store.purge(15.0, resume)
        removed, resume, pages = removed + page.removed, page.resume, pages + 1
        if resume is None:
            break
    assert removed == 600
    assert pages >= 256
    assert await store.read("old-7") is None
    assert await store.read("new-7") is not None


async def test_a_full_partition_is_purged_in_several_pages(store: ResultStore) -> None:
    ids = [one for one in map(str, range(700_000)) if partition_of(one) == "results-00"][:2_300]
    for one in ids:
        await store.insert(row(one, finished_at=10.0))
    pages, resume = [], None
    while resume is None or resume.startswith("results-00"):
        page = await store.purge(15.0, resume)
        pages.append(page.removed)
        resume = page.resume
    assert pages == [1_000, 1_000, 300]


async def test_two_who_purge_at_once_remove_everything_once(store: ResultStore) -> None:
    ids = [one for one in map(str, range(40_000)) if partition_of(one) == "results-00"]
    for one in ids:
        await store.insert(row(one, finished_at=10.0))
    pages = await asyncio.gather(store.purge(15.0), store.purge(15.0))
    assert sum(page.removed for page in pages) == len(ids)


# -- the handle


class Invoice(pydantic.BaseModel):
    """A result with a type."""

    number: int
    due: datetime.date


async def test_a_result_is_revived_by_the_annotation(stage: Stage) -> None:
    @stage.app.task()
    async def bill(state: list[str]) -> Invoice:
        return Invoice(number=7, due=datetime.date(2030, 1, 1))

    handle = await stage.app.apply_async(bill)
    await stage.play()
    assert await handle.result(timeout=1) == Invoice(number=7, due=datetime.date(2030, 1, 1))
    assert (await handle.info()).result == {"number": 7, "due": "2030-01-01"}
    assert await stage.app.handle(handle.task_id, bill).result(timeout=1) == await handle.result()
    assert await stage.app.handle(handle.task_id).result(timeout=1) == {"number": 7, "due": "2030-01-01"}


async def test_the_three_times_and_the_attempts_are_known(stage: Stage) -> None:
    @stage.app.task(max_retries=1, retry_delay=30)
    async def flaky(state: list[str]) -> None:
        state.append("tried")
        stage.clock.now += 2
        if len(state) == 1:
            raise ValueError("not yet")

    start = datetime.datetime.fromtimestamp(stage.clock.now, datetime.UTC)
    handle = await stage.app.options(delay=10).apply_async(flaky)
    await stage.play()
    info = await handle.info()
    seconds = [(one - start).total_seconds() for one in (info.published, info.started, info.finished_at) if one]
    assert seconds == [0, 42, 44]
    assert (info.attempts, info.function_name) == (2, "flaky")


async def test_a_failure_is_raised_with_all_that_is_known(stage: Stage) -> None:
    @stage.app.task()
    async def broken(state: list[str]) -> None:
        raise LookupError("boom")

    handle = await stage.app.apply_async(broken)
    await stage.play()
    with pytest.raises(TaskFailed, match=r"failure \(TaskFailed\): LookupError: boom") as caught:
        await handle.result()
    assert caught.value.task_id == handle.task_id
    assert "in broken" in caught.value.traceback


async def test_a_cancelled_task_does_not_run_and_nothing_follows_it(stage: Stage) -> None:
    @stage.app.task()
    async def work(state: list[str]) -> None:
        state.append("ran")

    one = stage.app.create_task(work)
    one.on_success, one.on_failure = stage.app.create_task(work), stage.app.create_task(work)
    handle = await stage.app.publish_task(one)
    assert await handle.cancel() is True
    assert await stage.play() == ["cancelled"]
    assert stage.app.state == []
    assert await stage.letters() == []
    with pytest.raises(TaskCancelled):
        await handle.result()


async def test_a_task_that_is_cancelled_while_it_runs_goes_on_and_nothing_follows_it(stage: Stage) -> None:
    @stage.app.task()
    async def work(state: list[str], task_id: str) -> None:
        state.append("ran")
        await stage.app.handle(task_id).cancel()

    one = stage.app.create_task(work, "a")
    one.task_id = "a"
    one >> stage.app.create_task(work, "b")
    await stage.app.publish_task(one)
    assert await stage.play() == ["cancelled"]
    assert stage.app.state == ["ran"]


async def test_an_expired_task_says_so(stage: Stage) -> None:
    @stage.app.task(expires=5)
    async def work(state: list[str]) -> None: ...

    handle = await stage.app.apply_async(work)
    stage.clock.now += 6
    await stage.play()
    with pytest.raises(TaskExpired, match=r"1\.0 s ago"):
        await handle.result()
    assert await stage.letters() == []


async def test_waiting_ends_with_the_time_given(stage: Stage) -> None:
    @stage.app.task()
    async def work(state: list[str]) -> None: ...

    handle = await stage.app.apply_async(work)
    with pytest.raises(ResultTimeout, match="ask again") as caught:
        await handle.result(timeout=0.01)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.timeout == 0.01


async def test_a_task_between_two_attempts_is_pending(stage: Stage) -> None:
    @stage.app.task(max_retries=1, retry_delay=60)
    async def flaky(state: list[str]) -> None:
        raise ValueError("not yet")

    handle = await stage.app.apply_async(flaky)
    await stage.deliver()
    assert await handle.status() is TaskStatus.Pending


async def test_a_task_in_another_queue_is_found(stage: Stage) -> None:
    @stage.app.task(queue="other")
    async def work(state: list[str]) -> str:
        return "done"

    handle = await stage.app.apply_async(work)
    for one in (handle, stage.app.handle(handle.task_id)):
        assert await one.status() is TaskStatus.Pending
    await stage.play("other")
    assert await handle.result(timeout=1) == "done"


async def test_a_purged_result_is_no_task_any_more(stage: Stage) -> None:
    @stage.app.task()
    async def work(state: list[str]) -> None: ...

    handle = await stage.app.apply_async(work)
    await stage.play()
    assert stage.wiring.results is not None
    resume = None
    while (resume := (await stage.wiring.results.purge(stage.clock.now + 1, resume)).resume) is not None:
        pass
    with pytest.raises(TaskNotFound):
        await handle.status()


async def test_without_a_store_nothing_is_known_and_said_so(plain_stage: Stage) -> None:
    @plain_stage.app.task()
    async def work(state: list[str]) -> None: ...

    handle = await plain_stage.app.apply_async(work)
    for ask in (handle.status, handle.info, handle.result, handle.cancel):
        with pytest.raises(ResultsNotKept, match="results_storage"):
            await ask()


async def test_a_result_that_is_not_kept_says_so(stage: Stage) -> None:
    @stage.app.task(keep_result=False)
    async def work(state: list[str]) -> None: ...

    handle = await stage.app.apply_async(work)
    await stage.play()
    with pytest.raises(ResultsNotKept):
        await handle.status()
    assert await stage.row(handle.task_id) is None


async def test_results_can_be_kept_elsewhere() -> None:
    elsewhere = LocalEngine()
    engine = LocalEngine(results=False)
    app = Boilermaker([], engine, results_storage=elsewhere.table)

    @app.task()
    async def work(state: list[str]) -> int:
        return 7

    async with app:
        handle = await app.apply_async(work)
        assert await handle.result(timeout=20) == 7
        assert await ResultStore(elsewhere.table).read(handle.task_id) is not None
    await elsewhere.close()


async def test_a_plain_task_without_a_store_runs() -> None:
    async with staged(Boilermaker([]), results=False) as stage:

        @stage.app.task()
        async def work(state: list[str]) -> None:
            state.append("ran")

        one = stage.app.create_task(work)
        one >> stage.app.create_task(work)
        await stage.app.publish_task(one)
        assert await stage.play() == ["success", "success"]
        assert stage.app.state == ["ran", "ran"]
