"""Functions that compute run in processes: with an outcome, whatever becomes of the process."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from boilermaker_fn import RetryPolicy
from boilermaker_fn.errors import ArgumentError, TaskTimeout
from boilermaker_fn.task import TaskStatus
from tests.stage import Stage
from tests.unit import crunching


async def outcome(stage: Stage, fn, *args, **options):
    """Register, run, and what is known then."""
    stage.app.register_async(fn, cpu_bound=True, **options)
    handle = await stage.app.apply_async(fn, *args)
    await stage.play()
    return await handle.info()


async def test_it_computes_in_another_process(stage: Stage) -> None:
    assert (await outcome(stage, crunching.square, 12)).result == 144
    assert (await outcome(stage, crunching.own_process)).result != os.getpid()


async def test_arguments_and_results_cross_as_what_they_are(stage: Stage) -> None:
    stage.app.register_async(crunching.add_day, cpu_bound=True)
    report = crunching.Report(day="2030-01-31", total=1)
    handle = await stage.app.apply_async(crunching.add_day, report, days=1)
    await stage.play()
    assert await handle.result(timeout=1) == crunching.Report(day="2030-02-01", total=2)


async def test_wrong_arguments_are_refused_here(stage: Stage) -> None:
    stage.app.register_async(crunching.square, cpu_bound=True)
    with pytest.raises(ArgumentError, match="'number'"):
        await stage.app.apply_async(crunching.square, "x")


@pytest.mark.parametrize("fn", [crunching.die, crunching.leave])
async def test_a_child_that_dies_is_an_outcome_and_the_pool_goes_on(stage: Stage, fn) -> None:
    info = await outcome(stage, fn)
    assert (info.status, info.reason) == (TaskStatus.Failure, "TaskFailed")
    assert (await outcome(stage, crunching.square, 3)).result == 9


async def test_a_child_that_dies_while_it_has_nothing_to_do_harms_no_task(stage: Stage) -> None:
    os.kill((await outcome(stage, crunching.own_process)).result, signal.SIGKILL)
    while stage.runner._execution._processes._pool.active:
        await asyncio.sleep(0.01)
    assert (await outcome(stage, crunching.square, 3)).result == 9


async def test_a_child_that_dies_can_be_tried_again(stage: Stage) -> None:
    info = await outcome(stage, crunching.die, max_retries=2, retry_delay=1)
    assert (info.status, info.attempts) == (TaskStatus.RetriesExhausted, 3)


async def test_a_time_limit_kills_the_child_and_the_pool_goes_on(stage: Stage) -> None:
    info = await outcome(stage, crunching.hang, timeout=0.2)
    assert (info.reason, info.error_type) == ("TimedOut", "boilermaker_fn.errors.TaskTimeout")
    assert (await outcome(stage, crunching.square, 3)).result == 9


async def test_a_time_limit_can_be_tried_again(stage: Stage) -> None:
    policy = RetryPolicy(max_tries=2, delay=1)
    info = await outcome(stage, crunching.hang, timeout=0.2, retry_on=(TaskTimeout,), policy=policy)
    assert info.attempts == 2


async def test_the_time_limit_starts_when_it_runs(stage: Stage) -> None:
    """Twice as many as there are processes: the second half waits longer than its limit for a place."""
    stage.app.register_async(crunching.hang, cpu_bound=True, timeout=0.3)
    stage.app.register_async(crunching.square, cpu_bound=True, timeout=0.3)
    for _ in range(os.cpu_count() or 1):
        await stage.app.apply_async(crunching.hang)
    handle = await stage.app.apply_async(crunching.square, 4)
    inbox = stage.engine.inbox("tasks")
    deliveries = await inbox.receive(100, 0)
    await asyncio.gather(*map(stage.runner.handle, deliveries))
    for delivery in deliveries:
        await inbox.complete(delivery)
    assert await handle.result(timeout=1) == 16


async def test_an_error_crosses_with_its_traceback(stage: Stage) -> None:
    info = await outcome(stage, crunching.fail, "the very words")
    assert (info.error_type, info.errors) == ("LookupError", ["the very words"])
    assert info.formatted_exception is not None
    assert "in fail" in info.formatted_exception
    assert "processes.py" not in info.formatted_exception


async def test_an_error_that_cannot_be_pickled_crosses_as_text(stage: Stage) -> None:
    info = await outcome(stage, crunching.fail_unpicklably)
    assert info.error_type.endswith("crunching.Unpicklable")
    assert info.errors == ["cannot cross"]


async def test_what_a_function_asks_for_crosses(stage: Stage) -> None:
    info = await outcome(stage, crunching.ask_again, policy=RetryPolicy(max_tries=2, delay=1))
    assert (info.status, info.attempts) == (TaskStatus.RetriesExhausted, 2)
    assert (await outcome(stage, crunching.refuse)).error_type == "TaskFailureResult"
    assert (await outcome(stage, crunching.odd)).reason == "ResultNotSerializable"


async def test_a_function_inside_a_class_is_found(stage: Stage) -> None:
    assert (await outcome(stage, crunching.Holder.inside, 5)).result == -5


async def test_an_interrupted_attempt_kills_the_child_and_does_not_count(stage: Stage) -> None:
    stage.app.register_async(crunching.hang, cpu_bound=True)
    await stage.app.apply_async(crunching.hang)
    (delivery,) = await stage.engine.inbox("tasks").receive(1, 0)
    running = asyncio.ensure_future(stage.runner.handle(delivery))
    await asyncio.sleep(0.2)
    running.cancel()
    with pytest.raises(Exception, match="interrupted"):
        await running
    stage.app.register_async(crunching.square, cpu_bound=True)
    for _ in range((os.cpu_count() or 1) + 1):  # no place is taken by the one that hung
        handle = await stage.app.apply_async(crunching.square, 4)
        await stage.deliver()
        assert await handle.result(timeout=1) == 16
