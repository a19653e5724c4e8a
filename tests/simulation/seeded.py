"""What does one seed stand for? Its tasks, the conditions, and the faults."""

from __future__ import annotations

import asyncio
import random

from boilermaker_fn.envelopes import outgoing
from boilermaker_fn.testing import VirtualTimeLoop

from .faults import RandomFaults
from .verdict import Verdict
from .workload import Workload
from .world import QUEUE, Conditions, World, in_virtual_time


def complaints_of(seed: int) -> list[str]:
    """Run the simulation of a seed; what was lost, or done twice."""
    chance = random.Random(seed)
    workload = Workload(chance)
    conditions = _conditions(chance)
    faults = RandomFaults(chance, chance.randrange(13), chance.choice((0.05, 0.15, 0.4)), conditions.lock_duration)

    async def played(loop: VirtualTimeLoop) -> World:
        behaviours = {name: node.behaviour for name, node in workload.nodes.items()}
        world = World(loop, chance, faults, conditions, behaviours)
        _publish(world, workload, chance)
        await asyncio.gather(
            world.until_nothing_is_left(),
            *(world.cancel(name, at) for name, at in workload.cancellations if conditions.keeps_rows),
        )
        return world

    return Verdict(in_virtual_time(played), workload.roots, workload.nodes).complaints()


def _conditions(chance: random.Random) -> Conditions:
    down_from = chance.choice((0.5, 20.0, 33.0, 50.0))
    keeps_rows = chance.random() < 0.75
    return Conditions(
        keeps_rows=keeps_rows,
        lock_duration=chance.choice((40.0, 60.0)),
        max_deliveries=chance.choice((2, 4, 10)),
        # Without rows nothing but duplicate detection guards a callback.
        window=chance.choice((0.0, 7200.0, 7200.0)) if keeps_rows else 7200.0,
        concurrency=chance.choice((1, 4)),
        store_down=(down_from, down_from + chance.choice((0.0, 0.0, 0.0, 20.0, 90.0))),
    )


def _publish(world: World, workload: Workload, chance: random.Random) -> None:
    for root in workload.roots:
        message = outgoing(root.task, now=world.clock(), queue=QUEUE)
        world.broker.accept(message)
        if world.conditions.keeps_rows and root.task.acks_late and chance.random() < 0.15:
            # A copy that duplicate detection has missed, or that comes after its window.
            world.broker.enqueue(message, due=chance.choice((0.0, 30.0, 9000.0)))
