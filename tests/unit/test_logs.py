"""Every line that a task writes carries its ids, and only its own."""

from __future__ import annotations

import asyncio
import datetime
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from boilermaker_fn.telemetry import logs
from tests.stage import Stage


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is written as JSON; logging is as before afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure(json=True, level=logging.DEBUG, stream=stream)
    yield stream
    root.handlers[:], level = before
    root.setLevel(level)
    logging.getLogger("azure").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def parsed(stream: io.StringIO, event: str | None = None) -> list[dict[str, object]]:
    read = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in read if event in (None, line["event"])]


async def test_the_ids_of_tasks_that_run_at_once_never_mix(stage: Stage, lines: io.StringIO) -> None:
    standard, own = logging.getLogger("of.the.app"), structlog.get_logger("of.the.app")

    @stage.app.task()
    async def work(state: list[str], me: str) -> None:
        for _ in range(20):
            standard.info("standard", extra={"me": me})
            own.info("own", me=me)
            await asyncio.sleep(0)

    @stage.app.task()
    def blocking(state: list[str], me: str) -> None:
        for _ in range(20):
            standard.info("standard", extra={"me": me})
            own.info("own", me=me)

    for number in range(10):
        fn = work if number % 2 else blocking
        await stage.app.options(task_id=f"t{number}").apply_async(fn, f"t{number}")
    deliveries = await stage.engine.inbox("tasks").receive(10, 0)
    await asyncio.gather(*map(stage.runner.handle, deliveries))
    for event in ("standard", "own"):
        written = parsed(lines, event)
        assert len(written) == 200
        assert all(line["task_id"] == line["me"] == line["message_id"] for line in written)
        assert {line["function"] for line in written} == {"work", "blocking"}
        assert all(line["attempt"] == 1 for line in written)


async def test_a_line_outside_a_task_carries_no_ids(stage: Stage, lines: io.StringIO) -> None:
    @stage.app.task()
    async def work(state: list[str]) -> None: ...

    await stage.app.apply_async(work)
    await stage.play()
    logging.getLogger("outside").info("after")
    (line,) = parsed(lines, "after")
    assert set(line) == {"event", "level", "logger", "timestamp"}


async def test_what_the_application_has_bound_stays(stage: Stage, lines: io.StringIO) -> None:
    @stage.app.task()
    async def work(state: list[str]) -> None:
        logging.getLogger("inside").info("inside")

    await stage.app.apply_async(work)
    with structlog.contextvars.bound_contextvars(tenant="north", task_id="of the caller"):
        await stage.play()
        logging.getLogger("outside").info("after")
    (inside,), (after,) = parsed(lines, "inside"), parsed(lines, "after")
    assert inside["tenant"] == after["tenant"] == "north"
    assert inside["task_id"] != "of the caller"
    assert after["task_id"] == "of the caller"


async def test_a_failure_is_one_line_with_reason_and_traceback(stage: Stage, lines: io.StringIO) -> None:
    @stage.app.task()
    async def broken(state: list[str]) -> None:
        raise LookupError("two\nlines")

    handle = await stage.app.apply_async(broken)
    await stage.play()
    (line,) = [line for line in parsed(lines) if line["level"] == "error"]
    assert line["task_id"] == handle.task_id
    assert line["reason"] == "TaskFailed"
    assert line["logger"] == "boilermaker_fn"
    assert "in broken" in str(line["traceback"])
    assert "LookupError: two\nlines" in str(line["event"])


async def test_what_becomes_of_a_task_can_be_read(stage: Stage, lines: io.StringIO) -> None:
    @stage.app.task(max_retries=1, retry_delay=1)
    async def flaky(state: list[str]) -> None:
        state.append("tried")
        if len(state) == 1:
            raise ValueError("not yet")

    await stage.app.apply_async(flaky)
    await stage.play()
    told = [(line["level"], str(line["event"]).split(" ")[0]) for line in parsed(lines) if line["level"] != "debug"]
    assert told == [("info", "started"), ("warning", "retry"), ("info", "started"), ("info", "succeeded")]


async def test_objects_that_are_not_json_do_not_break_a_line(stage: Stage, lines: io.StringIO) -> None:
    structlog.get_logger().info("odd", value={1, 2}, other=object())
    logging.getLogger("odd").info("odd %s", "standard", extra={"value": object()})
    assert len(parsed(lines)) == 2


def test_on_a_terminal_lines_are_for_people() -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure(json=False, stream=stream)
    logging.getLogger("any").warning("a %s", "message")
    root.handlers[:], level = before
    root.setLevel(level)
    logging.getLogger("azure").setLevel(logging.NOTSET)
    structlog.reset_defaults()
    assert "a message" in stream.getvalue()
    assert "{" not in stream.getvalue()


def test_an_application_that_has_set_up_logging_is_left_alone() -> None:
    handlers = logging.getLogger().handlers[:]
    assert handlers  # pytest's
    logs.configure_if_nobody_has()
    assert logging.getLogger().handlers == handlers


@pytest.mark.parametrize(("level", "heard"), [(logging.INFO, ["loud"]), (logging.DEBUG, ["quiet", "loud"])])
def test_the_sdks_say_only_what_is_wrong(lines: io.StringIO, level: int, heard: list[str]) -> None:
    logs.configure(json=True, level=level, stream=lines)
    sdk = logging.getLogger("azure.servicebus._pyamqp")
    sdk.info("quiet")
    sdk.warning("loud")
    assert [line["event"] for line in parsed(lines)] == heard


@pytest.mark.parametrize(("set_to", "heard"), [(logging.NOTSET, ["loud"]), (logging.DEBUG, ["quiet", "loud"])])
def test_within_a_host_they_do_so_too_unless_told_otherwise(lines: io.StringIO, set_to: int, heard: list[str]) -> None:
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    logging.getLogger("azure").setLevel(set_to)
    logs.configure_within_host()
    sdk = logging.getLogger("azure.core.pipeline")
    sdk.info("quiet")
    sdk.warning("loud")
    assert [line["event"] for line in parsed(lines)] == heard


def test_without_structlog_lines_are_the_same_and_it_finds_the_ids_when_it_is_imported_later() -> None:
    program = """
import json, logging, sys
from boilermaker_fn.messages import Delivery
from boilermaker_fn.telemetry import logs
from boilermaker_fn.telemetry.bound import Bound
logging.getLogger().addHandler(logging.StreamHandler(sys.stdout))
logs.configure_within_host()
log = logging.getLogger("mine")
with Bound(Delivery("q", "m1", b"", 1, 1), None):
    log.warning("hello %s", "you", extra={"order": 17, "odd": object})
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("oops", stack_info=True)
    early = "structlog" in sys.modules
    import structlog
    print(json.dumps({"early": early, **structlog.contextvars.get_contextvars()}))
log.warning("after")
print(json.dumps(structlog.contextvars.get_contextvars()))
"""
    ran = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    hello, oops, inside, after, outside = map(json.loads, ran.stdout.splitlines())
    assert datetime.datetime.fromisoformat(hello.pop("timestamp")).tzinfo is datetime.UTC
    expected = {"event": "hello you", "message_id": "m1", "logger": "mine", "level": "warning", "order": 17}
    assert hello == {**expected, "odd": "<class 'object'>"}
    assert (oops["level"], oops["message_id"]) == ("error", "m1")
    assert oops["exception"].endswith("ZeroDivisionError: division by zero")
    assert oops["stack"].startswith("Stack (most recent call last)")
    assert inside == {"early": False, "message_id": "m1"}
    assert "message_id" not in after
    assert outside == {}
