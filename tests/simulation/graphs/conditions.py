"""Under which conditions are graphs explored? What can go wrong, how often, and how many work."""

from __future__ import annotations

from typing import NamedTuple


class Budget(NamedTuple):
    """How many faults there may be of each kind.

    Locks lost; ids enqueued again though they were sent; writes done but called refused; answers the table does not
    give; sends not accepted; messages lost; and, no fault, rounds of the watchdog.
    """

    locks: int = 0
    duplicates: int = 0
    ambiguous: int = 0
    down: int = 0
    unsent: int = 0
    lost: int = 0
    rounds: int = 0


class Conditions(NamedTuple):
    """`deliveries`: how often a message is delivered before it is set aside; `retries`: how many a node may ask for."""

    budget: Budget = Budget()
    workers: int = 2
    deliveries: int = 2
    retries: int = 1
    fails: bool = True
    publisher_dies: bool = False
