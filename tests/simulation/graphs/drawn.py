"""Which graph does a seed stand for, and what do its nodes do? Up to 40 nodes, in blocks of any size."""

from __future__ import annotations

import random
from typing import NamedTuple

from boilermaker_fn.graph.plan import Plan, Step
from boilermaker_fn.graph_progress.layout import Layout, laid_out, placed
from boilermaker_fn.task.task import Task

from .shapes import QUEUE, task

MOST_NODES = 40


class Behaviour(NamedTuple):
    """How the attempts of a task go: so many ask for a retry, then it ends; each takes so many seconds."""

    retries: int = 0
    fails: bool = False
    takes: float = 0.0


class Drawn(NamedTuple):
    """A graph, and what each of its tasks does, by the task's id."""

    layout: Layout
    behaviours: dict[str, Behaviour]


def drawn(chance: random.Random) -> Drawn:
    """A graph at random."""
    size = chance.choice((chance.randint(2, 6), chance.randint(2, 15), chance.randint(2, MOST_NODES)))
    likely_to_fail = chance.choice((0.0, 0.05, 0.2, 0.5))
    behaviours = {f"t{number}": _behaviour(chance, likely_to_fail) for number in range(size)}
    callback = None
    if chance.random() < 0.4:
        callback = _task(chance, "callback")
        behaviours["callback"] = _behaviour(chance, 0.3)
    steps = _steps(chance, size)
    plan = Plan("g", steps, callback, (size - 1,))
    return Drawn(_laid_out(chance, plan), behaviours)


def _behaviour(chance: random.Random, likely_to_fail: float) -> Behaviour:
    return Behaviour(
        retries=chance.choice((0, 0, 0, 0, 1, 2)),
        fails=chance.random() < likely_to_fail,
        takes=chance.choice((0.0, 0.0, 0.0, 1.0, 50.0)),
    )


def _steps(chance: random.Random, size: int) -> tuple[Step, ...]:
    """Chains with a handler for all of them, fans, and nodes that wait for any others."""
    steps: list[Step] = []
    likely, width = chance.choice((0.1, 0.4, 0.8)), chance.choice((1, 3, 30))
    while len(steps) < size:
        if chance.random() < 0.2:
            _add_chain(chance, steps, size)
        else:
            before: tuple[int, ...] = ()
            if chance.random() < likely:
                before = _some(chance, len(steps), width)
            handles = chance.random() < 0.25
            one = _task(chance, f"t{len(steps)}")
            steps.append(Step(one, guards=before) if handles else Step(one, parents=before))
    return tuple(steps)


def _add_chain(chance: random.Random, steps: list[Step], size: int) -> None:
    links = [*range(len(steps), min(size, len(steps) + chance.randint(2, 6)))]
    first = _some(chance, len(steps), 2) if chance.random() < 0.5 else ()
    for link in links:
        steps.append(Step(_task(chance, f"t{link}"), parents=(link - 1,) if link > links[0] else first))
    if len(steps) < size:
        steps.append(Step(_task(chance, f"t{len(steps)}"), guards=tuple(links)))


def _some(chance: random.Random, before: int, width: int) -> tuple[int, ...]:
    return tuple(sorted(chance.sample(range(before), min(before, chance.randint(1, width)))))


def _task(chance: random.Random, name: str) -> Task:
    return task(name, tries=chance.choice((1, 2, 3, 3)), delay=chance.choice((0.0, 5.0, 100.0)))


def _laid_out(chance: random.Random, plan: Plan) -> Layout:
    if chance.random() < 0.4:
        return laid_out(plan, QUEUE)
    size, left = chance.choice((1, 2, 5, 20)), [*range(len(plan.steps))]
    if chance.random() < 0.3:
        chance.shuffle(left)
    blocks = []
    while left:
        taken = chance.randint(1, size)
        blocks.append(left[:taken])
        left = left[taken:]
    return placed(plan, QUEUE, blocks)
