"""Does every small graph end well, whatever happens in whatever order? Every world that can come about is looked at.

The real machines, and the way their effects are performed: two workers, and a fault or two that may happen anywhere.
In each: nothing that has ended changes, nothing starts before its time or without reason, nobody writes under a claim
that is not theirs, every graph that has ended ended as its nodes did; and from everywhere it can still end, without
another fault and without a zombie's help.
"""

from __future__ import annotations

import pytest

from .plans import IN_CI, Case


@pytest.mark.parametrize("case", IN_CI, ids=str)
def test_every_graph_ends_well(case: Case) -> None:
    found = case.explored()
    assert not found.problem, "\n  ".join([f"{case}: {found.problem}", *found.trace])
    assert found.complete
