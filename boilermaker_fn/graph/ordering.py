"""In which order can tasks run, if in any? Those that a task waits for come before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class Cycle(Exception):
    """There is no order. `path` leads from a position along those that wait for it back to it."""

    def __init__(self, path: list[int]) -> None:
        super().__init__(path)
        self.path = path


def ordered(before: Sequence[Sequence[int]]) -> list[int]:
    """The positions in an order in which each stands behind those `before` it; in O(V + E). Raises Cycle."""
    after: list[list[int]] = [[] for _ in before]
    for position, earlier in enumerate(before):
        for one in earlier:
            after[one].append(position)
    waits_for = [len(earlier) for earlier in before]
    ready = deque(position for position, count in enumerate(waits_for) if not count)
    order: list[int] = []
    while ready:
        position = ready.popleft()
        order.append(position)
        for later in after[position]:
            waits_for[later] -= 1
            if not waits_for[later]:
                ready.append(later)
    if len(order) < len(before):
        raise Cycle(_cycle(before, waits_for))
    return order


def _cycle(before: Sequence[Sequence[int]], waits_for: Sequence[int]) -> list[int]:
    at = next(position for position, count in enumerate(waits_for) if count)
    path: dict[int, int] = {}
    # Each of those that are left waits for another of them, so the walk comes back to where it was.
    while at not in path:
        path[at] = len(path)
        at = next(one for one in before[at] if waits_for[one])
    found = [*path][path[at] :]
    return [found[0], *reversed(found)]
