"""What users of sitq and Flowrra expect, and what those two get wrong, is right here."""

from __future__ import annotations

import asyncio
import datetime
import pickle
import zoneinfo
from pathlib import Path

import pytest

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy
from boilermaker_fn.errors import (
    OptionError,
    ResultTimeout,
    StoreUnavailable,
    TaskFailed,
    TaskNotFound,
    TaskTimeout,
)
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.task import TaskStatus
from tests.stage import NOON, Stage

# -- an instant is an instant, whatever the zone


@pytest.mark.parametrize(
    "zone",
    [datetime.UTC, datetime.timezone(datetime.timedelta(hours=-8)), zoneinfo.ZoneInfo("Asia/Kolkata")],
    ids=str,
)
async def test_an_eta_is_an_instant_in_any_time_zone(stage: Stage, zone: datetime.tzinfo) -> None:
    @stage.app.task()
    async def work(state: list[float]) -> None:
        state.append(stage.clock.passed)

    eta = (NOON + datetime.timedelta(minutes=90)).astimezone(zone)
    await stage.app.options(eta=eta).apply_async(work)
    assert await stage.deliver() is None
    await stage.play()
    assert stage.app.state == [90 * 60]


async def test_an_eta_without_a_time_zone_is_refused(stage: Stage) -> None:
    with pytest.raises(OptionError, match=r"without a time zone: add tzinfo=datetime\.UTC"):
        stage.app.options(eta=NOON.replace(tzinfo=None))


async def test_an_eta_that_is_over_runs_at_once(stage: Stage) -> None:
    @stage.app.task()
    async def work(state: list[str]) -> None:
        state.append("ran")

    await stage.app.options(eta=NOON - datetime.timedelta(days=1)).apply_async(work)
    assert await stage.deliver_all() == ["success"]


# -- no result yet, None as a result, no such task


async def test_none_as_a_result_is_not_the_same_as_no_result_yet(stage: Stage) -> None:
    @stage.app.task()
    async def work(state: list[str]) -> None: ...

    handle = await stage.app.apply_async(work)
    assert await handle.status() is TaskStatus.Pending
    with pytest.raises(ResultTimeout):
        await handle.result(timeout=0.02)
    await stage.play()
    assert await handle.status() is TaskStatus.Success
    assert await handle.result(timeout=1) is None


async def test_waiting_for_an_unknown_id_ends(stage: Stage) -> None:
    with pytest.raises(TaskNotFound, match="no task 'nobody'"):
        await stage.app.handle("nobody").result()


# -- retries


async def test_max_retries_and_retry_delay_wait_2_4_8_16_and_32_seconds(stage: Stage) -> None:
    @stage.app.task(max_retries=5, retry_delay=2.0)
    async def flaky(state: list[float]) -> None:
        state.append(stage.clock.passed)
        raise ConnectionError("not today")

    handle = await stage.app.apply_async(flaky)
    assert await stage.play() == ["retry"] * 5 + ["retries_exhausted"]
    assert stage.app.state == [0, 2, 6, 14, 30, 62]
    with pytest.raises(TaskFailed, match="ConnectionError: not today"):
        await handle.result(timeout=1)


async def test_waiting_for_a_retry_holds_no_place() -> None:
    app = Boilermaker([], LocalEngine())

    @app.task(policy=RetryPolicy(delay=3000, max_tries=2))
    async def flaky(state: list[str]) -> None:
        state.append("flaky")
        raise RetryException("in fifty minutes")

    @app.task()
    async def work(state: list[str]) -> None:
        state.append("work")

    await app.apply_async(flaky)
    handle = await app.apply_async(work)
    worker = app.worker(concurrency=1)
    await worker.start()
    await handle.result(timeout=20)
    await worker.stop()
    await app.close()
    assert app.state == ["flaky", "work"]


# -- time limits


async def test_a_time_limit_ends_an_async_task(stage: Stage) -> None:
    @stage.app.task(timeout=0.01)
    async def endless(state: list[str]) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            state.append("told")
            raise

    handle = await stage.app.apply_async(endless)
    assert await stage.play() == ["failure"]
    assert stage.app.state == ["told"]
    assert await stage.reasons() == ["TimedOut"]
    with pytest.raises(TaskFailed) as caught:
        await handle.result(timeout=1)
    assert caught.value.error_type == "boilermaker_fn.errors.TaskTimeout"


