"""Does each rule of the protocol matter? One switched off in the real code, the exploration must show what breaks."""

from __future__ import annotations

import pytest

from . import broken
from .conditions import Budget, Conditions
from .explorer import explored
from .seeds import played
from .shapes import SHAPES
from .steps import Steps

#: How long one of them may look for its trace, in seconds of processor time; most take less than one.
PATIENCE = 60.0
#: As many graphs at random show most of them.
SEEDS = 500

ONCE = Conditions(retries=0)
LOCK = Conditions(Budget(locks=1))
LOCK_ONCE = LOCK._replace(retries=0)
TWO_LOCKS = Conditions(Budget(locks=2, duplicates=1), deliveries=1, retries=0)
BROKEN: list[tuple[broken.Break, str, Conditions]] = [
    (broken.asks_for_what_has_not_ended, "faninx2", ONCE),
    (broken.drops_what_another_has_claimed, "callback1", Conditions(Budget(locks=3, duplicates=1), retries=0)),
    (broken.walks_only_below_what_it_marks, "chain3y", ONCE),
    (broken.does_not_walk_below_a_skipped_handler, "handlerkid", ONCE),
    (broken.leaves_a_handler_to_who_has_skipped_it, "sharedkidx", LOCK_ONCE),
    (broken.does_not_look_after_marking, "chain2x", ONCE),
    (broken.skips_a_shared_handler_at_the_first_success, "sharedchain", ONCE),
    (broken.stops_where_another_has_arrived, "faninx", LOCK_ONCE),
    (broken.stops_where_another_has_ended_the_block, "chain2", LOCK_ONCE),
    (broken.drops_its_own_claim, "chain2", Conditions(Budget(ambiguous=1))),
    (broken.settles_what_was_refused, "chain2", Conditions(Budget(ambiguous=1))),
    (broken.sends_the_retry_before_it_is_written, "chain2", Conditions()),
    (broken.drops_older_attempts, "chain2", LOCK),
    (broken.reaps_no_older_attempts, "chain2", LOCK._replace(deliveries=1)),
    (broken.drops_what_has_ended, "chain2", LOCK),
    (broken.reaps_nothing_that_has_ended, "chain2", LOCK._replace(deliveries=1)),
    (
        broken.reaps_what_another_has_claimed,
        "chain2",
        Conditions(Budget(locks=2, duplicates=1), deliveries=1, retries=0),
    ),
    (broken.ends_the_graph_with_the_first_block, "chain2x", ONCE),
    (broken.writes_whoever_has_written_meanwhile, "chain2", LOCK),
]


# What it takes for these to show comes together in few graphs.
RARE = {
    broken.leaves_a_handler_to_who_has_skipped_it,
    broken.settles_what_was_refused,
    broken.reaps_no_older_attempts,
    broken.reaps_nothing_that_has_ended,
    broken.reaps_what_another_has_claimed,
}


@pytest.mark.parametrize(("bug", "shape", "conditions"), BROKEN, ids=[case[0].__name__ for case in BROKEN])
def test_without_it_a_graph_goes_wrong(
    bug: broken.Break, shape: str, conditions: Conditions, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug(monkeypatch)
    steps = Steps(SHAPES[shape].layout(conditions.retries + 1), conditions)
    assert explored(steps, PATIENCE, deep=True).problem


@pytest.mark.parametrize("bug", [bug for bug, _, _ in BROKEN if bug not in RARE], ids=lambda bug: bug.__name__)
def test_the_seeds_show_it_too(bug: broken.Break, monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch)
    assert any(played(seed).problem for seed in range(SEEDS))
