"""What is explored, and under which conditions? All in CI that takes a minute or two; the rest by `make model`.

`python -m tests.simulation.graphs.plans [seconds] [shape ...]` explores the rest, each for so long at most.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from typing import Final, NamedTuple

from .conditions import Budget, Conditions
from .explorer import Explored, explored
from .shapes import SHAPES
from .steps import Steps


class Case(NamedTuple):
    """One exploration."""

    shape: str
    conditions: Conditions

    def __str__(self) -> str:
        budget, others = self.conditions.budget, self.conditions._asdict()
        said = [name for name, number in budget._asdict().items() for _ in range(number)]
        said += [f"{name}={others[name]}" for name, usual in Conditions()._asdict().items() if others[name] != usual]
        return "-".join([self.shape, *(one for one in said if not one.startswith("budget"))])

    def explored(self, seconds: float = 1e9) -> Explored:
        """Explore it, for so long at most."""
        return explored(Steps(SHAPES[self.shape].layout(self.conditions.retries + 1), self.conditions), seconds)


_ONE_AFTER_ANOTHER: Final = (
    "chain2", "chain2x", "chain3", "chain3x", "chain3y", "handler", "handlerkid", "sharedchain", "sharedchainx",
    "callback1", "callbackchain", "callbackhandler",
)  # fmt: skip
_SIDE_BY_SIDE: Final = ("fanout", "callback")
_TOGETHER: Final = ("fanin", "faninx", "faninx2")

#: A lost lock and a duplicate; each alone where messages are given up sooner; what a service can do; the watchdog.
_ALL: Final = Conditions(Budget(locks=1, duplicates=1))
_EACH: Final = (
    Conditions(Budget(locks=1), deliveries=1),
    Conditions(Budget(locks=1, ambiguous=1), retries=0),
    Conditions(Budget(locks=1, unsent=1), retries=0),
    Conditions(Budget(down=1)),
    Conditions(Budget(lost=1, rounds=1), retries=0),
)
#: The same where two wait to be joined, which takes most worlds: in CI not all at once.
_SOME: Final = (
    Conditions(Budget(locks=1, duplicates=1), retries=0),
    Conditions(Budget(locks=1)),
    Conditions(Budget(duplicates=1)),
    Conditions(Budget(ambiguous=1)),
)
_DYING: Final = Conditions(Budget(locks=1, rounds=1), retries=0, publisher_dies=True)

IN_CI: Final = (
    *(Case(shape, _ALL) for shape in (*_SIDE_BY_SIDE, *_ONE_AFTER_ANOTHER)),
    *(Case(shape, conditions) for shape, conditions in product(_ONE_AFTER_ANOTHER, _EACH)),
    *(Case(shape, conditions) for shape, conditions in product(_TOGETHER, _SOME)),
    Case("sharedkidx", Conditions(Budget(locks=1), retries=0)),
    *(Case(shape, _DYING) for shape in ("chain2", "callback1")),
)

_MORE: Final = (
    _ALL,
    Conditions(Budget(locks=2), retries=0),
    Conditions(Budget(locks=2), retries=0, deliveries=1),
    Conditions(Budget(locks=1), deliveries=1),
    Conditions(Budget(locks=1, ambiguous=1)),
    Conditions(Budget(locks=1, unsent=1)),
    Conditions(Budget(locks=1, down=1), retries=0),
    Conditions(Budget(lost=1, rounds=2), retries=0),
    _DYING,
)


def rest(shapes: tuple[str, ...]) -> list[Case]:
    """Everything that is too much for CI."""
    return [case for case in map(Case, *zip(*product(shapes, _MORE), strict=True)) if case not in IN_CI]


def _looked_at(case: Case, seconds: float) -> tuple[Case, Explored]:
    return case, case.explored(seconds)


def _all_looked_at(cases: list[Case], seconds: float) -> Iterator[tuple[Case, Explored]]:
    # Each in a process of its own: an exploration takes all the memory that it can.
    with ProcessPoolExecutor(2, max_tasks_per_child=1) as pool:
        for looked_at in as_completed([pool.submit(_looked_at, case, seconds) for case in cases]):
            yield looked_at.result()


def main(arguments: list[str]) -> int:
    """Explore the rest; the number of graphs that went wrong."""
    seconds, shapes = float(arguments[0]) if arguments else 60.0, tuple(arguments[1:]) or tuple(SHAPES)
    wrong = 0
    for case, found in _all_looked_at(rest(shapes), seconds):
        what = found.problem or ("all" if found.complete else "part")
        print(f"{case!s:60} {found.worlds:>9} worlds {found.seconds:>6.1f} s  {what}", flush=True)
        wrong += bool(found.problem)
        for line in found.trace:
            print(f"    {line}")
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