async def test_a_time_limit_can_be_tried_again(stage: Stage) -> None:
    @stage.app.task(timeout=0.01, retry_on=(TaskTimeout,), policy=RetryPolicy(max_tries=2, delay=5))
    async def slow_at_first(state: list[str]) -> str:
        state.append("tried")
        if len(state) == 1:
            await asyncio.Event().wait()
        return "done"

    handle = await stage.app.apply_async(slow_at_first)
    assert await stage.play() == ["retry", "success"]
    assert await handle.result(timeout=1) == "done"


async def test_a_time_limit_of_one_publishing_replaces_the_registered_one(stage: Stage) -> None:
    @stage.app.task(timeout=3600)
    async def endless(state: list[str]) -> None:
        await asyncio.Event().wait()

    await stage.app.options(timeout=0.01).apply_async(endless)
    assert await stage.play() == ["failure"]
    assert await stage.reasons() == ["TimedOut"]


# -- a worker lives


async def test_an_error_of_the_backend_does_not_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Boilermaker([], LocalEngine())
    inbox_class = type(app.shell.wiring.engine.inbox("any"))
    receive, errors = inbox_class.receive, []

    async def failing(self, count, wait):
        if len(errors) < 3:
            errors.append(StoreUnavailable("gone for a moment") if errors else OSError("no route"))
            raise errors[-1]
        return await receive(self, count, wait)

    monkeypatch.setattr(inbox_class, "receive", failing)

    @app.task()
    async def work(state: list[str]) -> str:
        return "done"

    handle = await app.apply_async(work)
    worker = app.worker(concurrency=1)
    await worker.start()
    assert await handle.result(timeout=20) == "done"
    await worker.stop()
    await app.close()
    assert len(errors) == 3


async def test_a_result_that_is_not_json_does_not_end_the_worker() -> None:
    app = Boilermaker([], LocalEngine())

    @app.task()
    async def odd(state: list[str]):
        return object()

    @app.task()
    async def work(state: list[str]) -> str:
        return "done"

    first, second = await app.apply_async(odd), await app.apply_async(work)
    worker = app.worker(concurrency=1)
    await worker.start()
    assert await second.result(timeout=20) == "done"
    with pytest.raises(TaskFailed, match="ResultNotSerializable"):
        await first.result(timeout=20)
    await worker.stop()
    await app.close()


# -- what an error leaves


async def test_the_traceback_of_an_error_is_kept_and_starts_in_the_task(stage: Stage) -> None:
    def deeper() -> None:
        raise LookupError("the very line")

    @stage.app.task()
    async def broken(state: list[str]) -> None:
        deeper()

    handle = await stage.app.apply_async(broken)
    await stage.play()
    info = await handle.info()
    assert info.error_type == "LookupError"
    assert info.errors == ["the very line"]
    assert info.formatted_exception is not None
    assert "in deeper" in info.formatted_exception
    assert "in broken" in info.formatted_exception
    assert "execution.py" not in info.formatted_exception
    (letter,) = await stage.letters()
    assert letter.properties["traceback"] == info.formatted_exception


# -- nothing that comes from a queue is executed


class Malice:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


async def test_pickled_code_is_never_executed(stage: Stage, tmp_path: Path) -> None:
    body = pickle.dumps(Malice(tmp_path / "owned"))
    await stage.send(body)
    assert await stage.play() == ["InvalidTaskFormat"]
    assert not (tmp_path / "owned").exists()
    pickle.loads(body)  # it would have worked
    assert (tmp_path / "owned").exists()


async def test_what_a_task_names_is_looked_up_and_not_imported(stage: Stage) -> None:
    @stage.app.task()
    async def work(state: list[str]) -> None: ...

    await stage.app.publish_by_name("os:system", "true")
    assert set(await stage.play()) == {"postponed", "failure"}
    assert await stage.reasons() == ["UnknownTask"]
