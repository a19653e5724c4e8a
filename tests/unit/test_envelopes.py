"""How a task becomes a message, and a message a task."""

from __future__ import annotations

import datetime
import json

import pytest

from boilermaker_fn import RetryPolicy
from boilermaker_fn.envelopes import Newer, Unreadable, decode, encode, flat, outgoing
from boilermaker_fn.errors import ArgumentError
from boilermaker_fn.task import Task

NOW = 1_893_499_200.0


def shifts(count: int) -> Task:
    """`t0 >> t1 >> ...`"""
    head = last = Task(task_id="t0", function_name="f0")
    for number in range(1, count):
        last = last >> Task(task_id=f"t{number}", function_name=f"f{number}")
    return head


def test_what_is_encoded_is_decoded() -> None:
    task = Task(
        function_name="work",
        payload={"args": [1, "é"], "kwargs": {"a": None}},
        policy=RetryPolicy(max_tries=3),
        timeout=5,
        expires=60,
        queue="other",
        keep_result=False,
        on_failure=Task(function_name="rescue"),
    )
    assert decode(encode(task)) == task


def test_what_says_nothing_is_left_out() -> None:
    sent = json.loads(encode(Task(function_name="work")))
    assert set(sent) == {
        "task_id", "should_dead_letter", "acks_late", "function_name", "attempts", "policy", "payload", "graph_id",
        "on_success", "on_failure", "version",
    }  # fmt: skip


def test_a_chain_of_3000_shifts_lies_flat() -> None:
    body = encode(shifts(3_000))
    sent = json.loads(body)
    assert sent["on_success"] is None
    assert [link["task_id"] for link in sent["chain"]] == [f"t{number}" for number in range(1, 3_000)]
    assert all(link["on_success"] is None for link in sent["chain"])
    read = decode(body)
    assert isinstance(read, Task)
    assert len(read.chain) == 2_999


def test_flattening_changes_nothing_of_the_task_itself() -> None:
    head = shifts(5)
    flat(head)
    assert head.chain == []
    assert head.on_success is not None
    assert head.on_success.on_success is not None


def test_one_callback_stays_a_callback() -> None:
    sent = json.loads(encode(shifts(2)))
    assert sent["on_success"]["task_id"] == "t1"
    assert "chain" not in sent


@pytest.mark.parametrize("length", [2, 3, 50])
def test_a_loop_is_refused(length: int) -> None:
    head = last = shifts(length)
    while last.on_success is not None:
        last = last.on_success
    last >> head
    with pytest.raises(ArgumentError):
        encode(head)


def test_a_loop_further_down_is_refused() -> None:
    head = shifts(5)
    assert head.on_success is not None
    middle = last = head.on_success
    while last.on_success is not None:
        last = last.on_success
    last >> middle
    with pytest.raises(ArgumentError, match="a chain must end"):
        encode(head)


@pytest.mark.parametrize(
    ("fields", "due", "expires_at"),
    [
        ({}, None, None),
        ({"delay": 60}, 60, None),
        ({"eta": datetime.datetime.fromtimestamp(NOW + 90, datetime.UTC)}, 90, None),
        ({"eta": datetime.datetime.fromtimestamp(NOW - 90, datetime.UTC)}, None, None),
        ({"expires": 10}, None, 10),
        ({"delay": 60, "expires": 10}, 60, 70),
    ],
)
def test_when_a_message_becomes_due_and_expires(
    fields: dict[str, object], due: float | None, expires_at: float | None
) -> None:
    message = outgoing(Task(function_name="work", **fields), now=NOW, queue="tasks")
    assert message.not_before == (None if due is None else NOW + due)
    sent = json.loads(message.body)
    assert sent.get("expires_at") == (None if expires_at is None else NOW + expires_at)
    assert sent["published_at"] == NOW
    assert message.expires_at is None  # we say so ourselves: the broker would drop it without a word


def test_a_message_goes_to_the_queue_its_task_names() -> None:
    assert outgoing(Task(function_name="work"), now=NOW, queue="tasks").queue == "tasks"
    assert outgoing(Task(function_name="work", queue="other"), now=NOW, queue="tasks").queue == "other"


def test_a_newer_version_is_told_from_nonsense() -> None:
    assert decode(b'{"version": 2, "function_name": "work"}') == Newer(2)
    assert decode(b'{"version": 2, "something": "else"}') == Newer(2)
    assert isinstance(decode(b'{"version": 1, "something": "else"}'), Unreadable)
    assert isinstance(decode(b'{"version": "9", "something": "else"}'), Unreadable)


def test_what_is_unreadable_says_what_is_wrong_and_not_all_of_it() -> None:
    body = json.dumps({"task_id": 5, "payload": "x", "acks_late": "maybe", "policy": 7, "chain": 1, "eta": "x"})
    problem = decode(body.encode())
    assert isinstance(problem, Unreadable)
    assert "7 problems" in problem.problem
    assert "task_id" in problem.problem
    assert len(problem.problem) < 1_000


def nested(depth: int, innermost: object) -> object:
    for _ in range(depth):
        innermost = [innermost]
    return innermost


@pytest.mark.parametrize("depth", [100, 190, 200, 240])
def test_all_that_can_be_written_can_be_read(depth: int) -> None:
    handlers = Task(function_name="last")
    for number in range(depth):
        handlers = Task(function_name=f"f{number}", on_failure=handlers)
    deep = Task(function_name="work", payload={"args": [nested(depth, "x")], "kwargs": {}})
    for task in (handlers, deep):
        assert decode(encode(task)) == task


def test_what_is_too_deep_and_cannot_be_sent_again_is_unreadable() -> None:
    body = json.dumps({"function_name": "work", "payload": {"args": [nested(240, "\ud800")]}})
    assert isinstance(decode(body.encode()), Unreadable)


@pytest.mark.parametrize("depth", [300, 900, 100_000])
def test_what_is_too_deep_to_be_read_is_unreadable(depth: int) -> None:
    body = b'{"function_name": "work", "payload": {"args": ' + b"[" * depth + b"]" * depth + b"}}"
    assert isinstance(decode(body), Unreadable)
