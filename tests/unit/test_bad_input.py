"""What is wrong from outside harms nobody: it is refused at the door, or ends as a dead letter that says why."""

from __future__ import annotations

import asyncio
import datetime
import json
import threading
from collections.abc import Sequence

import pytest

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy
from boilermaker_fn.entities import Entity, Operation, Page
from boilermaker_fn.errors import (
    AlreadyPublished,
    ArgumentError,
    BoilermakerAppException,
    BoilermakerUnregisteredFunction,
    OptionError,
    RegistrationError,
    StoreUnavailable,
    TaskTooLarge,
)
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.task import NullTaskId, Task, TaskStatus
from boilermaker_fn.task.row import MAX_RESULT_BYTES
from tests.stage import QUEUE, ManualClock, Stage, staged

# -- bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\xff\xfe garbage",
        b"\x80\x04\x95",
        b"not json",
        b'{"task_id": ',
        b"null",
        b"[]",
        b"17",
        b'"text"',
        b"{}",
        b'{"function_name": 17}',
        b'{"function_name": "work", "payload": "text"}',
        b'{"function_name": "work", "version": 0}',
        b'{"function_name": "work", "version": "two"}',
        b'{"function_name": "work", "task_id": "a/b"}',
        b'{"function_name": "work", "task_id": ""}',
        b'{"function_name": "work", "timeout": -1}',
        b'{"function_name": "work", "policy": {"max_tries": 1000000}}',
        b'{"function_name": "work", "policy": {"delay": NaN}}',
        b'{"function_name": "work", "on_success": {"nonsense": 1}}',
        b"[" * 100_000,
        b'{"on_success":' * 10_000,
        '{"function_name": "work"}'.encode("utf-16"),
        b'{"function_name": "\xed\xa0\x80"}',
    ],
    ids=lambda body: repr(body[:40]),
)
async def test_a_body_that_is_no_envelope_is_set_aside_at_once(stage: Stage, body: bytes) -> None:
    @stage.app.task()
    async def work(state: list[str]) -> None:
        state.append("ran")

    await stage.send(body)
    assert await stage.play() == ["InvalidTaskFormat"]
    assert await stage.waiting() == []
    (letter,) = await stage.letters()
    assert letter.properties["DeadLetterReason"] == "InvalidTaskFormat"
    assert "not a task envelope" in str(letter.properties["DeadLetterErrorDescription"])
    assert letter.properties["origin_message_id"] == "a-message"
    assert letter.body == body
    assert stage.app.state == []


@pytest.mark.parametrize(
    ("payload", "ending"),
    [
        ({"args": "text", "kwargs": {}}, "InvalidTaskFormat"),
        ({"args": 17}, "InvalidTaskFormat"),
        ({"args": {"a": 1}}, "InvalidTaskFormat"),
        ({"kwargs": [1, 2]}, "InvalidTaskFormat"),
        ({"args": [], "kwargs": "text"}, "InvalidTaskFormat"),
        ({"args": None, "kwargs": None, "more": 1}, "success"),
        ({}, "success"),
    ],
    ids=str,
)
async def test_a_strange_payload_is_set_aside(stage: Stage, payload: dict[str, object], ending: str) -> None:
    @stage.app.task()
    async def work(state: list[str], a: int = 0) -> None: ...

    await stage.send(json.dumps({"task_id": "t", "function_name": "work", "payload": payload}).encode())
    assert await stage.play() == [ending]
    assert await stage.reasons() == ([] if ending == "success" else [ending])


# -- versions


async def test_an_envelope_of_a_newer_major_version_waits_for_a_deployment_and_is_then_set_aside(stage: Stage) -> None:
    body = json.dumps({"version": 2, "task_id": "t", "function_name": "work", "hyper": {"space": True}}).encode()
    await stage.send(body)
    delays = []
    while await stage.deliver() == "postponed":
        (again,) = await stage.waiting()
        assert again.body == body
        delays.append(again.enqueued_at - stage.clock.now)
        stage.clock.now = again.enqueued_at
    assert stage.ran[-1] == "UnknownTask"
    assert delays == sorted(delays)
    assert delays[0] < delays[-1]
    assert 15 * 60 < sum(delays) < 60 * 60
    (letter,) = await stage.letters()
    assert letter.body == body
    assert "version 2 is newer" in str(letter.properties["DeadLetterErrorDescription"])


