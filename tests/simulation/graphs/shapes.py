"""Which graphs are explored? Small ones, one for each thing that can go wrong, with the block of each node."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Final, NamedTuple

from boilermaker_fn.graph.plan import Plan, Step
from boilermaker_fn.graph_progress.layout import Layout, placed
from boilermaker_fn.retries import RetryAttempts, RetryMode, RetryPolicy
from boilermaker_fn.task.task import Task

QUEUE: Final = "tasks"
LAKE: Final = "tasks-dead-letters"
WORK: Final = "work"

_THEN: Final = RetryAttempts(attempts=0, last_retry=datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC))


class Shape(NamedTuple):
    """A graph: the block of each node, its parents or guards, and whether there is an all-failed callback."""

    blocks: tuple[int, ...]
    parents: Mapping[int, tuple[int, ...]] = {}
    guards: Mapping[int, tuple[int, ...]] = {}
    callback: bool = False

    def layout(self, tries: int) -> Layout:
        """As it is published, each of its tasks to be tried so often."""
        steps = tuple(
            Step(task(f"t{node}", tries), tuple(self.parents.get(node, ())), tuple(self.guards.get(node, ())))
            for node in range(len(self.blocks))
        )
        plan = Plan("g", steps, task("callback", tries) if self.callback else None, (len(steps) - 1,))
        blocks = range(max(self.blocks) + 1)
        return placed(plan, QUEUE, [[n for n, block in enumerate(self.blocks) if block == b] for b in blocks])


def task(name: str, tries: int, delay: float = 0.0) -> Task:
    """A task that is tried so often, `delay` seconds apart."""
    return Task(
        task_id=name,
        function_name=WORK,
        attempts=_THEN,
        policy=RetryPolicy(max_tries=tries, delay=delay, delay_max=delay, retry_mode=RetryMode.Fixed),
    )


SHAPES: Final[Mapping[str, Shape]] = {
    "chain2": Shape((0, 0), {1: (0,)}),
    "chain2x": Shape((0, 1), {1: (0,)}),
    "chain3": Shape((0, 0, 0), {1: (0,), 2: (1,)}),
    "chain3x": Shape((0, 1, 0), {1: (0,), 2: (1,)}),
    "chain3y": Shape((0, 0, 1), {1: (0,), 2: (1,)}),
    "fanout": Shape((0, 0, 1), {1: (0,), 2: (0,)}),
    "fanin": Shape((0, 0, 0), {2: (0, 1)}),
    "faninx": Shape((0, 1, 1), {2: (0, 1)}),
    "faninx2": Shape((0, 0, 1), {2: (0, 1)}),
    "faninx3": Shape((0, 0, 1, 1), {3: (0, 1, 2)}),
    "diamond": Shape((0, 0, 0, 0), {1: (0,), 2: (0,), 3: (1, 2)}),
    "diamondx": Shape((0, 0, 1, 1), {1: (0,), 2: (0,), 3: (1, 2)}),
    "skiptail": Shape((0, 0, 1, 1), {2: (0, 1), 3: (2,)}),
    "handler": Shape((0, 0, 0), {2: (0,)}, {1: (0,)}),
    "handlerkid": Shape((0, 0, 1), {2: (1,)}, {1: (0,)}),
    "faninhandler": Shape((0, 1, 1, 0), {2: (0, 1)}, {3: (0,)}),
    "sharedchain": Shape((0, 0, 0), {1: (0,)}, {2: (0, 1)}),
    "sharedchainx": Shape((0, 1, 1), {1: (0,)}, {2: (0, 1)}),
    "sharedkid": Shape((0, 0, 0, 1), {3: (2,)}, {2: (0, 1)}),
    "sharedkidx": Shape((0, 1, 1, 2), {3: (2,)}, {2: (0, 1)}),
    "callback1": Shape((0,), callback=True),
    "callback": Shape((0, 1), callback=True),
    "callbackchain": Shape((0, 0), {1: (0,)}, callback=True),
    "callbackhandler": Shape((0, 0), {}, {1: (0,)}, callback=True),
}
