"""One suite for every implementation of a port: what a test here asserts must hold for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from boilermaker_fn.local import LocalEngine
from boilermaker_fn.ports import Engine, Inbox, Table, Transport

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


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture(params=["memory", "sqlite"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path, clock: SettableClock) -> AsyncIterator[Engine]:
    engine = LocalEngine(
        tmp_path / "made" / "engine.db" if request.param == "sqlite" else None,
        clock=clock,
        lock_duration=LOCK_SECONDS,
        max_delivery_count=MAX_DELIVERIES,
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
    )
    yield engine
    await engine.close()


@pytest.fixture
def transport(engine: Engine) -> Transport:
    return engine.transport


@pytest.fixture
def inbox(engine: Engine) -> Inbox:
    return engine.inbox("orders")


@pytest.fixture
def table(engine: Engine) -> Table:
    assert engine.table is not None
    return engine.table
