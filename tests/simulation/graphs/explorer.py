"""Is everything right in every world that can come about, and can every graph still end? Breadth first, by hashes."""

from __future__ import annotations

import itertools
import time
from array import array
from collections import deque
from typing import Final, NamedTuple

from boilermaker_fn.errors import IllegalTransition

from .steps import Steps
from .truth import Violation
from .world import World


class Explored(NamedTuple):
    """What was found. `trace` leads to what is wrong; `complete`: nothing was left out for want of time."""

    worlds: int
    complete: bool
    problem: str
    trace: tuple[str, ...]
    seconds: float


class _Found:
    """The worlds met, by their hashes, and how one leads to another."""

    def __init__(self, first: World) -> None:
        self.number = {hash(first): 0}
        self.hashes = array("q", [hash(first)])
        self.parents = array("i", [-1])
        self.fine, self.judged = bytearray([0]), bytearray([1])
        self.sources, self.targets = array("i"), array("i")

    def add(self, world: World, parent: int) -> tuple[int, bool]:
        key = hash(world)
        number = self.number.get(key)
        if number is not None:
            return number, False
        number = self.number[key] = len(self.hashes)
        self.hashes.append(key)
        self.parents.append(parent)
        self.fine.append(0)
        return number, True

    def path(self, number: int) -> list[int]:
        path = []
        while number >= 0:
            path.append(self.hashes[number])
            number = self.parents[number]
        return path[::-1]

    def stuck(self) -> int | None:
        """The first world from which no good steps lead to a fine one."""
        links = array("i", [-1]) * len(self.hashes)
        more = array("i", [-1]) * len(self.sources)
        for edge, target in enumerate(self.targets):
            more[edge], links[target] = links[target], edge
        work = [number for number, fine in enumerate(self.fine) if fine]
        while work:
            edge = links[work.pop()]
            while edge >= 0:
                source = self.sources[edge]
                if not self.fine[source]:
                    self.fine[source] = 1
                    work.append(source)
                edge = more[edge]
        return next((n for n, fine in enumerate(self.fine) if not fine and self.judged[n]), None)


def explored(steps: Steps, seconds: float = 1e9, *, deep: bool = False) -> Explored:
    """Look at every world, or as many as there is time for (of the processor's).

    Breadth first, so that the trace is the shortest; or `deep`, which meets what is far away sooner.
    """
    began = time.process_time()
    first = steps.first()
    found, waiting = _Found(first), deque([(0, first)])
    problem, at = "", None
    for looked_at in itertools.count(1):
        if not waiting or (looked_at % 256 == 0 and time.process_time() - began > seconds):
            break
        at, world = waiting.pop() if deep else waiting.popleft()
        try:
            problem = _look(steps, found, at, world, waiting)
        except (Violation, IllegalTransition) as violation:
            problem = str(violation)
        if problem:
            break
    complete = not waiting
    if not problem:
        for number, _ in waiting:
            found.fine[number] = 1  # who knows
        at = found.stuck()
        problem = "" if at is None else _NEVER
    trace = _trace(steps, found.path(at), to_the_end=problem is _NEVER) if problem and at is not None else ()
    return Explored(len(found.hashes), complete, problem, trace, time.process_time() - began)


def _look(steps: Steps, found: _Found, at: int, world: World, waiting: deque[tuple[int, World]]) -> str:
    """Look at one world; in a word what is wrong with it."""
    stops = not found.fine[at] and found.judged[at]
    for _, _, after, good in steps.next(world):
        number, new = found.add(after, at)
        if new:
            found.fine[number] = steps.ended(after)
            found.judged.append(steps.judged(after))
            waiting.append((number, after))
        if good:
            found.sources.append(at)
            found.targets.append(number)
            stops = False
    return _NEVER if stops else ""


_NEVER: Final = "the graph can never end"


def _trace(steps: Steps, path: list[int], *, to_the_end: bool = False) -> tuple[str, ...]:
    """What happened in each step; and then, as long as something happens by itself, what happens."""
    world, said = steps.first(), []
    for key in path[1:]:
        step = next(one for one in steps.next(world) if hash(one.world) == key)
        said.append(f"{steps.about.described(step.who)} {step.what}")
        world = step.world
    seen: set[int] = set()
    while to_the_end and hash(world) not in seen:
        seen.add(hash(world))
        good = [one for one in steps.next(world) if one.good]
        if good:
            said.append(f"(then) {steps.about.described(good[0].who)} {good[0].what}")
            world = good[0].world
    return tuple(said)
