"""A message published by boilermaker-servicebus 1.4.1 runs here unchanged.

Its own app publishes, through a client that only notes what would have been sent; those bodies and ids are then put
into our queue as they are.
"""

from __future__ import annotations

import importlib
import os
import warnings
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

from boilermaker_fn import RetryException, RetryPolicy
from boilermaker_fn.failure import TaskFailureResult
from boilermaker_fn.task import TaskStatus
from tests.stage import QUEUE, Stage

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LONGEST = 250  # links: with more, it cannot write the message


@pytest.fixture(scope="module")
def ancestor() -> ModuleType:
    """boilermaker-servicebus itself."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its dependencies deprecate one another
            importlib.import_module("boilermaker.sample")
            importlib.import_module("boilermaker.failure")
            return importlib.import_module("boilermaker")
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("boilermaker-servicebus is not installed: pip install boilermaker-servicebus==1.4.1")


@dataclass
class NotingClient:
    """In place of its Service Bus client: notes what is sent."""

    sent: list[tuple[str, int, str]] = field(default_factory=list)

    async def send_message(self, body: str, *, delay: int = 0, unique_msg_id: str = "") -> list[int]:
        self.sent.append((body, delay, unique_msg_id))
        return [len(self.sent)]


class State:
    """It keeps a weak reference only, so this must be kept alive elsewhere."""


class Old:
    """An app of the ancestor, and how its messages come into our queue."""

    def __init__(self, ancestor: ModuleType, stage: Stage) -> None:
        self.package = ancestor
        self.state = State()
        self.client = NotingClient()
        self.app = ancestor.Boilermaker(self.state, self.client)
        self.stage = stage

    async def pass_on(self) -> None:
        """Put what it sent into our queue."""
        for body, delay, message_id in self.client.sent:
            due = self.stage.clock.now + delay if delay else None
            await self.stage.send(body.encode(), message_id, not_before=due, properties={"traceparent": TRACE})
        self.client.sent.clear()


@pytest.fixture
def old(ancestor: ModuleType, stage: Stage) -> Old:
    """Both apps know the same functions; ours are registered with options that must not matter."""
    pair = Old(ancestor, stage)
    for fn in (work, flaky, after, rescue, broken, refusing):
        pair.app.register_async(fn, policy=ancestor.RetryPolicy(max_tries=3, delay=7))
        stage.app.register_async(fn, policy=RetryPolicy(max_tries=50, delay=1000))
    return pair


async def work(state: list[Any], *args: Any, **kwargs: Any) -> str:
    state.append(("work", args, kwargs))
    return "done"


async def after(state: list[Any], who: str = "after") -> None:
    state.append(who)


async def rescue(state: list[Any], who: str = "rescue") -> None:
    state.append(who)


async def broken(state: list[Any]) -> None:
    state.append("broken")
    raise TypeError("boom")


async def refusing(state: list[Any]) -> Any:
    state.append("refusing")
    return TaskFailureResult


async def flaky(state: list[Any], times: int = 100) -> str:
    state.append("flaky")
    if state.count("flaky") <= times:
        raise RetryException("not yet")
    return "at last"


async def test_a_task_runs_with_its_arguments_and_its_id(old: Old, stage: Stage) -> None:
    published = await old.app.apply_async(work, 1, "two", [3.5, None], key={"nested": True})
    await old.pass_on()
    assert await stage.play() == ["success"]
    assert stage.app.state == [("work", (1, "two", [3.5, None]), {"key": {"nested": True}})]
    assert await stage.app.handle(published.task_id).result(timeout=1) == "done"


async def test_a_delay_is_kept(old: Old, stage: Stage) -> None:
    await old.app.apply_async(after, delay=300)
    await old.pass_on()
    assert await stage.deliver() is None
    await stage.play()
    assert stage.clock.passed == 300


async def test_publishing_twice_there_runs_once_here(old: Old, stage: Stage) -> None:
    task = old.app.create_task(after)
    for _ in range(2):
        await old.app.publish_task(task)
    await old.pass_on()
    assert await stage.play() == ["success"]


@pytest.mark.parametrize(("main", "expected"), [("work", "after"), ("broken", "rescue"), ("refusing", "rescue")])
async def test_callbacks_run(old: Old, stage: Stage, main: str, expected: str) -> None:
    task = old.app.create_task(globals()[main])
    task.on_success = old.app.create_task(after)
    task.on_failure = old.app.create_task(rescue)
    await old.app.publish_task(task)
    await old.pass_on()
    await stage.play()
    assert [entry for entry in stage.app.state if entry in ("after", "rescue")] == [expected]


async def test_a_chain_runs_in_order(old: Old, stage: Stage) -> None:
    links = [old.app.create_task(after, f"link {number}") for number in range(50)]
    await old.app.publish_task(old.app.chain(*links))
    await old.pass_on()
    assert await stage.play() == ["success"] * 50
    assert stage.app.state == [f"link {number}" for number in range(50)]


async def test_a_chain_that_breaks_runs_its_handler_once(old: Old, stage: Stage) -> None:
    links = [old.app.create_task(after, "first"), old.app.create_task(broken), old.app.create_task(after, "never")]
    await old.app.publish_task(old.app.chain(*links, on_failure=old.app.create_task(rescue)))
    await old.pass_on()
    await stage.play()
    assert stage.app.state == ["first", "broken", "rescue"]
    assert await stage.reasons() == ["TaskFailed"]


async def test_shifts_nest_and_run_in_order(old: Old, stage: Stage) -> None:
    head = last = old.app.create_task(after, "0")
    for number in range(1, LONGEST):
        last = last >> old.app.create_task(after, str(number))
    await old.app.publish_task(head)
    await old.pass_on()
    await stage.play()
    assert stage.app.state == [str(number) for number in range(LONGEST)]


async def test_callbacks_of_callbacks_run(old: Old, stage: Stage) -> None:
    head, handler = old.app.create_task(broken), old.app.create_task(broken)
    head.on_failure, handler.on_failure = handler, old.app.create_task(rescue, "the handler's handler")
    await old.app.publish_task(head)
    await old.pass_on()
    await stage.play()
    assert stage.app.state == ["broken", "broken", "the handler's handler"]


async def test_the_policy_in_the_message_counts(old: Old, stage: Stage) -> None:
    await old.app.apply_async(flaky)
    await old.pass_on()
    assert await stage.play() == ["retry", "retry", "retries_exhausted"]
    assert stage.clock.passed == 14
    assert await stage.reasons() == ["RetriesExhausted"]


async def test_a_retry_that_succeeds_goes_on_with_its_callback(old: Old, stage: Stage) -> None:
    task = old.app.create_task(flaky, 2)
    task >> old.app.create_task(after)
    await old.app.publish_task(task)
    await old.pass_on()
    assert await stage.play() == ["retry", "retry", "success", "success"]
    assert stage.app.state == ["flaky"] * 3 + ["after"]


@pytest.mark.parametrize(
    ("make", "delays"),
    [
        (lambda package: package.RetryPolicy(max_tries=4, delay=30, retry_mode=2), [30, 60, 90]),
        (lambda package: package.RetryPolicy(max_tries=4, delay=30, retry_mode=1), [30, 60, 120]),
        (lambda package: package.RetryPolicy.default(), [120] * 4),
        (lambda package: package.NoRetry(), []),
        (lambda package: package.RetryPolicy(max_tries=0), []),
    ],
)
async def test_every_policy_is_read(old: Old, stage: Stage, make: Any, delays: list[float]) -> None:
    await old.app.apply_async(flaky, policy=make(old.package))
    await old.pass_on()
    assert await stage.play() == ["retry"] * len(delays) + ["retries_exhausted"]
    assert stage.clock.passed == sum(delays)


async def test_an_attempt_that_it_has_made_counts(old: Old, stage: Stage) -> None:
    task = old.app.create_task(flaky)
    task.record_attempt()
    task.record_attempt()
    await old.app.publish_task(task, unique_msg_id=task.retry_task_id)
    await old.pass_on()
    assert await stage.play() == ["retries_exhausted"]
    row = await stage.row(task.task_id)
    assert row is not None
    assert row.attempts == 3


async def test_acks_late_false_runs_at_most_once(old: Old, stage: Stage) -> None:
    task = old.app.create_task(after)
    task.acks_late = False
    await old.app.publish_task(task)
    await old.pass_on()
    await stage.crash()
    assert await stage.play() == ["failure"]
    assert stage.app.state == []
    assert await stage.reasons() == ["LostAfterEarlyAck"]


async def test_should_dead_letter_false_leaves_no_dead_letter_and_all_else(old: Old, stage: Stage) -> None:
    task = old.app.create_task(broken)
    task.should_dead_letter = False
    task.on_failure = old.app.create_task(rescue)
    await old.app.publish_task(task)
    await old.pass_on()
    await stage.play()
    assert stage.app.state == ["broken", "rescue"]
    assert await stage.letters() == []
    row = await stage.row(task.task_id)
    assert row is not None
    assert row.status is TaskStatus.Failure


async def test_options_of_its_registration_travel(old: Old, stage: Stage) -> None:
    async def quiet(state: list[Any]) -> None:
        raise ValueError("boom")

    old.app.register_async(quiet, should_dead_letter=False, acks_late=False)
    stage.app.register_async(quiet)
    await old.app.apply_async(quiet)
    await old.pass_on()
    (task,) = await stage.tasks()
    assert (task.should_dead_letter, task.acks_late) == (False, False)
    assert await stage.play() == ["failure"]
    assert await stage.letters() == []


async def test_an_immutable_signature_runs(old: Old, stage: Stage, ancestor: ModuleType) -> None:
    await old.app.publish_task(ancestor.Task.si(work, 1, key="value", policy=ancestor.NoRetry()))
    await old.pass_on()
    assert await stage.play() == ["success"]
    assert stage.app.state == [("work", (1,), {"key": "value"})]


async def test_a_default_task_without_payload_runs(old: Old, stage: Stage, ancestor: ModuleType) -> None:
    task = ancestor.Task.default("after")
    assert task.payload == {}
    await old.app.publish_task(task)
    await old.pass_on()
    assert await stage.play() == ["success"]
    assert stage.app.state == ["after"]


async def test_its_ping_is_answered_as_often_as_it_comes(old: Old, stage: Stage, ancestor: ModuleType) -> None:
    ping = ancestor.sample.STATIC_DEBUG_TASK.model_dump_json().encode()
    for number in range(3):  # every connection sends the same body, with an id of its own
        await stage.send(ping, f"ping {number}")
    assert await stage.play() == ["success"] * 3
    assert await stage.letters() == []
    assert await stage.waiting() == []


async def test_the_trace_goes_on_to_retries_and_callbacks(old: Old, stage: Stage) -> None:
    task = old.app.create_task(flaky, 1)
    task >> old.app.create_task(after)
    await old.app.publish_task(task)
    await old.pass_on()
    await stage.deliver()
    (retry,) = await stage.waiting()
    assert retry.properties["traceparent"] == TRACE
    stage.clock.now = retry.enqueued_at
    await stage.deliver()
    (callback,) = await stage.waiting()
    assert callback.properties["traceparent"] == TRACE


async def test_it_reads_what_we_send(old: Old, stage: Stage, ancestor: ModuleType) -> None:
    """The other way round, while both run on one queue: what both know arrives."""
    task = stage.app.create_task(work, 1, key="value")
    task.policy = None
    task.on_failure = stage.app.create_task(rescue)
    task >> stage.app.create_task(after)
    await stage.app.publish_task(task)
    (message,) = await stage.waiting(QUEUE)
    with pytest.raises(ValueError, match="policy"):  # there, a policy is needed
        ancestor.Task.model_validate_json(message.body)
    task = stage.app.create_task(work, 1, key="value")
    task.policy = type(task.policy)(max_tries=3, delay=7)
    task >> stage.app.create_task(after)
    await stage.app.publish_task(task)
    theirs = ancestor.Task.model_validate_json((await stage.waiting(QUEUE))[1].body)
    assert theirs.task_id == task.task_id
    assert theirs.payload == {"args": [1], "kwargs": {"key": "value"}}
    assert theirs.policy == ancestor.RetryPolicy(max_tries=3, delay=7)
