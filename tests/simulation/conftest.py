"""Thousands of simulations log nothing; the one that is replayed logs everything."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def logged() -> Iterator[None]:
    log = logging.getLogger("boilermaker_fn")
    before = log.level
    log.setLevel(logging.INFO if os.environ.get("SIMULATION_SEED") else logging.CRITICAL)
    yield
    log.setLevel(before)
