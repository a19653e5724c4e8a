"""What all tests of the emulator hold it to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_defects(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever clients do, the emulator has foreseen it."""
    yield
    unforeseen = [record for record in caplog.get_records("call") if "defect" in record.message]
    assert not unforeseen, unforeseen[0].exc_text
