"""Where the host sets a limit, does every task end before it? On the loop, in a thread, in a process, or waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn import execution as execution_module
from boilermaker_fn.execution import Execution
from boilermaker_fn.outcomes import Failed, Interrupted, Outcome, Reason, RetryAsked, Succeeded
from boilermaker_fn.task.task import Task
from boilermaker_fn.testing.virtual_time import VirtualTimeLoop
from tests.unit import crunching

LONGEST = 1740.0


@pytest.fixture
def app() -> Boilermaker:
    return Boilermaker("state")


def outcome(app: Boilermaker, *tasks: Task, longest: float | None = LONGEST) -> list[tuple[Outcome, float]]:
    """How attempts that begin at the same time end, and after how many virtual seconds."""
    loop = VirtualTimeLoop()

    async def attempt(execution: Execution, task: Task) -> tuple[Outcome, float]:
        since = loop.time()
        return await execution.run(app.shell.registry.runnable[task.function_name], task), loop.time() - since

    async def all_of_them() -> list[tuple[Outcome, float]]:
        execution = Execution(app.shell.state, longest)
        return await asyncio.gather(*(attempt(execution, task) for task in tasks))

    try:
        return loop.run_until_complete(all_of_them())
    finally:
        loop.close()


def hanging(app: Boilermaker, **options: Any) -> None:
    @app.task(name="hang", **options)
    async def hang(state: str) -> None:
        await asyncio.sleep(1_000_000)


@pytest.mark.parametrize(
    ("registered", "published", "ends"),
    [(None, None, LONGEST), (60, None, 60), (None, 60, 60), (None, 7200, LONGEST), (60, 7200, LONGEST)],
)
def test_a_task_that_hangs_ends_as_timed_out(
    app: Boilermaker, registered: float | None, published: float | None, ends: float
) -> None:
    hanging(app, timeout=registered)
    ((failed, after),) = outcome(app, Task(function_name="hang", timeout=published))
    assert isinstance(failed, Failed)
    assert (failed.reason, after) == (Reason.TimedOut, ends)
    assert f"{ends:g} s" in failed.error.message
    assert "functionTimeout" in failed.error.message


def test_elsewhere_a_task_may_take_as_long_as_it_likes(app: Boilermaker) -> None:
    hanging(app)
    ((ended, after),) = outcome(app, Task(function_name="hang"), longest=None)
    assert isinstance(ended, Succeeded)
    assert after == 1_000_000


def test_a_timeout_by_the_host_can_be_tried_again(app: Boilermaker) -> None:
    hanging(app, retry_on=(TimeoutError,))
    ((ended, _),) = outcome(app, Task(function_name="hang"))
    assert isinstance(ended, RetryAsked)


# -- threads: real ones, so in real time, but nothing waits for longer than it takes to start one


@pytest.fixture
def leave() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_a_thread_that_hangs_is_given_up(app: Boilermaker, leave: threading.Event) -> None:
    @app.task
    def hang(state: str) -> None:
        leave.wait(20)

    ended = await Execution("state", 0.01).run(app.shell.registry["hang"], Task(function_name="hang"))
    assert isinstance(ended, Failed)
    assert ended.reason == Reason.TimedOut


async def test_without_a_free_thread_a_message_goes_back_before_its_function_ends(
    app: Boilermaker, leave: threading.Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(execution_module, "MAX_THREADS", 1)

    @app.task
    def hang(state: str) -> str:
        leave.wait(20)
        return "left"

    execution, registration = Execution("state", 0.02), app.shell.registry["hang"]
    first = await execution.run(registration, Task(function_name="hang"))  # its thread goes on
    second = await execution.run(registration, Task(function_name="hang"))
    assert isinstance(first, Failed)
    assert isinstance(second, Interrupted)
    assert "hang goes back: 0.01 s without a free place to run" in caplog.text


async def test_a_task_that_waited_for_its_thread_runs(
    app: Boilermaker, leave: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution_module, "MAX_THREADS", 1)

    @app.task
    def work(state: str) -> str:
        leave.wait(20)
        return "done"

    execution, registration = Execution("state", 1000.0), app.shell.registry["work"]
    both = [asyncio.ensure_future(execution.run(registration, Task(function_name="work"))) for _ in range(2)]
    await asyncio.sleep(0)
    leave.set()
    assert await asyncio.gather(*both) == [Succeeded('"done"')] * 2


# -- processes


@pytest.mark.slow
async def test_a_process_that_hangs_is_killed_and_what_waits_for_it_goes_back(
    app: Boilermaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    app.register_async(crunching.hang, cpu_bound=True)
    execution, registration = Execution("state", 2.0), app.shell.registry["hang"]
    try:
        hung, waited = await asyncio.gather(
            *(execution.run(registration, Task(function_name="hang")) for _ in range(2))
        )
    finally:
        execution.close()
    assert isinstance(hung, Failed)
    assert hung.reason == Reason.TimedOut
    assert isinstance(waited, Interrupted)
