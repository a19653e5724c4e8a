"""How a task gets into a queue: checked whole, or refused whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.errors import ArgumentError
from boilermaker_fn.task import Task
from tests.stage import Stage


@pytest.fixture
def tasks(stage: Stage) -> list[Task]:
    """Four tasks of one function."""

    @stage.app.task()
    async def work(state: list[int], number: int) -> None:
        state.append(number)

    return [stage.app.create_task(work, number) for number in range(4)]


def to_itself_by_success(tasks: list[Task]) -> None:
    tasks[0] >> tasks[0]


def to_itself_by_failure(tasks: list[Task]) -> None:
    tasks[0].on_failure = tasks[0]


def further_down_by_success(tasks: list[Task]) -> None:
    tasks[0] >> tasks[1] >> tasks[2] >> tasks[1]


def further_down_by_failure(tasks: list[Task]) -> None:
    tasks[0] >> tasks[1] >> tasks[2]
    tasks[2].on_failure = tasks[0]


def in_a_chain(tasks: list[Task]) -> None:
    tasks[0].chain = [tasks[1], tasks[0]]


def as_its_own_handler(tasks: list[Task]) -> None:
    tasks[0].chain = [tasks[1]]
    tasks[0].chain_on_failure = tasks[0]


def between_handlers(tasks: list[Task]) -> None:
    tasks[0].on_failure = tasks[1]
    tasks[1].on_failure = tasks[0]


@pytest.mark.parametrize(
    "bend",
    [
        to_itself_by_success,
        to_itself_by_failure,
        further_down_by_success,
        further_down_by_failure,
        in_a_chain,
        as_its_own_handler,
        between_handlers,
    ],
)
async def test_what_leads_back_to_itself_is_refused(stage: Stage, tasks: list[Task], bend) -> None:
    async def bend_and_publish() -> None:
        bend(tasks)  # a task that is its own follower is refused at once
        await stage.app.publish_task(tasks[0])

    with pytest.raises((ArgumentError, ValueError), match=r"leads back|cyclic"):
        await bend_and_publish()
    assert await stage.waiting() == []


@pytest.mark.parametrize("depth", [260, 2_000])
async def test_handlers_that_nest_too_deep_to_travel_are_refused(stage: Stage, tasks: list[Task], depth: int) -> None:
    head = tasks[0]
    for _ in range(depth):
        head = Task(function_name="work", payload={"args": [1], "kwargs": {}}, on_failure=head)
    with pytest.raises(ArgumentError):
        await stage.app.publish_task(head)
    assert await stage.waiting() == []


async def test_one_task_may_be_the_callback_of_several(stage: Stage, tasks: list[Task]) -> None:
    first, second, after, _ = tasks
    first >> after
    second >> after
    second.on_failure = after
    await stage.app.publish_many([first, second])
    await stage.play()
    assert sorted(stage.app.state) == [0, 1, 2]  # one task, so it runs once


async def test_one_task_may_be_the_handler_of_each_link(stage: Stage, tasks: list[Task]) -> None:
    first, second, third, handler = tasks
    for link in (first, second, third):
        link.on_failure = handler
    first >> second >> third
    await stage.app.publish_task(first)
    await stage.play()
    assert stage.app.state == [0, 1, 2]


async def test_a_chain_of_chains_is_one_chain(stage: Stage, tasks: list[Task]) -> None:
    inner = stage.app.chain(tasks[1], tasks[2])
    await stage.app.publish_task(stage.app.chain(tasks[0], inner, tasks[3]))
    await stage.play()
    assert stage.app.state == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [0, 1])
def test_a_chain_has_two_tasks(stage: Stage, tasks: list[Task], count: int) -> None:
    with pytest.raises(ValueError, match="at least two tasks"):
        stage.app.chain(*tasks[:count])


def test_the_handler_of_a_chain_is_a_task(stage: Stage, tasks: list[Task]) -> None:
    with pytest.raises(ValueError, match=r"app\.create_task"):
        stage.app.chain(*tasks, on_failure=print)


async def test_a_chain_leads_to_the_callbacks_of_its_links_too(stage: Stage, tasks: list[Task]) -> None:
    first, second, third, callback = tasks
    second >> callback
    await stage.app.publish_task(stage.app.chain(first, second, third))
    await stage.play()
    assert sorted(stage.app.state) == [0, 1, 2, 3]


async def test_shifts_before_a_chain_lead_into_it(stage: Stage, tasks: list[Task]) -> None:
    tasks[0] >> tasks[1] >> stage.app.chain(tasks[2], tasks[3])
    await stage.app.publish_task(tasks[0])
    await stage.play()
    assert stage.app.state == [0, 1, 2, 3]


async def test_a_callback_with_a_delay_waits_after_its_task(stage: Stage, tasks: list[Task]) -> None:
    tasks[1].delay = 60
    tasks[0] >> tasks[1]
    await stage.app.publish_task(tasks[0], delay=30)
    await stage.play()
    assert stage.clock.passed == 90


async def test_options_of_publishing_are_in_the_message(stage: Stage, tasks: list[Task]) -> None:
    work = stage.app.shell.registry["work"].fn
    publisher = stage.app.options(delay=60, queue="other", task_id="mine", timeout=5, expires=9)
    handle = await publisher.apply_async(work, 7)
    (message,) = await stage.waiting("other")
    sent = json.loads(message.body)
    assert handle.task_id == message.message_id == sent["task_id"] == "mine"
    assert (sent["timeout"], sent["expires"]) == (5, 9)
    assert message.enqueued_at - stage.clock.now == 60
    assert await stage.waiting() == []


async def test_an_expired_task_is_not_run_and_its_handler_is(stage: Stage, tasks: list[Task]) -> None:
    tasks[0].expires = 10
    tasks[0].on_failure = tasks[1]
    await stage.app.publish_task(tasks[0])
    stage.clock.now += 11
    assert await stage.play() == ["expired", "success"]
    assert stage.app.state == [1]


async def test_expiry_counts_from_when_a_task_is_due(stage: Stage, tasks: list[Task]) -> None:
    tasks[0].expires = 10
    await stage.app.publish_task(tasks[0], delay=3600)
    assert await stage.play() == ["success"]


async def test_a_published_task_may_be_published_again(stage: Stage, tasks: list[Task]) -> None:
    for _ in range(2):
        await stage.app.publish_task(tasks[0])
    assert await stage.play() == ["success"]


async def test_publishing_nothing_is_nothing(stage: Stage) -> None:
    assert await stage.app.publish_many([]) == []


def test_the_links_of_a_chain_within_a_chain_keep_their_handler() -> None:
    app = Boilermaker()

    @app.task
    async def step(state: Any) -> None: ...

    a, b, c, d, inner, outer = (app.create_task(step) for _ in range(6))
    head = app.chain(a, app.chain(b, c, on_failure=inner), d, on_failure=outer)
    assert head is a
    assert [link.task_id for link in head.chain] == [b.task_id, c.task_id, d.task_id]
    assert [link.on_failure and link.on_failure.task_id for link in head.chain] == [inner.task_id, inner.task_id, None]
    assert head.chain_on_failure is outer


def test_the_handler_of_a_chain_that_begins_another_stays_with_its_links() -> None:
    app = Boilermaker()

    @app.task
    async def step(state: Any) -> None: ...

    a, b, c, inner = (app.create_task(step) for _ in range(4))
    head = app.chain(app.chain(a, b, on_failure=inner), c)
    assert head.on_failure is inner
    assert [link.on_failure and link.on_failure.task_id for link in head.chain] == [inner.task_id, None]
    assert head.chain_on_failure is None
