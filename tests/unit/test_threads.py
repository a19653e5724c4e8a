"""Blocking functions run in threads: many at once, in the context of their attempt, and never in the way of the end."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading

import pytest

from boilermaker_fn.execution import MAX_THREADS
from tests.stage import Stage


async def test_blocking_functions_run_at_the_same_time(stage: Stage) -> None:
    meeting = threading.Barrier(4)

    @stage.app.task()
    def meet(state: list[str]) -> None:
        meeting.wait(20)  # nobody leaves before all four are here

    for _ in range(4):
        await stage.app.apply_async(meet)
    deliveries = await stage.engine.inbox("tasks").receive(4, 0)
    assert await asyncio.gather(*map(stage.runner.handle, deliveries)) == ["success"] * 4


async def test_no_more_threads_than_the_limit(stage: Stage) -> None:
    running, most, lock = 0, 0, threading.Lock()
    leave = threading.Event()

    @stage.app.task()
    def work(state: list[str]) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == MAX_THREADS:
                leave.set()
        leave.wait(20)
        with lock:
            running -= 1

    for _ in range(MAX_THREADS + 10):
        await stage.app.apply_async(work)
    deliveries = await stage.engine.inbox("tasks").receive(100, 0)
    assert set(await asyncio.gather(*map(stage.runner.handle, deliveries))) == {"success"}
    assert most == MAX_THREADS


async def test_a_thread_has_the_state_and_the_context_of_its_attempt(stage: Stage) -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    @stage.app.task()
    def work(state: list[str]) -> str:
        state.append(threading.current_thread().name)
        return variable.get()

    handle = await stage.app.apply_async(work)
    variable.set("set")
    await stage.play()
    assert await handle.result(timeout=1) == "set"
    assert stage.app.state[0].startswith("boilermaker-")


@pytest.mark.parametrize("error", [ValueError("boom"), SystemExit(3), StopIteration("stop"), StopAsyncIteration()])
async def test_an_error_in_a_thread_is_an_outcome(stage: Stage, error: BaseException) -> None:
    @stage.app.task()
    def broken(state: list[str]) -> None:
        raise error

    handle = await stage.app.apply_async(broken)
    assert await stage.play() == ["failure"]
    assert (await handle.info()).error_type == type(error).__name__


def test_a_thread_that_hangs_does_not_keep_the_process_from_ending() -> None:
    script = (
        "import threading; from boilermaker_fn.threads import DaemonThreads;"
        "started = threading.Event();"
        "DaemonThreads().submit(lambda: (started.set(), threading.Event().wait()));"
        "started.wait(); print('ended')"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "ended\n"
