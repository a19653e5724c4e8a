"""Is a task that blocks the loop reported, and awaited exactly as if nobody watched? On a timer that the tests set."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import weakref
from collections.abc import Generator
from types import coroutine
from typing import Any

import pytest

from boilermaker_fn import blocking
from boilermaker_fn.blocking import LIMIT, watched
from tests.stage import Stage

TOO_LONG = LIMIT * 2


class ManualTimer:
    """Stands still, unless somebody passes the time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@coroutine
def ask(question: Any) -> Generator[Any, Any, Any]:
    """Await something, as a future does it: hand `question` to the loop, be resumed with the answer."""
    return (yield question)


@pytest.fixture
def timer() -> ManualTimer:
    return ManualTimer()


def reported(caplog: pytest.LogCaptureFixture) -> list[float]:
    return [record.blocked_seconds for record in caplog.records if hasattr(record, "blocked_seconds")]


# -- what is reported


def test_each_step_that_takes_too_long_is_reported_with_its_name_and_time(
    timer: ManualTimer, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> str:
        timer.pass_(1.25)
        await ask("a")
        timer.pass_(0.25)
        await ask("b")
        timer.pass_(2.5)
        return "done"

    steps = watched(work(), "crunch", timer)
    for _ in range(2):
        next(steps)
        timer.pass_(100)  # spent in waiting, and that blocks nobody
    with pytest.raises(StopIteration, match="done"):
        next(steps)
    assert [(r.levelname, r.getMessage().partition(",")[0]) for r in caplog.records] == [
        ("WARNING", "crunch blocked the event loop for 1.250 s"),
        ("WARNING", "crunch blocked the event loop for 2.500 s"),
    ]
    assert reported(caplog) == [1.25, 2.5]


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_many_short_steps_are_none_of_our_business(
    timer: ManualTimer, caplog: pytest.LogCaptureFixture, steps: int
) -> None:
    async def work() -> None:
        for number in range(steps):
            timer.pass_(LIMIT)
            await ask(number)
        timer.pass_(LIMIT)

    assert list(watched(work(), "patient", timer)) == list(range(steps))
    assert reported(caplog) == []


def test_a_step_that_ends_in_an_error_is_reported(timer: ManualTimer, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        timer.pass_(TOO_LONG)
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        next(watched(work(), "crash", timer))
    assert reported(caplog) == [TOO_LONG]


def test_cleaning_up_is_a_step_too(timer: ManualTimer, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        try:
            await ask("wait")
        finally:
            timer.pass_(TOO_LONG)

    closed, cancelled = watched(work(), "closed", timer), watched(work(), "cancelled", timer)
    next(closed)
    next(cancelled)
    timer.pass_(100)
    closed.close()
    with pytest.raises(asyncio.CancelledError):
        cancelled.throw(asyncio.CancelledError())
    assert [r.getMessage().split()[0] for r in caplog.records] == ["closed", "cancelled"]
    assert reported(caplog) == [TOO_LONG, TOO_LONG]


def test_steps_after_an_error_or_an_answer_are_watched_too(
    timer: ManualTimer, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> str:
        try:
            await ask("first")
        except ValueError:
            timer.pass_(1)
        answer = await ask("second")
        timer.pass_(2)
        await ask("third")
        timer.pass_(3)
        return f"{answer}"

    steps = watched(work(), "stubborn", timer)
    assert next(steps) == "first"
    timer.pass_(100)
    assert steps.throw(ValueError()) == "second"
    timer.pass_(100)
    assert steps.send("answer") == "third"
    timer.pass_(100)
    with pytest.raises(StopIteration, match="answer"):
        next(steps)
    assert reported(caplog) == [1, 2, 3]


# -- what is awaited


def test_what_the_loop_sends_arrives(timer: ManualTimer) -> None:
    async def work() -> list[Any]:
        return [await ask(number) for number in range(4)]

    steps = watched(work(), "listener", timer)
    assert next(steps) == 0
    assert [steps.send("zero"), steps.send(None), steps.send("two")] == [1, 2, 3]
    with pytest.raises(StopIteration) as stop:
        steps.send(None)
    assert stop.value.value == ["zero", None, "two", None]


def test_errors_thrown_in_arrive_as_often_as_they_come(timer: ManualTimer) -> None:
    async def work() -> list[str]:
        caught = []
        for _ in range(3):
            try:
                await ask("again")
            except (ValueError, KeyboardInterrupt) as error:
                caught.append(type(error).__name__)
        return caught

    steps = watched(work(), "tough", timer)
    next(steps)
    steps.throw(ValueError())
    steps.throw(KeyboardInterrupt())
    with pytest.raises(StopIteration) as stop:
        steps.throw(ValueError())
    assert stop.value.value == ["ValueError", "KeyboardInterrupt", "ValueError"]


@pytest.mark.parametrize("after_an_error", [False, True])
def test_closing_closes_what_is_awaited(timer: ManualTimer, after_an_error: bool) -> None:
    closed = []

    async def work() -> None:
        for _ in range(2):
            try:
                await ask("wait")
            except ValueError:
                continue
            finally:
                closed.append("closed")

    steps = watched(work(), "closing", timer)
    next(steps)
    if after_an_error:
        steps.throw(ValueError())
        closed.clear()
    steps.close()
    assert closed == ["closed"]


def test_an_error_of_a_cancelled_task_is_freed_with_it(timer: ManualTimer) -> None:
    class Marked(Exception):
        pass

    async def work() -> None:
        await ask("wait")

    def cancelled() -> weakref.ref[Marked]:
        known: list[weakref.ref[Marked]] = []

        def error() -> Marked:
            made = Marked()
            known.append(weakref.ref(made))
            return made

        steps = watched(work(), "free", timer)
        next(steps)
        with contextlib.suppress(Marked):
            steps.throw(error())
        return known[0]

    gc.disable()
    try:
        assert cancelled()() is None, "kept by a cycle"
    finally:
        gc.enable()


async def test_real_awaiting_goes_on_as_before() -> None:
    async def work() -> list[str]:
        said = []
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, "future")
        said.append(await future)
        async with asyncio.TaskGroup() as group:
            child = group.create_task(asyncio.sleep(0, "child"))
        said.append(child.result())
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            said.append("timeout")
        return said

    assert await watched(work(), "real") == ["future", "child", "timeout"]


# -- in an app


async def test_a_task_that_blocks_the_loop_is_reported_by_its_name(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking, "LIMIT", -1.0)  # any step is too long

    @stage.app.task(name="shop.crunch")
    async def crunch(state: list[str]) -> str:
        return "crunched"

    @stage.app.task()
    def thread(state: list[str]) -> str:
        return "blocks nobody"

    with caplog.at_level(logging.WARNING):
        for task in (crunch, thread):
            await stage.app.apply_async(task)
        assert await stage.play() == ["success", "success"]
    blocked = [record.getMessage() for record in caplog.records if "blocked" in record.getMessage()]
    assert [line.partition(" blocked the event loop")[0] for line in blocked] == ["shop.crunch"]


async def test_the_traceback_of_a_task_begins_with_its_own_code(stage: Stage) -> None:
    @stage.app.task()
    async def boil(state: list[str]) -> None:
        await asyncio.sleep(0)
        raise ValueError("boiled over")

    handle = await stage.app.apply_async(boil)
    await stage.play()
    trace = str((await handle.info()).formatted_exception)
    (frame,) = [line for line in trace.splitlines() if line.startswith("  File")]
    assert "test_blocking.py" in frame
