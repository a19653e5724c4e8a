"""A table in Azurite, reached directly and through a proxy that misbehaves when it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from boilermaker_fn.tables import AzureTable
from tests.azurite import a_table_name, connection_string
from tests.tables.proxy import Proxy, proxy_before


@pytest.fixture
def name() -> str:
    return a_table_name()


@pytest.fixture
async def direct(azurite: int, name: str) -> AsyncIterator[AzureTable]:
    """What others see and do."""
    table = AzureTable(table_name=name, connection_string=connection_string(azurite))
    yield table
    await table.close()


@pytest.fixture
async def proxy(azurite: int) -> AsyncIterator[Proxy]:
    async with proxy_before(azurite) as one:
        yield one


@pytest.fixture
async def table(proxy: Proxy, name: str, direct: AzureTable) -> AsyncIterator[AzureTable]:
    """The same rows through the proxy, with the shortest pauses."""
    table = AzureTable(table_name=name, connection_string=connection_string(proxy.port), chance=lambda: 0.0)
    yield table
    await table.close()
