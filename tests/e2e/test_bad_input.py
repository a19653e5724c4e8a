"""What is said when something is wrong with where tasks are sent to, or with the tasks? And is nothing half-sent?

`sent` and `not_sent` of what publishing raises say, for each task, where it stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.emulator import Emulator
from boilermaker_fn.emulator.faults import Faults
from boilermaker_fn.errors import OptionError, PublishError, TaskTooLarge
from boilermaker_fn.local.queue import Rules
from boilermaker_fn.messages import Message
from boilermaker_fn.service_bus import AzureServiceBus
from tests.e2e.place import messages_in
from tests.emulated import emulated

QUEUE, LAKE = "bad-tasks", "bad-lake"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with emulated({QUEUE: Rules(), LAKE: Rules()}) as running:
        yield running


@asynccontextmanager
async def app_on(connection_string: str, queue: str = QUEUE, lake: str = LAKE) -> AsyncIterator[Boilermaker]:
    engine = AzureServiceBus(
        connection_string=connection_string, service_bus_queue_name=queue, dead_letter_queue_name=lake
    )
    app = Boilermaker(None, engine).register_many_async([greet, boil])
    try:
        yield app
    finally:
        await app.close()


async def greet(state: None, name: str) -> str:
    return f"hello {name}"


async def boil(state: None) -> None:
    raise ValueError("boiled over")


async def refused(app: Boilermaker, count: int = 2) -> PublishError:
    """Publish tasks, none of which is accepted; what was said."""
    tasks = [app.create_task(greet, str(number)) for number in range(count)]
    with pytest.raises(PublishError) as caught:
        await app.publish_many(tasks)
    assert (caught.value.sent, caught.value.not_sent) == ([], [task.task_id for task in tasks])
    return caught.value


# -- where to --------------------------------------------------------------------------------------------------------


async def test_a_queue_that_does_not_exist(emulator: Emulator) -> None:
    async with app_on(emulator.connection_string, queue="no-such-queue") as app:
        error = await refused(app)
    assert "no-such-queue" in str(error)
    assert "SERVICE_BUS_QUEUE_NAME" in str(error)


async def test_only_the_tasks_for_the_missing_queue_are_refused(emulator: Emulator) -> None:
    async with app_on(emulator.connection_string) as app:
        good, lost = app.create_task(greet, "Ada"), app.options(queue="no-such-queue").create_task(greet, "nobody")
        with pytest.raises(PublishError, match="no-such-queue") as caught:
            await app.publish_many([good, lost])
        assert (caught.value.sent, caught.value.not_sent) == ([good.task_id], [lost.task_id])
    assert [message.message_id for message in await messages_in(emulator.connection_string, QUEUE)] == [good.task_id]


async def test_no_rights(emulator: Emulator) -> None:
    emulator.faults = replace(emulator.faults, refuse_tokens=True)
    async with app_on(emulator.connection_string) as app:
        error = await refused(app)
        assert QUEUE in str(error)
        emulator.faults = Faults()
        assert await messages_in(emulator.connection_string, QUEUE) == []


@pytest.mark.slow
async def test_a_namespace_that_does_not_resolve() -> None:
    nowhere = (
        "Endpoint=sb://no-such-namespace.invalid/;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=aw=="
    )
    async with app_on(nowhere) as app:
        error = await refused(app)
    assert "no-such-namespace.invalid" in str(error)
    assert "does not resolve" in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["queue", "rights", "namespace"])
async def test_a_worker_says_what_is_wrong_and_goes_on(
    emulator: Emulator, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    where, queue, words = emulator.connection_string, QUEUE, {"role", "credential"}
    if wrong == "queue":
        queue, words = "no-such-queue", {"no-such-queue"}
    elif wrong == "rights":
        emulator.faults = replace(emulator.faults, refuse_tokens=True)
    else:
        where = where.replace("127.0.0.1", "no-such-namespace.invalid")
        words = {"does not resolve"}
    async with app_on(where, queue) as app:
        worker = app.worker()
        await worker.start()
        try:
            async with asyncio.timeout(60):
                while not any(word in line for line in warnings_in(caplog) for word in words):
                    await asyncio.sleep(0.05)
        finally:
            await worker.stop()


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING and "boilermaker_fn" in r.name]


@pytest.mark.slow
async def test_without_a_dead_letter_queue_a_failed_task_is_kept(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Its message goes back to the queue, with a line that names the queue that is missing."""
    async with app_on(emulator.connection_string, lake="no-such-lake") as app:
        await app.options(task_id="kept").apply_async(boil)
        worker = app.worker(grace=0)
        await worker.start()
        try:
            async with asyncio.timeout(60):
                while not any("no-such-lake" in line for line in warnings_in(caplog)):
                    await asyncio.sleep(0.05)
        finally:
            await worker.stop()
    assert [message.message_id for message in await messages_in(emulator.connection_string, QUEUE)] == ["kept"]


# -- what ------------------------------------------------------------------------------------------------------------


async def test_a_task_larger_than_a_message(emulator: Emulator) -> None:
    async with app_on(emulator.connection_string) as app:
        small, large = app.create_task(greet, "Ada"), app.create_task(greet, "A" * 256 * 1024)
        with pytest.raises(TaskTooLarge, match="pass a reference") as caught:
            await app.publish_many([small, large])
        assert caught.value.task_id == large.task_id
        assert await messages_in(emulator.connection_string, QUEUE) == []
        # What just fits is accepted. (Times do not all have the same number of digits.)
        fits, digits = 256 * 1024 - (caught.value.size - caught.value.limit), 32
        with pytest.raises(TaskTooLarge):
            await app.apply_async(greet, "A" * (fits + digits))
        handle = await app.apply_async(greet, "A" * (fits - digits))
    (message,) = await messages_in(emulator.connection_string, QUEUE)
    assert message.message_id == handle.task_id


@pytest.mark.parametrize("size", [64 * 1024, 300 * 1024])
async def test_too_many_properties_refuse_one_message_only(emulator: Emulator, size: int) -> None:
    async with app_on(emulator.connection_string) as app:
        transport = app.shell.wiring.engine.transport
        swollen = Message(QUEUE, "swollen", b"{}", properties={"blob": "p" * size})
        with pytest.raises(Exception, match="swollen") as caught:
            await transport.send([Message(QUEUE, "slim", b"{}"), swollen])
        assert [message_id for message_id, _ in failures_of(caught.value)] == ["swollen"]
    assert [message.message_id for message in await messages_in(emulator.connection_string, QUEUE)] == ["slim"]


def failures_of(error: Any) -> list[tuple[str, BaseException]]:
    return error.failures


async def test_an_id_of_300_characters(emulator: Emulator) -> None:
    async with app_on(emulator.connection_string) as app:
        with pytest.raises(OptionError, match="task_id has 300 characters: it must have 1 to 96"):
            app.options(task_id="i" * 300)
        transport = app.shell.wiring.engine.transport
        with pytest.raises(Exception, match="iii") as caught:
            await transport.send([Message(QUEUE, "slim", b"{}"), Message(QUEUE, "i" * 300, b"{}")])
        assert [message_id for message_id, _ in failures_of(caught.value)] == ["i" * 300]
    assert [message.message_id for message in await messages_in(emulator.connection_string, QUEUE)] == ["slim"]
