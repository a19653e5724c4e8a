"""Nothing lost, nothing twice: does that hold whatever fails, whenever? Thousands of simulations, each from its seed.

`SIMULATION_SEEDS` says how many (1,000, or 10,000 in CI). A seed that fails is replayed, with a log of everything that
happens in it, by `SIMULATION_SEED=<seed> pytest tests/simulation/test_seeds.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from .seeded import complaints_of

CHUNKS = 20


def chunks() -> Iterable[Iterable[int]]:
    """Seeds, in as many chunks as can run side by side."""
    if replayed := os.environ.get("SIMULATION_SEED"):
        return [[int(replayed)]]
    number = int(os.environ.get("SIMULATION_SEEDS") or (10_000 if os.environ.get("CI") else 1_000))
    return [range(first, number, CHUNKS) for first in range(CHUNKS)]


@pytest.mark.parametrize("seeds", chunks(), ids=str)
def test_nothing_is_lost_and_nothing_is_done_twice(seeds: Iterable[int]) -> None:
    for seed in seeds:
        complaints = complaints_of(seed)
        how = f"SIMULATION_SEED={seed} pytest tests/simulation/test_seeds.py"
        assert not complaints, "\n  ".join([f"seed {seed} (replay it: {how}):", *complaints])
