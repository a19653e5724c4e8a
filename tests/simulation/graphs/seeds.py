"""What does one seed stand for? A graph, how its nodes end, and the faults that it meets."""

from __future__ import annotations

import random
from typing import NamedTuple

from boilermaker_fn.errors import IllegalTransition

from .drawn import drawn
from .played import Played
from .truth import Violation


class Outcome(NamedTuple):
    """What went wrong, if anything did, and all that had happened until then if the play was `loud`."""

    problem: str
    said: tuple[str, ...]


def played(seed: int, *, loud: bool = False) -> Outcome:
    """Play the graph of a seed."""
    chance = random.Random(seed)
    graph = drawn(chance)
    faults, likelihood = chance.choice((0, 1, 2, 5, 12)), chance.choice((0.005, 0.02, 0.1))
    watched = chance.random() < 0.5
    one = Played(graph, chance, faults=faults, likelihood=likelihood, watched=watched, loud=loud)
    try:
        one.play()
    except (Violation, IllegalTransition) as violation:
        return Outcome(str(violation), tuple(one.said))
    return Outcome("", tuple(one.said))