async def test_unknown_fields_are_kept_and_passed_on_through_a_retry_and_a_callback(stage: Stage) -> None:
    @stage.app.task(policy=RetryPolicy(max_tries=2, delay=5))
    async def flaky(state: list[str]) -> None:
        state.append("flaky")
        if len(state) == 1:
            raise RetryException("again")

    @stage.app.task()
    async def after(state: list[str]) -> None: ...

    callback = {"function_name": "after", "hue": "red"}
    await stage.send(json.dumps({"function_name": "flaky", "hue": {"of": "blue"}, "on_success": callback}).encode())
    await stage.deliver()
    (again,) = await stage.waiting()
    assert json.loads(again.body)["hue"] == {"of": "blue"}
    assert json.loads(again.body)["attempts"]["attempts"] == 1
    stage.clock.now = again.enqueued_at
    await stage.deliver()
    (following,) = await stage.waiting()
    assert json.loads(following.body)["hue"] == "red"


# -- functions


async def test_an_unknown_function_waits_for_a_deployment_and_then_fails(stage: Stage) -> None:
    @stage.app.task()
    async def rescue(state: list[str]) -> None:
        state.append("rescue")

    lost = Task(function_name="lost")
    lost.on_failure = stage.app.create_task(rescue)
    await stage.app.publish_task(lost)
    delays = []
    while await stage.deliver() == "postponed":
        (again,) = await stage.tasks()
        assert again.attempts.attempts == 0
        due = (await stage.waiting())[0].enqueued_at
        delays.append(due - stage.clock.now)
        stage.clock.now = due
    assert delays == [5, 10, 20, 40, 80, 160, 300, 300, 300, 300]
    assert await stage.play() == ["success"]
    assert stage.app.state == ["rescue"]
    row = await stage.row(lost.task_id)
    assert row is not None
    assert (row.status, row.reason) == (TaskStatus.Failure, "UnknownTask")
    assert await stage.reasons() == ["UnknownTask"]


async def test_a_function_that_is_deployed_meanwhile_runs(stage: Stage) -> None:
    handle = await stage.app.publish_by_name("late", 5)
    assert await stage.deliver_all() == ["postponed"]

    @stage.app.task()
    async def late(state: list[str], number: int) -> int:
        return number + 1

    assert await stage.play() == ["success"]
    assert await handle.result(timeout=1) == 6
    assert (await handle.info()).attempts == 1


# -- arguments


async def test_wrong_arguments_are_refused_where_they_are_published(stage: Stage) -> None:
    @stage.app.task()
    async def order(state: list[str], number: int, *, when: str = "now") -> None: ...

    for args, kwargs, parameter, problem in [
        (("x",), {}, "number", "integer"),
        ((), {}, None, "missing a required argument: 'number'"),
        ((1, 2), {}, None, "too many positional arguments"),
        ((1,), {"whence": 1}, None, "unexpected keyword argument 'whence'"),
        ((1,), {"when": 3}, "when", "string"),
    ]:
        with pytest.raises(ArgumentError, match=problem) as caught:
            await stage.app.apply_async(order, *args, **kwargs)
        assert (caught.value.function, caught.value.parameter) == ("order", parameter)
        assert isinstance(caught.value, TypeError)
    assert await stage.waiting() == []


async def test_wrong_arguments_of_a_callback_are_refused_where_it_is_published(stage: Stage) -> None:
    @stage.app.task()
    async def order(state: list[str], number: int) -> None: ...

    head = stage.app.create_task(order, 1)
    head >> stage.app.create_task(order, 2) >> stage.app.create_task(order, "three")
    with pytest.raises(ArgumentError, match="'number'"):
        await stage.app.publish_task(head)
    assert await stage.waiting() == []


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", float("nan"), float("inf"), object(), lambda: None])
async def test_an_argument_that_cannot_travel_is_refused(stage: Stage, value: object) -> None:
    @stage.app.task()
    async def work(state: list[str], anything) -> None: ...

    with pytest.raises(ArgumentError) as caught:
        await stage.app.apply_async(work, [value])
    assert caught.value.parameter == "anything"
    assert await stage.waiting() == []


@pytest.mark.parametrize("arguments", [(), ("x",), (1, 2)])
async def test_wrong_arguments_by_name_end_as_a_dead_letter(stage: Stage, arguments: tuple[object, ...]) -> None:
    await stage.app.publish_by_name("order", *arguments)

    @stage.app.task(max_retries=5, retry_delay=1)
    async def order(state: list[str], number: int) -> None:
        state.append("ran")

    assert await stage.play() == ["failure"]
    assert await stage.reasons() == ["WrongArguments"]
    assert stage.app.state == []


