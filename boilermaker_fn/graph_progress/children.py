"""What does a node know of those that wait for it? Its children: who they are, and what else each of them waits for.

Children that look alike are one range, so a node with ten thousand of them stays small. Sets of nodes in one block
are masks: bit `i` stands for the node at place `i`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

from .keys import BLOCK, block_of, place_of


class Children(NamedTuple):
    """`size` nodes that wait for the same: `first`, `first + step`, and so on.

    `mask` has those they wait for in the block of the node that knows them, that one included; `blocks` is the number
    of blocks in which they wait for somebody. A `guard` runs when all it waits for have ended and one has failed, any
    other child when all have succeeded. `below` has those in the child's own block that cannot run if it does not
    (without the child itself). `queue` None: the one of the graph. `delay` (seconds
    after it is sent) and `eta` (seconds since the epoch) say when it becomes due.
    """

    first: int
    size: int = 1
    step: int = 1
    mask: int = 0
    blocks: int = 1
    guard: bool = False
    below: int = 0
    queue: str | None = None
    delay: float = 0.0
    eta: float = 0.0

    @property
    def numbers(self) -> range:
        """The children's numbers."""
        return range(self.first, self.first + self.size * self.step, self.step)

    @property
    def alone(self) -> bool:
        """Whether they wait for nobody but the node that knows them."""
        return self.blocks == 1 and self.mask.bit_count() == 1


_NOTHING_SAID = Children(0)


def encoded(children: Iterable[Children]) -> bytes:
    """As JSON: a list of lists, each without what it ends with and says nothing."""
    return json.dumps([_trimmed(one) for one in children], separators=(",", ":")).encode()


def decoded(data: bytes) -> tuple[Children, ...]:
    """What `encoded` wrote."""
    return _decoded_once(data) if len(data) < _SMALL else _decoded(data)


def _decoded(data: bytes) -> tuple[Children, ...]:
    return tuple(_children(*values) for values in json.loads(data)) if data else ()


# Nodes that are looked at together mostly have the same few children.
_SMALL: Final = 1024
_decoded_once = lru_cache(maxsize=1024)(_decoded)


def places(mask: int) -> Iterator[int]:
    """The places in a mask, lowest first."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def numbers_of(mask: int, block: int) -> list[int]:
    """The numbers of the nodes in a mask of a block."""
    return [block * BLOCK + place for place in places(mask)]


def due(child: Children, now: float) -> float | None:
    """When a child that is sent now becomes due, in seconds since the epoch; None: at once."""
    at = max(now + child.delay, child.eta)
    return at if at > now else None


def falling(child: int, below: int) -> list[int]:
    """All that cannot run in a child's block when it does not: itself and what is below it."""
    return numbers_of(below | 1 << place_of(child), block_of(child))


def _trimmed(one: Children) -> list[Any]:
    values: list[Any] = [*one]
    values[3], values[6] = format(one.mask, "x"), format(one.below, "x")
    values[5] = int(one.guard)
    said = [*_NOTHING_SAID]
    said[3] = said[6] = "0"
    while len(values) > 1 and values[-1] == said[len(values) - 1]:
        values.pop()
    return values


def _children(
    first: int,
    size: int = 1,
    step: int = 1,
    mask: str = "0",
    blocks: int = 1,
    guard: int = 0,
    below: str = "0",
    queue: str | None = None,
    delay: float = 0.0,
    eta: float = 0.0,
) -> Children:
    return Children(first, size, step, int(mask, 16), blocks, bool(guard), int(below, 16), queue, delay, eta)
