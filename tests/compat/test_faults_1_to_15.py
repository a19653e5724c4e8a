"""What boilermaker-servicebus gets wrong, one by one, is right here: 1 to 15.

The numbers name the faults; one that concerns only graphs, or only its storage, has no test here.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.errors import BoilermakerAppException, PublishError
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.outcomes import Reason
from boilermaker_fn.task import TaskStatus
from tests.compat.faulty import CountingTransport, registered, task
from tests.stage import QUEUE, ManualClock, Stage, staged

# -- 1


async def test_01_publish_task_raises_when_the_queue_refuses(tmp_path: Path) -> None:
    app = Boilermaker([], LocalEngine(tmp_path))  # a folder, so there is no file to open

    @app.task
    async def work(state: Any) -> None: ...

    one = app.create_task(work)
    with pytest.raises(PublishError) as caught:
        await app.publish_task(one)
    await app.close()
    assert caught.value.not_sent == [one.task_id]
    assert caught.value.sent == []
    assert str(tmp_path) in str(caught.value.errors[0])
    assert isinstance(caught.value, BoilermakerAppException)  # what users of boilermaker-servicebus catch


async def test_01_publish_many_says_which_were_accepted(stage: Stage, counted: CountingTransport) -> None:
    registered(stage)
    tasks = [task(stage, "work") for _ in range(3)]
    counted.refused = {tasks[1].task_id}
    with pytest.raises(PublishError) as caught:
        await stage.app.publish_many(tasks)
    assert caught.value.not_sent == [tasks[1].task_id]
    assert caught.value.sent == [tasks[0].task_id, tasks[2].task_id]
    assert await stage.play() == ["success"] * 2


async def test_01_what_was_refused_can_be_published_again(stage: Stage, counted: CountingTransport) -> None:
    registered(stage)
    tasks = [task(stage, "work") for _ in range(3)]
    counted.refused = {tasks[1].task_id}
    with pytest.raises(PublishError):
        await stage.app.publish_many(tasks)
    counted.refused = set()
    await stage.app.publish_many(tasks)
    assert await stage.play() == ["success"] * 3


async def test_01_publish_attempts_sends_only_what_was_refused(stage: Stage, counted: CountingTransport) -> None:
    registered(stage)
    tasks = [task(stage, "work") for _ in range(3)]
    counted.refused = {tasks[1].task_id}
    with pytest.raises(PublishError) as caught:
        await stage.app.options(publish_attempts=2).publish_many(tasks)
    assert [len(operation) for operation in counted.operations] == [3, 1]
    assert len(caught.value.errors) == 2


# -- 7


async def test_07_what_the_broker_gives_up_is_recorded_and_its_callback_runs() -> None:
    clock = ManualClock()
    engine = LocalEngine(None, clock=clock, max_delivery_count=3)
    async with staged(Boilermaker([]), engine=engine, clock=clock) as stage:
        registered(stage)
        poison = task(stage, "work")
        poison.on_failure = task(stage, "rescue")
        poison.on_success = task(stage, "after")
        handle = await stage.app.publish_task(poison)
        for _ in range(3):
            await stage.crash()
        assert await stage.reap() == TaskStatus.Failure
        info = await handle.info()
        assert (info.status, info.reason) == (TaskStatus.Failure, Reason.MaxDeliveryCountExceeded)
        assert await stage.reasons() == ["MaxDeliveryCountExceeded"]
        assert await stage.play() == [TaskStatus.Success]
        assert stage.app.state == ["rescue"]  # and `work` was never run by us
        assert await stage.waiting(QUEUE + "/$deadletterqueue") == []


# -- 9


@pytest.mark.parametrize("first", ["zombie", "redelivery"])
async def test_09_a_zombie_and_its_redelivery_leave_one_outcome_and_one_kind_of_callback(
    stage: Stage, first: str
) -> None:
    gates: dict[str, asyncio.Event] = {"zombie": asyncio.Event(), "redelivery": asyncio.Event()}
    running: list[str] = []

    @stage.app.task()
    async def work(state: list[str]) -> str:
        me = "redelivery" if running else "zombie"
        running.append(me)
        await gates[me].wait()
        if me == "zombie":
            raise ValueError("the zombie failed")
        return "the redelivery succeeded"

    @stage.app.task()
    async def after(state: list[str]) -> None:
        state.append("after")

    @stage.app.task()
    async def rescue(state: list[str]) -> None:
        state.append("rescue")

    one = stage.app.create_task(work)
    one.on_success, one.on_failure = stage.app.create_task(after), stage.app.create_task(rescue)
    await stage.app.publish_task(one)

    inbox = stage.engine.inbox(QUEUE)
    (zombie,) = await inbox.receive(1, 0)
    runs = {"zombie": asyncio.ensure_future(stage.runner.handle(zombie))}
    while len(running) < 1:
        await asyncio.sleep(0)
    stage.clock.now = zombie.locked_until
    (again,) = await inbox.receive(1, 0)
    runs["redelivery"] = asyncio.ensure_future(stage.runner.handle(again))
    while len(running) < 2:
        await asyncio.sleep(0)

    second = "redelivery" if first == "zombie" else "zombie"
    gates[first].set()
    ending = await runs[first]
    row = await stage.row(one.task_id)
    gates[second].set()
    assert await runs[second] == ending  # the stored outcome wins
    assert await stage.row(one.task_id) == row
    await inbox.complete(again)
    await stage.play()
    assert stage.app.state == (["rescue"] if first == "zombie" else ["after"])
    assert len(await stage.letters()) == (1 if first == "zombie" else 0)


# -- 10


@pytest.fixture
async def forgetful():
    """A stage whose queue has no duplicate detection."""
    clock = ManualClock()
    engine = LocalEngine(None, clock=clock, duplicate_window=0)
    async with staged(Boilermaker([]), engine=engine, clock=clock) as stage:
        yield stage


async def test_10_published_twice_runs_once_without_duplicate_detection(forgetful: Stage) -> None:
    registered(forgetful)
    for _ in range(2):
        await forgetful.app.options(task_id="order-17").apply_async(forgetful.app.shell.registry["work"].fn)
    assert len(await forgetful.waiting()) == 2
    assert await forgetful.play() == ["success", "success"]
    assert forgetful.app.state == ["work"]


async def test_10_a_callback_sent_twice_runs_once_without_duplicate_detection(forgetful: Stage) -> None:
    registered(forgetful)
    one = task(forgetful, "work")
    one >> task(forgetful, "after")
    await forgetful.app.publish_task(one)
    (delivery,) = await forgetful.engine.inbox(QUEUE).receive(1, 0)
    await forgetful.runner.handle(delivery)  # and dies before it settles
    forgetful.clock.now = delivery.locked_until
    await forgetful.play()
    assert forgetful.app.state == ["work", "after"]


# -- 14


async def test_14_a_chain_of_three_hundred_runs_to_its_end(stage: Stage) -> None:
    @stage.app.task()
    async def link(state: list[int], number: int) -> None:
        state.append(number)

    await stage.app.publish_task(stage.app.chain(*(stage.app.create_task(link, i) for i in range(300))))
    await stage.play()
    assert stage.app.state == list(range(300))


async def test_14_three_hundred_shifts_run_to_their_end(stage: Stage) -> None:
    @stage.app.task()
    async def link(state: list[int], number: int) -> None:
        state.append(number)

    head = last = stage.app.create_task(link, 0)
    for i in range(1, 300):
        last = last >> stage.app.create_task(link, i)
    await stage.app.publish_task(head)
    await stage.play()
    assert stage.app.state == list(range(300))


# -- 15


class AppState:
    """A state that nobody else refers to."""

    def __init__(self) -> None:
        self.seen: list[str] = []


async def test_15_the_app_keeps_its_state_alive() -> None:
    async with staged(Boilermaker(AppState())) as stage:

        @stage.app.task()
        async def look(state: AppState) -> None:
            state.seen.append("alive")

        await stage.app.apply_async(look)
        assert await stage.play() == ["success"]
        assert stage.app.state.seen == ["alive"]


@pytest.mark.parametrize("state", [{"counter": 0}, None, 7, (1, 2), "text"])
async def test_15_anything_is_a_state(state: object) -> None:
    async with staged(Boilermaker(state)) as stage:
        seen: list[object] = []

        @stage.app.task()
        async def look(state: object) -> None:
            seen.append(state)

        await stage.app.apply_async(look)
        assert await stage.play() == ["success"]
        assert seen == [state]
        assert seen[0] is state
