"""What becomes of a follow-up that no queue takes? A dead letter; nothing may go round for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from boilermaker_fn.errors import Held, NotSent, QueueNotFound
from boilermaker_fn.messages import Message
from boilermaker_fn.task import TaskStatus
from tests.stage import LAKE, QUEUE, Stage


class FewQueues:
    """A transport to a namespace with these queues and no others."""

    def __init__(self, inner: Any, *queues: str) -> None:
        self.inner = inner
        self.queues = queues

    @property
    def max_message_bytes(self) -> int:
        return int(self.inner.max_message_bytes)

    async def send(self, messages: Sequence[Message], *, numbered: bool = False) -> Mapping[str, int]:
        numbers = await self.inner.send([one for one in messages if one.queue in self.queues], numbered=numbered)
        missing = [one for one in messages if one.queue not in self.queues]
        if missing:
            raise NotSent([(one.message_id, QueueNotFound(one.queue, "not here", passing=False)) for one in missing])
        return dict(numbers)


def registered(stage: Stage) -> tuple[Any, Any]:
    """The task functions `work` and `after`."""

    @stage.app.task
    async def work(state: list[str], fails: bool = False) -> None:
        state.append("work")
        if fails:
            raise ValueError("boom")

    @stage.app.task
    async def after(state: list[str], name: str) -> None:
        state.append(name)

    return work, after


def namespace_of(stage: Stage, *queues: str) -> None:
    stage.runner._transport = FewQueues(stage.engine.transport, *queues)


async def published(stage: Stage, *, fails: bool, queue: str) -> tuple[str, str]:
    """A task whose callback goes to `queue`; the ids of both."""
    work, after = registered(stage)
    task, callback = stage.app.create_task(work, fails), stage.app.options(queue=queue).create_task(after, "callback")
    task.on_failure = task.on_success = callback
    await stage.app.publish_task(task)
    return task.task_id, callback.task_id


@pytest.mark.parametrize("fails", [False, True])
async def test_it_becomes_a_dead_letter_and_its_task_ends(stage: Stage, fails: bool) -> None:
    task_id, callback_id = await published(stage, fails=fails, queue="missing")
    namespace_of(stage, QUEUE, LAKE)
    assert await stage.play() == ["failure" if fails else "success"]
    assert stage.app.state == ["work"]
    letters = {str(one.properties["task_id"]): one for one in await stage.letters()}
    assert set(letters) == ({task_id, callback_id} if fails else {callback_id})
    letter = letters[callback_id]
    assert letter.properties["DeadLetterReason"] == "Undeliverable"
    assert "queue 'missing': not here" in str(letter.properties["DeadLetterErrorDescription"])
    assert (letter.properties["function"], letter.properties["origin"]) == ("after", "missing")
    status = TaskStatus.Failure if fails else TaskStatus.Success
    assert (await stage.app.handle(task_id).info()).status is status


async def test_its_body_can_be_sent_on(stage: Stage) -> None:
    await published(stage, fails=False, queue="missing")
    namespace_of(stage, QUEUE, LAKE)
    await stage.play()
    (letter,) = await stage.letters()
    await stage.send(letter.body)
    assert await stage.play() == ["success"]
    assert stage.app.state == ["work", "callback"]


async def test_the_other_follow_ups_go_out(stage: Stage) -> None:
    work, after = registered(stage)
    head = stage.app.chain(stage.app.create_task(work), stage.app.create_task(after, "next"))
    head.on_success = stage.app.options(queue="missing").create_task(after, "callback")
    await stage.app.publish_task(head)
    namespace_of(stage, QUEUE, LAKE)
    assert await stage.play() == ["success", "success"]
    assert stage.app.state == ["work", "next"]
    assert await stage.reasons() == ["Undeliverable"]


async def test_the_reaper_moves_the_message_and_ends(stage: Stage) -> None:
    task_id, callback_id = await published(stage, fails=True, queue="missing")
    for _ in range(10):
        await stage.crash()
    namespace_of(stage, QUEUE, LAKE)
    assert await stage.reap() == "failure"
    assert stage.app.state == []
    assert {str(one.properties["task_id"]): one.properties["DeadLetterReason"] for one in await stage.letters()} == {
        task_id: "MaxDeliveryCountExceeded",
        callback_id: "Undeliverable",
    }


async def test_without_a_dead_letter_queue_the_message_is_held(stage: Stage) -> None:
    await published(stage, fails=True, queue=QUEUE)
    namespace_of(stage, QUEUE)
    with pytest.raises(Held, match="tasks-dead-letters"):
        await stage.deliver()
    namespace_of(stage, QUEUE, LAKE)
    assert await stage.play() == ["failure", "success"]
    assert await stage.reasons() == ["TaskFailed"]
