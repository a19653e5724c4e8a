"""A dead letter says why, and always fits into a message, whatever it is made of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from boilermaker_fn.dead_letters import dead_letter
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import Delivery, Message
from boilermaker_fn.outcomes import ErrorInfo
from tests.stage import LAKE, Stage

LIMIT = 262_144
MAX_PROPERTIES = 65_536


def letter(body: bytes = b"{}", properties: dict[str, Any] | None = None, **changes: Any) -> Message:
    delivery = Delivery("tasks", "m", body, sequence_number=1, delivery_count=1, properties=properties or {})
    fields: dict[str, Any] = {
        "message_id": "m",
        "queue": LAKE,
        "limit": LIMIT,
        "reason": "TaskFailed",
        "error": ErrorInfo("ValueError", "boom", "Traceback: the last line"),
        "now": 1_893_499_200.0,
        "task_id": "t",
        "function": "work",
        "attempt": 2,
    }
    return dead_letter(delivery, **{**fields, **changes})


def size_of_properties(message: Message) -> int:
    return sum(len(name.encode()) + len(str(value).encode()) for name, value in message.properties.items())


def test_it_says_what_failed_and_why() -> None:
    one = letter(b'{"function_name": "work"}', {"traceparent": "00-1-2-01"})
    assert one.message_id == "m/dead"
    assert one.queue == LAKE
    assert one.body == b'{"function_name": "work"}'
    assert one.properties == {
        "DeadLetterReason": "TaskFailed",
        "DeadLetterErrorDescription": "ValueError: boom",
        "error_type": "ValueError",
        "traceback": "Traceback: the last line",
        "task_id": "t",
        "function": "work",
        "attempt": 2,
        "origin": "tasks",
        "origin_message_id": "m",
        "failed_at": "2030-01-01T12:00:00+00:00",
        "traceparent": "00-1-2-01",
    }


def test_what_an_earlier_dead_letter_said_is_replaced() -> None:
    earlier = {"traceback": "of another time", "original_size": 7, "DeadLetterReason": "Expired"}
    one = letter(properties=earlier, error=ErrorInfo("E", "m"))
    assert one.properties["DeadLetterReason"] == "TaskFailed"
    assert "traceback" not in one.properties
    assert "original_size" not in one.properties


HUGE = "🔥" * 300_000


@pytest.mark.parametrize(
    "parts",
    [
        {"error": ErrorInfo("ValueError", "m", HUGE)},
        {"error": ErrorInfo("ValueError", HUGE, "")},
        {"error": ErrorInfo(HUGE, "m", "")},
        {"function": HUGE},
        {"reason": HUGE},
        {"body": b"x" * LIMIT},
        {"body": b"x" * (2 * LIMIT)},
        {"body": b"x" * LIMIT, "error": ErrorInfo("ValueError", HUGE, HUGE)},
        {"properties": {"theirs": "x" * 60_000}},
        {"properties": {f"theirs-{n}": "x" * 6_000 for n in range(10)}},
        {"properties": {f"theirs-{n}": "x" for n in range(6_000)}},
        {"properties": {"theirs": "x" * 60_000}, "body": b"x" * LIMIT, "error": ErrorInfo(HUGE, HUGE, HUGE)},
        {"properties": {"traceparent": "x" * 60_000}},
    ],
    ids=lambda parts: ", ".join(parts),
)
def test_it_fits_whatever_it_is_made_of(parts: dict[str, Any]) -> None:
    one = letter(**parts)
    assert len(one.body) + size_of_properties(one) <= LIMIT
    assert size_of_properties(one) <= MAX_PROPERTIES
    assert one.properties["DeadLetterReason"]
    assert one.properties["task_id"] == "t"


def test_the_end_of_a_traceback_is_kept() -> None:
    one = letter(error=ErrorInfo("ValueError", "m", "é" * 100_000 + "the last line"))
    assert str(one.properties["traceback"]).endswith("é" * 100 + "the last line")


def test_the_traceback_is_cut_before_the_body() -> None:
    body = b"x" * (LIMIT - 8_000)
    one = letter(body, error=ErrorInfo("ValueError", "m", "y" * 16_000 + "the last line"))
    assert one.body == body
    assert str(one.properties["traceback"]).endswith("the last line")
    assert len(str(one.properties["traceback"])) < 8_000


def test_a_body_that_is_cut_says_how_large_it_was() -> None:
    one = letter(b"x" * LIMIT)
    assert one.properties["original_size"] == LIMIT
    assert 0 < len(one.body) < LIMIT


async def test_what_strangers_put_into_properties_blocks_nothing(stage: Stage) -> None:
    @stage.app.task()
    async def broken(state: list[str]) -> None:
        raise ValueError("x" * 20_000)

    body = json.dumps({"function_name": "broken"}).encode()
    await stage.send(body, "large", properties={"theirs": "x" * 65_000})
    assert await stage.play() == ["failure"]
    assert await stage.reasons() == ["TaskFailed"]


async def test_what_strangers_put_into_properties_blocks_no_postponement(stage: Stage) -> None:
    theirs = {"theirs": "x" * (MAX_PROPERTIES - len("theirs"))}
    await stage.send(json.dumps({"function_name": "unknown"}).encode(), "large", properties=theirs)
    assert set(await stage.play()) == {"postponed", "failure"}
    assert await stage.reasons() == ["UnknownTask"]


@pytest.mark.parametrize("name", ["boilermaker_given_up", "DeadLetterReason"])
async def test_a_long_reason_of_a_stranger_blocks_nothing(stage: Stage, name: str) -> None:
    properties = {name: "x" * 30_000, "boilermaker_given_up": "x" * 30_000}
    await stage.send(json.dumps({"function_name": "unknown"}).encode(), "m", properties=properties)
    assert await stage.play() == ["failure"]
    assert len(await stage.letters()) == 1


@pytest.mark.parametrize("field", ["function_name", "graph_id", "queue"])
async def test_a_long_name_of_a_stranger_blocks_nothing(stage: Stage, field: str) -> None:
    envelope = {"function_name": "unknown", field: "x" * 100_000}
    await stage.send(json.dumps(envelope).encode())
    await stage.play()
    assert len(await stage.letters()) == 1
    assert await stage.waiting() == []


async def test_all_dead_letters_are_taken_by_the_queue() -> None:
    engine = LocalEngine()
    await engine.transport.send([letter(b"x" * LIMIT, error=ErrorInfo(HUGE, HUGE, HUGE))])
    (kept,) = await engine.inbox(LAKE).peek(10)
    assert kept.properties["original_size"] == LIMIT
    await engine.close()
