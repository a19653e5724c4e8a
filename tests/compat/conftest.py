"""What the tests of compatibility share."""

from __future__ import annotations

import pytest

from tests.compat.faulty import CountingTransport
from tests.stage import Stage


@pytest.fixture
async def counted(stage: Stage) -> CountingTransport:
    """The transport of the stage, counted."""
    stage.engine._transport = CountingTransport(stage.engine.transport)
    return stage.engine.transport
