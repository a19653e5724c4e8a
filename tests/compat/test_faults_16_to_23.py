"""What boilermaker-servicebus gets wrong, one by one, is right here: 16 to 23.

The numbers name the faults; one that concerns only graphs, or only its storage, has no test here.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from boilermaker_fn import Boilermaker, NoRetry, RetryException, RetryPolicy
from boilermaker_fn.errors import ArgumentError, Held
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.retries import (
    RetryExceptionDefaultExponential,
    RetryExceptionDefaultLinear,
    RetryMode,
)
from boilermaker_fn.task import TaskStatus
from tests.compat.faulty import CountingTransport, registered, task
from tests.stage import LAKE, QUEUE, Stage, staged

# -- 16


@pytest.mark.parametrize(
    ("policy", "attempts"),
    [
        (NoRetry(), 1),
        (RetryPolicy(max_tries=0), 1),
        (RetryPolicy(max_tries=1), 1),
        (RetryPolicy(max_tries=2, delay=60), 2),
        (RetryPolicy(max_tries=3, delay=60), 3),
    ],
)
async def test_16_exhaustion_is_found_in_the_same_delivery(
    stage: Stage, counted: CountingTransport, policy: RetryPolicy, attempts: int
) -> None:
    @stage.app.task(policy=policy)
    async def flaky(state: list[str]) -> None:
        state.append("tried")
        raise RetryException("not today")

    handle = await stage.app.apply_async(flaky)
    endings = await stage.play()
    assert endings == ["retry"] * (attempts - 1) + ["retries_exhausted"]
    assert stage.app.state == ["tried"] * attempts
    assert stage.clock.passed == 60 * (attempts - 1)
    sent = [message.queue for operation in counted.operations for message in operation]
    assert sent == [QUEUE] * attempts + [LAKE]
    info = await handle.info()
    assert (info.status, info.attempts) == (TaskStatus.RetriesExhausted, attempts)


# -- 17


async def due_times(stage: Stage) -> list[float]:
    """Play, and say when each attempt was made, in seconds since the start."""
    times = []
    while waiting := await stage.waiting():
        stage.clock.now = waiting[0].enqueued_at
        times.append(round(stage.clock.passed, 6))
        await stage.deliver()
    return times


@pytest.mark.parametrize(
    ("policy", "times"),
    [
        (RetryPolicy(max_tries=4, delay=30, retry_mode=RetryMode.Fixed), [0, 30, 60, 90]),
        (RetryPolicy(max_tries=5, delay=30, retry_mode=RetryMode.Linear), [0, 30, 90, 180, 300]),
        (RetryPolicy(max_tries=5, delay=30, delay_max=70, retry_mode=RetryMode.Linear), [0, 30, 90, 160, 230]),
        (RetryPolicy(max_tries=5, delay=30, retry_mode=RetryMode.Exponential), [0, 30, 90, 210, 450]),
        (RetryPolicy(max_tries=4, delay=30, delay_max=40, retry_mode=RetryMode.Exponential), [0, 30, 70, 110]),
    ],
)
async def test_17_delays_are_the_documented_ones(stage: Stage, policy: RetryPolicy, times: list[float]) -> None:
    @stage.app.task(policy=policy)
    async def flaky(state: list[str]) -> None:
        raise RetryException("not today")

    await stage.app.apply_async(flaky)
    assert await due_times(stage) == times


@pytest.mark.parametrize(("chance", "first"), [(0.0, 15), (0.5, 22.5), (1.0, 30)])
async def test_17_exponential_has_jitter(chance: float, first: float) -> None:
    async with staged(Boilermaker([]), chance=chance) as stage:

        @stage.app.task()
        async def flaky(state: list[str]) -> None:
            raise RetryExceptionDefaultExponential("not today")

        await stage.app.apply_async(flaky)
        await stage.deliver()
        (again,) = await stage.waiting()
        assert again.enqueued_at - stage.clock.now == first


async def test_17_the_policy_of_an_exception_replaces_the_tasks_and_stays(stage: Stage) -> None:
    @stage.app.task(policy=RetryPolicy(max_tries=3, delay=1000, delay_max=1000))
    async def flaky(state: list[str]) -> None:
        state.append("tried")
        if len(state) == 1:
            raise RetryExceptionDefaultLinear("not today", max_tries=4)
        raise RetryException("still not")

    await stage.app.apply_async(flaky)
    assert await due_times(stage) == [0, 30, 90, 180]
    assert await stage.reasons() == ["RetriesExhausted"]


# -- 18


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), b"bytes", object(), {"deep": [float("inf")]}])
async def test_18_a_result_that_is_not_json_fails_at_once_and_is_not_changed(stage: Stage, value: object) -> None:
    @stage.app.task()
    async def odd(state: list[str]):
        state.append("ran")
        return value

    handle = await stage.app.apply_async(odd)
    assert await stage.play() == ["failure"]
    assert stage.app.state == ["ran"]
    assert await stage.reasons() == ["ResultNotSerializable"]
    assert (await handle.info()).status is TaskStatus.Failure


# -- 19


@pytest.mark.parametrize("behaviour", [None, "boom"])
async def test_19_a_callback_that_could_not_be_sent_is_sent_by_the_next_delivery(
    stage: Stage, counted: CountingTransport, behaviour: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(stage)
    one = task(stage, "work", behaviour)
    one.on_success, one.on_failure = task(stage, "after"), task(stage, "rescue")
    await stage.app.publish_task(one)
    counted.refused = {one.on_success.task_id, one.on_failure.task_id}
    monkeypatch.setattr(stage.runner, "_chance", lambda: 0.0)  # no pause before the message goes back
    with pytest.raises(Held):
        await stage.deliver()
    assert len(await stage.tasks()) == 1  # the message itself is still there
    counted.refused = set()
    await stage.play()
    assert stage.app.state == ["work", "rescue" if behaviour else "after"]
    assert len(await stage.letters()) == (1 if behaviour else 0)


# -- 20


async def test_20_a_task_may_have_parameters_of_any_name(stage: Stage) -> None:
    @stage.app.task()
    async def odd(
        state: list[object],
        delay: int,
        policy: str,
        publish_attempts: int,
        fn: str,
        queue: str,
        self: str,
        task_id: str,
    ) -> None:
        state.append((delay, policy, publish_attempts, fn, queue, self, task_id))

    arguments = {"delay": 600, "policy": "ours", "publish_attempts": 9, "fn": "f", "queue": "q", "self": "s"}
    await stage.app.apply_async(odd, task_id="t", **arguments)
    assert await stage.deliver_all() == ["success"]  # at once, not 600 s later
    assert stage.app.state == [(600, "ours", 9, "f", "q", "s", "t")]


async def test_20_who_means_the_option_is_told_where_it_goes(stage: Stage) -> None:
    registered(stage)
    with pytest.raises(ArgumentError, match=r"app\.options\(delay=\.\.\.\)\.apply_async\(work, \.\.\.\)"):
        await stage.app.apply_async(stage.app.shell.registry["work"].fn, delay=5)
    assert await stage.waiting() == []


# -- 22


async def test_22_publishing_costs_one_operation_and_nothing_else(stage: Stage, counted: CountingTransport) -> None:
    registered(stage)
    await stage.app.publish_task(task(stage, "work"))
    assert [len(operation) for operation in counted.operations] == [1]
    assert [m.not_before for m in counted.operations[0]] == [None]  # sent, not scheduled


async def test_22_many_tasks_cost_one_operation(stage: Stage, counted: CountingTransport) -> None:
    registered(stage)
    await stage.app.publish_many([task(stage, "work") for _ in range(50)])
    assert [len(operation) for operation in counted.operations] == [50]


async def test_22_a_task_that_succeeds_sends_nothing(stage: Stage, counted: CountingTransport) -> None:
    registered(stage)
    await stage.app.publish_task(task(stage, "work"))
    counted.operations.clear()
    await stage.play()
    assert counted.operations == []


# -- 23


async def test_23_a_worker_runs_as_many_at_once_as_it_is_told() -> None:
    app = Boilermaker([], LocalEngine())
    meeting = asyncio.Barrier(8)

    @app.task()
    async def meet(state: list[str]) -> None:
        await meeting.wait()  # nobody leaves before all eight are here

    handles = [await app.apply_async(meet) for _ in range(8)]
    worker = app.worker(concurrency=8)
    await worker.start()
    for handle in handles:
        assert await handle.result(timeout=20) is None
    await worker.stop()
    await app.close()


def test_23_importing_the_package_imports_no_azure() -> None:
    script = "import sys, boilermaker_fn; print(len(sys.modules)); print([m for m in sys.modules if 'azure' in m])"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    count, azure = output.splitlines()
    assert azure == "[]"
    assert int(count) < 600
