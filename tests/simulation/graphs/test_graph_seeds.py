"""Does every graph end as it must, however large, whatever fails, whenever? Thousands of them, each from its seed.

`GRAPH_SEEDS` says how many (1,000, or 10,000 in CI). A seed that fails is replayed, and all said that happens in it, by
`GRAPH_SEED=<seed> pytest -s tests/simulation/graphs/test_graph_seeds.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from .seeds import played

CHUNKS = 20


def chunks() -> Iterable[Iterable[int]]:
    """Seeds, in as many chunks as can run side by side."""
    if replayed := os.environ.get("GRAPH_SEED"):
        return [[int(replayed)]]
    number = int(os.environ.get("GRAPH_SEEDS") or (10_000 if os.environ.get("CI") else 1_000))
    return [range(first, number, CHUNKS) for first in range(CHUNKS)]


@pytest.mark.parametrize("seeds", chunks(), ids=str)
def test_every_graph_ends_as_it_must(seeds: Iterable[int]) -> None:
    if "GRAPH_SEED" in os.environ:
        print("\n".join(played(*seeds, loud=True).said))
    for seed in seeds:
        problem = played(seed).problem
        how = f"GRAPH_SEED={seed} pytest -s tests/simulation/graphs/test_graph_seeds.py"
        assert not problem, "\n  ".join([f"seed {seed}: {problem} (replay it: {how})", *played(seed, loud=True).said])
