"""Nothing lost, nothing twice: does that hold whatever fails, whenever? Thousands of simulations, each from its seed.

`SIMULATION_SEEDS` says how many (1,000, or 10,000 in CI). A seed that fails is replayed, with everything that happened
in it, by `SIMULATION_SEED=<seed> pytest tests/simulation/test_seeds.py`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

from .seeded import complaints_of

CHUNKS = 20
SEEDS = int(os.environ.get("SIMULATION_SEEDS") or (10_000 if os.environ.get("CI") else 1_000))
REPLAYED = os.environ.get("SIMULATION_SEED")


@pytest.fixture(autouse=True)
def logged() -> Iterator[None]:
    """Log everything of one seed, and nothing of thousands."""
    log = logging.getLogger("boilermaker_fn")
    before = log.level
    log.setLevel(logging.INFO if REPLAYED else logging.CRITICAL)
    yield
    log.setLevel(before)


@pytest.mark.skipif(REPLAYED is not None, reason="one seed is replayed")
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_nothing_is_lost_and_nothing_is_done_twice(chunk: int) -> None:
    for seed in range(chunk, SEEDS, CHUNKS):
        complaints = complaints_of(seed)
        assert not complaints, _report(seed, complaints)


@pytest.mark.skipif(REPLAYED is None, reason="SIMULATION_SEED names the seed to replay")
def test_one_seed() -> None:
    seed = int(REPLAYED or 0)
    complaints = complaints_of(seed)
    assert not complaints, _report(seed, complaints)


def _report(seed: int, complaints: list[str]) -> str:
    how = f"SIMULATION_SEED={seed} pytest tests/simulation/test_seeds.py"
    return "\n  ".join([f"seed {seed} (replay it: {how}):", *complaints])
