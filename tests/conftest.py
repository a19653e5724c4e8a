"""What all tests share: a stage, and a table service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from boilermaker_fn import Boilermaker
from tests import azurite as table_service
from tests.stage import Stage, staged


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """An app whose state is a list, with results, on an engine in memory and a clock of its own."""
    async with staged(Boilermaker([])) as one:
        yield one


@pytest.fixture
async def plain_stage() -> AsyncIterator[Stage]:
    """The same without a results store."""
    async with staged(Boilermaker([]), results=False) as one:
        yield one


@pytest.fixture(scope="session")
def azurite() -> Iterator[int]:
    """The port of an Azurite."""
    with table_service.running() as port:
        yield port
