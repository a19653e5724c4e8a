"""What the end-to-end tests share: an emulator and an Azurite for each module, and the app's journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.local.queue import Rules
from tests.azurite import a_table_name, connection_string
from tests.e2e.place import LAKE, QUEUE, Place, Producer
from tests.emulated import EmulatorProcess
from tests.host.conftest import runtime as runtime

#: Locks of five seconds are the shortest that the SDK still renews in time.
QUEUES: Final = {QUEUE: Rules(lock_duration=5, max_delivery_count=3, duplicate_window=1800), LAKE: Rules()}


@pytest.fixture(scope="module")
def place(azurite: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("e2e")
    with EmulatorProcess(directory, QUEUES) as emulator:
        yield Place(emulator, connection_string(azurite), a_table_name(), directory)


@pytest.fixture(scope="module")
def producer(place: Place) -> Iterator[Producer]:
    with place.producer() as running:
        yield running


@pytest.fixture
async def observer(place: Place) -> AsyncIterator[Boilermaker]:
    async with place.observer() as app:
        yield app
