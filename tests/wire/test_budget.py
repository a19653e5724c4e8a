"""How many Service Bus operations does a task cost? Read from the wire, between the SDK and the emulator.

A plain task costs three: it is sent, handed over, settled. Each retry costs three more. Nothing else passes: no pings,
no looks, no renewals of short tasks, no messages for debugging.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy
from boilermaker_fn.errors import TaskFailed
from boilermaker_fn.handle import TaskHandle
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.local.queue import Rules
from boilermaker_fn.retries import RetryMode
from boilermaker_fn.service_bus import AzureServiceBus
from tests.emulated import emulated
from tests.proxies import Proxy
from tests.wire.operations import CountedLine, Operations

QUEUE, LAKE = "budget-tasks", "budget-lake"
AT_ONCE = RetryPolicy(max_tries=10, delay=0, retry_mode=RetryMode.Fixed)
LATER = RetryPolicy(max_tries=10, delay=0.5, retry_mode=RetryMode.Fixed)


async def greet(calls: list[str], name: str) -> str:
    return f"hello {name}"


async def hesitate(calls: list[str], times: int) -> int:
    calls.append("hesitate")
    if len(calls) <= times:
        raise RetryException("not yet")
    return len(calls)


async def boil(calls: list[str]) -> None:
    raise ValueError("boiled over")


@pytest.fixture
def operations() -> Operations:
    return Operations()


@pytest.fixture
async def app(operations: Operations) -> AsyncIterator[Boilermaker]:
    """An app behind a proxy that counts; its rows are in memory."""
    rows = LocalEngine(None)
    async with (
        emulated({QUEUE: Rules(), LAKE: Rules()}) as emulator,
        Proxy(emulator.port, lambda: CountedLine(operations)) as proxy,
    ):
        engine = AzureServiceBus(
            connection_string=proxy.through(emulator.connection_string),
            service_bus_queue_name=QUEUE,
            dead_letter_queue_name=LAKE,
        )
        made = Boilermaker([], engine, results_storage=rows.table)
        yield made.register_many_async([greet, hesitate, boil])
        await made.close()
    await rows.close()


async def worked(app: Boilermaker, *handles: TaskHandle[Any]) -> None:
    """Run tasks until these have ended, and let the worker settle what it has."""
    worker = app.worker()
    await worker.start()
    for handle in handles:
        with suppress(TaskFailed):
            await handle.result(60)
    await worker.stop()


async def test_a_plain_task_costs_three(app: Boilermaker, operations: Operations) -> None:
    await worked(app, await app.apply_async(greet, "Ada"))
    assert operations == Operations(sends=1, sent=1, received=1, settled=1)
    assert operations.total == 3


@pytest.mark.parametrize("policy", [AT_ONCE, LATER], ids=["at once", "later"])
@pytest.mark.parametrize("retries", [1, 4])
async def test_each_retry_costs_three_more(
    app: Boilermaker, operations: Operations, retries: int, policy: RetryPolicy
) -> None:
    await worked(app, await app.options(policy=policy).apply_async(hesitate, retries))
    every = retries + 1
    assert operations == Operations(sends=every, sent=every, received=every, settled=every)
    assert operations.total == 3 + 3 * retries


async def test_a_batch_is_one_transfer_and_costs_by_its_messages(app: Boilermaker, operations: Operations) -> None:
    # No more than one receive takes: of what arrives between two, the SDK hands some back at once, and gets it again.
    handles = await app.publish_many([app.create_task(greet, str(number)) for number in range(16)])
    assert operations == Operations(sends=1, sent=16)
    await worked(app, *handles)
    assert operations == Operations(sends=1, sent=16, received=16, settled=16)


async def test_who_publishes_at_the_same_time_shares_transfers(app: Boilermaker, operations: Operations) -> None:
    await asyncio.gather(*(app.apply_async(greet, str(number)) for number in range(100)))
    assert operations.sent == operations.total == 100
    assert operations.sends <= 10


async def test_each_link_of_a_chain_costs_three(app: Boilermaker, operations: Operations) -> None:
    links = [app.create_task(greet, str(number)) for number in range(4)]
    await worked(app, await app.publish_task(app.chain(*links)), *map(app.handle, links[1:]))
    assert operations == Operations(sends=4, sent=4, received=4, settled=4)


async def test_a_dead_letter_costs_one_more(app: Boilermaker, operations: Operations) -> None:
    await worked(app, await app.apply_async(boil))
    assert operations == Operations(sends=2, sent=2, received=1, settled=1)


async def test_a_failure_with_a_callback_costs_the_letter_and_the_callback(
    app: Boilermaker, operations: Operations
) -> None:
    failing, handler = app.create_task(boil), app.create_task(greet, "plumber")
    failing.on_failure = handler
    await worked(app, await app.publish_task(failing), app.handle(handler))
    assert operations == Operations(sends=3, sent=3, received=2, settled=2)


async def test_a_delayed_task_is_scheduled_by_one_request(app: Boilermaker, operations: Operations) -> None:
    handle = await app.options(delay=0.5).apply_async(greet, "Ada")
    assert handle.sequence_number is not None
    await worked(app, handle)
    assert operations == Operations(received=1, settled=1, managed=Counter({"com.microsoft:schedule-message": 1}))
    assert operations.total == 3