async def test_a_function_that_is_not_registered_is_refused(stage: Stage) -> None:
    async def stranger(state: list[str]) -> None: ...

    with pytest.raises(BoilermakerUnregisteredFunction, match=r"@app\.task\(\)") as caught:
        await stage.app.apply_async(stranger)
    assert caught.value.function == "stranger"


async def test_arguments_of_300_kb_are_refused_with_size_and_limit(stage: Stage) -> None:
    @stage.app.task()
    async def work(state: list[str], text: str) -> None: ...

    with pytest.raises(TaskTooLarge, match="pass a reference") as caught:
        await stage.app.apply_async(work, "x" * 300_000)
    assert caught.value.size > 300_000
    assert caught.value.limit == 262_144 - 8 * 1024
    assert await stage.waiting() == []


async def test_one_task_that_is_too_large_keeps_all_of_its_batch_back(stage: Stage) -> None:
    @stage.app.task()
    async def work(state: list[str], text: str) -> None: ...

    tasks = [stage.app.create_task(work, text) for text in ("small", "x" * 300_000)]
    with pytest.raises(TaskTooLarge):
        await stage.app.publish_many(tasks)
    assert await stage.waiting() == []


# -- results


async def test_a_result_larger_than_a_row_fails_with_size_and_limit(stage: Stage) -> None:
    @stage.app.task()
    async def large(state: list[str]) -> str:
        return "x" * (MAX_RESULT_BYTES + 1)

    handle = await stage.app.apply_async(large)
    assert await stage.play() == ["failure"]
    info = await handle.info()
    assert info.reason == "ResultNotSerializable"
    assert info.error_type == "boilermaker_fn.errors.ResultTooLarge"
    assert str(MAX_RESULT_BYTES) in (info.errors or [""])[0]


async def test_a_result_as_large_as_a_row_is_kept(stage: Stage) -> None:
    @stage.app.task()
    async def large(state: list[str]) -> str:
        return "x" * (MAX_RESULT_BYTES - 2)

    handle = await stage.app.apply_async(large)
    assert await stage.play() == ["success"]
    assert len(await handle.result(timeout=1)) == MAX_RESULT_BYTES - 2


# -- exceptions


class Mute(Exception):
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Odd(Exception):
    """Says something that no encoding takes."""

    def __str__(self) -> str:
        return "lone surrogate \ud800 and \x00"


@pytest.mark.parametrize("error", [Mute, Odd, SystemExit, KeyError, asyncio.CancelledError, ExceptionGroup])
async def test_an_exception_of_any_kind_is_an_outcome(stage: Stage, error: type[BaseException]) -> None:
    @stage.app.task()
    async def broken(state: list[str]) -> None:
        if error is ExceptionGroup:
            raise ExceptionGroup("several", [Mute(), ValueError("x" * 100_000)])
        raise error

    handle = await stage.app.apply_async(broken)
    assert await stage.play() == ["failure"]
    assert await stage.reasons() == ["TaskFailed"]
    info = await handle.info()
    assert info.error_type.endswith(error.__name__)


async def test_a_huge_message_of_an_exception_fits_everywhere(stage: Stage) -> None:
    @stage.app.task()
    async def broken(state: list[str]) -> None:
        raise ValueError("🔥" * 1_000_000)

    handle = await stage.app.apply_async(broken)
    assert await stage.play() == ["failure"]
    assert await stage.reasons() == ["TaskFailed"]
    assert (await handle.info()).error_type == "ValueError"


# -- tasks that never end


async def test_a_thread_that_never_ends_fails_and_the_next_one_runs(stage: Stage) -> None:
    leave = threading.Event()

    @stage.app.task(timeout=0.05)
    def endless(state: list[str]) -> None:
        leave.wait(60)

    @stage.app.task()
    def work(state: list[str]) -> str:
        return "done"

    await stage.app.apply_async(endless)
    handle = await stage.app.apply_async(work)
    assert await stage.play() == ["failure", "success"]
    assert await stage.reasons() == ["TimedOut"]
    assert await handle.result(timeout=1) == "done"
    leave.set()


# -- the clock and the store


