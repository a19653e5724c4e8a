"""One suite for every implementation of a port: what a test here asserts must hold for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from boilermaker_fn.local import LocalEngine
from boilermaker_fn.local.queue import Rules
from boilermaker_fn.messages import DEAD_LETTER_SUFFIX
from boilermaker_fn.ports import Engine, Inbox, Table, Transport
from boilermaker_fn.service_bus import AzureServiceBus
from boilermaker_fn.tables import AzureTable
from tests.azurite import a_table_name, connection_string
from tests.emulated import emulated

LOCK_SECONDS = 60.0
MAX_DELIVERIES = 3
DUPLICATE_WINDOW_SECONDS = 600.0


class SettableClock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(scope="module")
def clock() -> SettableClock:
    return SettableClock()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service_bus(clock: SettableClock) -> AsyncIterator[AzureServiceBus]:
    """One for all tests, with its links: to open one takes half a second."""
    rules = Rules(LOCK_SECONDS, MAX_DELIVERIES, DUPLICATE_WINDOW_SECONDS)
    async with emulated({"orders": rules, "bills": rules}, clock=clock) as emulator:
        bus = AzureServiceBus(connection_string=emulator.connection_string, clock=clock)
        yield bus
        await bus.close()


@pytest_asyncio.fixture(loop_scope="module", params=["memory", "sqlite", "service_bus"])
async def engine(
    request: pytest.FixtureRequest, tmp_path: Path, clock: SettableClock, service_bus: AzureServiceBus
) -> AsyncIterator[Engine]:
    if request.param == "service_bus":
        await emptied(service_bus, clock)
        yield service_bus
        return
    engine = LocalEngine(
        tmp_path / "made" / "engine.db" if request.param == "sqlite" else None,
        clock=clock,
        lock_duration=LOCK_SECONDS,
        max_delivery_count=MAX_DELIVERIES,
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
    )
    yield engine
    await engine.close()


async def emptied(engine: Engine, clock: SettableClock) -> None:
    """After a week everything is due, every lock has expired, and no id is known any more."""
    clock.advance(7 * 86_400)
    await asyncio.gather(*(taken_out(engine.inbox(queue)) for queue in ("orders", "bills")))
    await taken_out(engine.inbox("orders" + DEAD_LETTER_SUFFIX))


async def taken_out(inbox: Inbox) -> None:
    while deliveries := await inbox.receive(100, 0):
        for delivery in deliveries:
            await inbox.complete(delivery)


@pytest.fixture
def transport(engine: Engine) -> Transport:
    return engine.transport


@pytest.fixture
def inbox(engine: Engine) -> Inbox:
    return engine.inbox("orders")


@pytest.fixture(params=["memory", "sqlite", "azurite"])
async def table(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Table]:
    if request.param == "azurite":
        port = request.getfixturevalue("azurite")
        table: Table = AzureTable(table_name=a_table_name(), connection_string=connection_string(port))
    else:
        table = a_local_table(request.param, tmp_path)
    yield table
    await table.close()


@pytest.fixture(params=["memory", "sqlite"])
async def local_table(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Table]:
    """For what Azure does and Azurite does not."""
    table = a_local_table(request.param, tmp_path)
    yield table
    await table.close()


def a_local_table(where: str, tmp_path: Path) -> Table:
    table = LocalEngine(tmp_path / "made" / "table.db" if where == "sqlite" else None).table
    assert table is not None
    return table
