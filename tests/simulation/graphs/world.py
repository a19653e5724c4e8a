"""What is one world of those that can come about? A value: rows, messages, workers, and what may still go wrong."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from .conditions import Budget

# Where a message is.
WAITING, LOCKED, ASIDE, REAPED = range(4)
#: A message: its number, which copy of it, how often it was delivered, and where it is.
Held = tuple[int, ...]
#: Instead of a message, for the one worker that has none.
PUBLISHER: Final[Held] = ()
#: A worker: whether it is a zombie, its message, its machine, and how much that has sent.
Worker = tuple[bool, Held, int, int]


class World(NamedTuple):
    """Numbers of the rows of each partition, messages, a bit for each id sent, workers, and what faults are left."""

    rows: tuple[int, ...]
    messages: tuple[Any, ...]
    sent: int
    workers: tuple[Worker, ...]
    budget: Budget


class Happening(NamedTuple):
    """A step: who does what, the world then, and whether it needs no fault and no zombie."""

    who: Worker | None
    what: str
    world: World
    good: bool


def lives(world: World, message: int, copy: int, delivery: int) -> bool:
    """Whether a delivery is in the hands of somebody who has its lock."""
    return any(not worker[0] and worker[1] == (message, copy, delivery, LOCKED) for worker in world.workers)


def publishes(world: World) -> bool:
    """Whether somebody is publishing the graph."""
    return any(not worker[0] and not worker[1] for worker in world.workers)


def without(items: tuple[Any, ...], item: object) -> tuple[Any, ...]:
    """All but one."""
    at = items.index(item)
    return items[:at] + items[at + 1 :]


def with_one(items: tuple[Any, ...], item: object) -> tuple[Any, ...]:
    """All and one more, in order."""
    return tuple(sorted((*items, item)))


def instead(items: tuple[Any, ...], old: object, new: object) -> tuple[Any, ...]:
    """All, with one for another, in order."""
    return with_one(without(items, old), new)