async def test_a_clock_that_goes_back_loses_and_repeats_nothing(stage: Stage) -> None:
    @stage.app.task(policy=RetryPolicy(max_tries=2, delay=60))
    async def flaky(state: list[str]) -> None:
        state.append("tried")
        if len(state) == 1:
            raise RetryException("again")

    handle = await stage.app.apply_async(flaky)
    stage.clock.now -= 3600
    await stage.deliver()
    stage.clock.now -= 3600
    await stage.play()
    assert stage.app.state == ["tried", "tried"]
    assert await handle.status() is TaskStatus.Success
    assert await stage.letters() == []


class AbsentTable:
    """A table that does not answer until an instant."""

    def __init__(self, inner: object, clock: ManualClock, until: float) -> None:
        self.inner = inner
        self.clock = clock
        self.until = until

    def _answer(self) -> None:
        if self.clock() < self.until:
            raise StoreUnavailable("the store is down")

    async def read(self, partition: str, row: str, select: Sequence[str] | None = None) -> Entity | None:
        self._answer()
        return await self.inner.read(partition, row, select)

    async def query(self, partition: str, **conditions: object) -> Page:
        self._answer()
        return await self.inner.query(partition, **conditions)

    async def write(self, operations: Sequence[Operation]) -> list[str]:
        self._answer()
        return await self.inner.write(operations)


@pytest.mark.parametrize("acks_late", [True, False])
async def test_a_store_that_is_down_for_15_minutes_fails_no_task(acks_late: bool) -> None:
    clock = ManualClock()
    engine = LocalEngine(None, clock=clock)
    table = AbsentTable(engine.table, clock, clock.start + 15 * 60)
    async with staged(Boilermaker([]), engine=engine, clock=clock, table=table) as stage:

        @stage.app.task(acks_late=acks_late)
        async def work(state: list[str]) -> None:
            state.append("work")

        @stage.app.task()
        async def after(state: list[str]) -> None:
            state.append("after")

        one = stage.app.create_task(work)
        one >> stage.app.create_task(after)
        await stage.app.publish_task(one)
        endings = await stage.play()
        assert set(endings) == {"postponed", "success"}
        assert 15 * 60 <= clock.passed <= 25 * 60
        assert stage.app.state == ["work", "after"]
        assert await stage.letters() == []
        row = await stage.row(one.task_id)
        assert row is not None
        assert row.attempts == 1


# -- two apps, one file


async def test_two_apps_with_one_file_and_different_tasks_run_their_own(tmp_path) -> None:
    clock = ManualClock()
    engine = LocalEngine(tmp_path / "one.db", clock=clock)
    other = LocalEngine(tmp_path / "one.db", clock=clock)
    async with (
        staged(Boilermaker([]), engine=engine, clock=clock) as first,
        staged(Boilermaker([]), engine=other, clock=clock) as second,
    ):

        @first.app.task()
        async def cook(state: list[str]) -> str:
            state.append("cook")
            return "soup"

        @second.app.task()
        async def wash(state: list[str]) -> str:
            state.append("wash")
            return "clean"

        handles = [await first.app.publish_by_name("cook"), await first.app.publish_by_name("wash")]
        assert set(await second.deliver_all()) == {"postponed", "success"}  # it met both, and could do one
        await first.play()
        assert [await handle.result(timeout=1) for handle in handles] == ["soup", "clean"]
        assert (first.app.state, second.app.state) == (["cook"], ["wash"])
        assert await first.letters() == []


# -- options


