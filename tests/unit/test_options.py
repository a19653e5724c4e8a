"""Options of publishing: what is said holds, and what is not said is as registered."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import pytest

from boilermaker_fn import NoRetry, RetryPolicy
from boilermaker_fn.options import PublishOptions
from boilermaker_fn.task import Task
from tests.stage import NOON, Stage


def test_what_is_said_is_set_and_the_rest_stays() -> None:
    task = Task(function_name="work", timeout=5, queue="registered", policy=RetryPolicy(max_tries=2))
    changed = PublishOptions(delay=9, policy=NoRetry(), queue="q", task_id="t", expires=3).applied(task)
    assert (changed.delay, changed.queue, changed.task_id, changed.expires) == (9, "q", "t", 3)
    assert (changed.timeout, changed.policy) == (5, NoRetry())


@pytest.mark.parametrize(
    "right",
    [
        {},
        {"delay": 0},
        {"delay": 0.5},
        {"eta": NOON},
        {"eta": NOON.astimezone(datetime.timezone(datetime.timedelta(hours=3)))},
        {"policy": NoRetry()},
        {"task_id": "order-17_a.b:c"},
        {"task_id": "x" * 96},
        {"publish_attempts": 3},
    ],
)
def test_what_is_right_is_taken(right: dict[str, Any]) -> None:
    assert PublishOptions(**right)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="dealy"):
        PublishOptions(dealy=5)  # type: ignore[call-arg]


@pytest.mark.parametrize("stated", [{"delay": 5}, {"task_id": "t"}])
async def test_options_do_not_leak_into_the_app(stage: Stage, stated: dict[str, Any]) -> None:
    @stage.app.task()
    async def work(state: list[str]) -> None: ...

    stage.app.options(**stated)
    await stage.app.apply_async(work)
    (message,) = await stage.waiting()
    assert message.enqueued_at == stage.clock.now
    assert message.message_id != "t"


async def test_a_policy_of_one_publishing_replaces_the_registered_one(stage: Stage) -> None:
    @stage.app.task(max_retries=5, retry_delay=1)
    async def flaky(state: list[str]) -> None:
        state.append("tried")
        raise ValueError("boom")

    await stage.app.options(policy=NoRetry()).apply_async(flaky)
    await stage.play()
    assert stage.app.state == ["tried"]


async def test_by_name_the_policy_is_the_one_registered_where_it_runs(stage: Stage) -> None:
    await stage.app.publish_by_name("flaky")

    @stage.app.task(max_retries=2, retry_delay=1)
    async def flaky(state: list[str]) -> None:
        state.append("tried")
        raise ValueError("boom")

    await stage.play()
    assert stage.app.state == ["tried"] * 3


async def test_by_name_the_time_limit_is_the_one_registered_where_it_runs(stage: Stage) -> None:
    await stage.app.publish_by_name("slow")

    @stage.app.task(timeout=0.01)
    async def slow(state: list[str]) -> None:
        await asyncio.Event().wait()

    await stage.play()
    assert await stage.reasons() == ["TimedOut"]