async def test_wrong_options_are_told_all_at_once(stage: Stage) -> None:
    with pytest.raises(OptionError) as caught:
        stage.app.options(
            delay=-1,
            eta="tomorrow",  # type: ignore[arg-type]
            policy="often",
            queue="",
            task_id="a/b",
            timeout=0,
            expires=float("nan"),
            publish_attempts=0,
        )
    names = [problem.split()[0] for problem in caught.value.problems]
    assert names == ["delay", "timeout", "expires", "eta", "delay", "policy", "queue", "task_id", "publish_attempts"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"delay": True}, "delay is True"),
        ({"delay": "5"}, "delay is '5'"),
        ({"task_id": "x" * 97}, "97 characters"),
        ({"task_id": ""}, "0 characters"),
        ({"publish_attempts": 1.5}, "publish_attempts is 1.5"),
        ({"timeout": float("inf")}, "timeout is inf"),
    ],
)
async def test_a_wrong_option_is_named(stage: Stage, options: dict[str, object], problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        stage.app.options(**options)


# -- registration


async def good(state: object) -> None: ...


def plain(state: object) -> None: ...


@pytest.mark.parametrize(
    ("fn", "options", "problem"),
    [
        (good, {"colour": "red"}, "unknown option 'colour'"),
        (good, {"max_retries": -1}, "max_retries is -1"),
        (good, {"max_retries": 1.5}, r"max_retries is 1\.5"),
        (good, {"max_retries": 2, "policy": RetryPolicy()}, "exclude each other"),
        (good, {"retry_delay": 2}, "add max_retries"),
        (good, {"max_retries": 2, "retry_delay": -2}, "retry_delay is -2"),
        (good, {"policy": "often"}, "policy is 'often'"),
        (good, {"timeout": 0}, "timeout is 0"),
        (good, {"expires": -5}, "expires is -5"),
        (good, {"retry_on": ValueError}, r"write retry_on=\(ValueError,\)"),
        (good, {"retry_on": ("ValueError",)}, "'ValueError', which is no exception class"),
        (good, {"cpu_bound": True}, "must be a plain def"),
        (lambda: None, {"cpu_bound": True}, "local or a lambda"),
        (lambda: None, {}, "first parameter must be the state"),
        (print, {"name": ""}, "give it one of 1 to 256 characters with name"),
        (17, {"name": "seventeen"}, "is not a function"),
    ],
)
def test_what_cannot_be_registered_is_refused(fn: object, options: dict[str, object], problem: str) -> None:
    with pytest.raises(RegistrationError, match=problem):
        Boilermaker().register_async(fn, **options)


def test_all_that_is_wrong_with_a_registration_is_told_at_once() -> None:
    with pytest.raises(RegistrationError) as caught:
        Boilermaker().register_async(good, colour="red", timeout=-1, max_retries="x", retry_on=ValueError)
    assert str(caught.value).count(";") == 3


def test_a_name_is_taken_once() -> None:
    app = Boilermaker().register_async(good)
    with pytest.raises(RegistrationError, match="a task named 'good' is registered already"):
        app.register_async(plain, name="good")
    app.register_async(plain, name="better")


# -- published


@pytest.mark.parametrize("field", ["payload", "on_success", "policy", "acks_late"])
async def test_a_published_task_cannot_be_changed(stage: Stage, field: str) -> None:
    stage.app.register_async(good)
    one = stage.app.create_task(good)
    await stage.app.publish_task(one)
    with pytest.raises(AlreadyPublished, match=f"field '{field}'"):
        setattr(one, field, None)


async def test_the_callbacks_of_a_published_task_cannot_be_changed_either(stage: Stage) -> None:
    stage.app.register_async(good)
    one, after, rescue = (stage.app.create_task(good) for _ in range(3))
    one >> after
    one.on_failure = rescue
    await stage.app.publish_task(one)
    for task in (after, rescue):
        with pytest.raises(AlreadyPublished):
            task.acks_late = False


async def test_a_task_that_was_not_sent_can_still_be_changed(stage: Stage) -> None:
    @stage.app.task()
    async def work(state: list[str], text: str) -> None: ...

    one = stage.app.create_task(work, "x" * 300_000)
    with pytest.raises(TaskTooLarge):
        await stage.app.publish_task(one)
    one.payload = {"args": ["small"], "kwargs": {}}
    await stage.app.publish_task(one)
    assert await stage.play() == ["success"]


async def test_a_task_without_an_id_of_its_own_is_refused(stage: Stage) -> None:
    with pytest.raises(BoilermakerAppException, match="never got an id"):
        await stage.app.publish_task(Task(task_id=NullTaskId, function_name="good"))
    assert await stage.waiting(QUEUE) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout", -5),
        ("delay", "soon"),
        ("expires", 0),
        ("policy", "often"),
        ("task_id", "a/b"),
        ("payload", {"args": "text"}),
        ("on_success", "after"),
        ("acks_late", "perhaps"),
        ("eta", datetime.datetime(2030, 1, 1)),
        ("function_name", ""),
    ],
)
def test_what_would_be_unreadable_cannot_be_set_on_a_task(field: str, value: object) -> None:
    task = Task(function_name="good")
    before = getattr(task, field)
    with pytest.raises(ValueError, match=field):
        setattr(task, field, value)
    assert getattr(task, field) == before


def test_a_callback_that_is_set_is_the_very_task() -> None:
    task, after = Task(function_name="good"), Task(function_name="after")
    task.on_success = task.on_failure = after
    assert task.on_success is after
    assert task.on_failure is after
