"""Graphs by seed, workers that die anywhere, messages that are lost: each graph ends, as its plan says it must."""

from __future__ import annotations

import random

import pytest

from boilermaker_fn.graph.plan import Plan, Step
from boilermaker_fn.graph_progress.heads import GraphStatus
from boilermaker_fn.graph_progress.keys import CALLBACK
from boilermaker_fn.graph_progress.layout import Layout, placed
from tests.yard import AGAIN, BAD, HOME, Died, Yard, effects, plan, step, work

SEEDS = range(60)


class Drawn:
    """A graph of up to 14 steps in up to 4 blocks; the `bad` ones fail each time they run."""

    def __init__(self, chance: random.Random) -> None:
        steps: list[Step] = []
        for number in range(chance.randint(2, 14)):
            before = tuple(sorted(chance.sample(range(number), min(number, chance.choice((0, 1, 1, 2, 3))))))
            steps.append(step(guards=before) if before and chance.random() < 0.3 else step(*before))
        self.plan: Plan = plan(*steps, callback=work() if chance.random() < 0.5 else None)
        blocks: list[list[int]] = [[] for _ in range(chance.randint(1, 4))]
        for number in range(len(steps)):
            chance.choice(blocks).append(number)
        self.layout: Layout = placed(self.plan, HOME, [block for block in blocks if block])
        self.bad = {number for number in range(len(steps)) if chance.random() < 0.25}

    @property
    def ending(self) -> str:
        """How each step must end, in the order of the plan."""
        found = ""
        for number, one in enumerate(self.plan.steps):
            if one.guards:
                runs = "f" in [found[guard] for guard in one.guards]
            else:
                runs = all(found[parent] == "s" for parent in one.parents)
            ended = "f" if number in self.bad else "s"
            found += ended if runs else "k"
        return found

    async def found(self, yard: Yard) -> str:
        """How each step stands, in the order of the plan."""
        status = {"success": "s", "failure": "f", "skipped": "k", "pending": "p", "started": "r"}
        return "".join([status[(await yard.node(number)).status] for number in self.layout.numbers])

    def play_badly(self, yard: Yard, chance: random.Random) -> None:
        """Say how the attempts of all nodes end."""
        for number, place in enumerate(self.layout.numbers):
            ends = [BAD] * 99 if number in self.bad else []
            yard.outcomes["g", place] = [AGAIN] * chance.choice((0, 0, 1)) + ends


async def roughly(yard: Yard, chance: random.Random, faults: int) -> None:
    """Deliver with some faults: workers that die, messages that are lost, or that somebody else has too."""
    while faults and yard.waiting():
        fault = chance.choice(("none", "none", "die", "die and lose", "lose", "twice"))
        if fault == "lose":
            yard.lose()
        elif fault == "twice" and (again := yard.lose()):
            for message in again:
                await yard.deliver(message)
                await yard.deliver(message)
        elif fault.startswith("die"):
            try:
                await yard.next(die=effects(chance.randint(1, 12)))
            except Died:
                if fault == "die and lose":
                    yard.lose()
        else:
            await yard.next()
        faults -= fault != "none"


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_graph_ends_as_its_plan_says(seed: int) -> None:
    chance = random.Random(seed)
    drawn, yard = Drawn(chance), Yard()
    drawn.play_badly(yard, chance)
    await yard.publish(drawn.layout)
    await roughly(yard, chance, 8)
    await yard.play()
    expected = drawn.ending
    assert await drawn.found(yard) == expected
    assert await yard.status() is (GraphStatus.FAILED if "f" in expected else GraphStatus.SUCCEEDED)
    if drawn.plan.callback is not None:
        assert (await yard.node(CALLBACK)).status == ("success" if "f" in expected else "skipped")


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_graph_that_is_cancelled_ends(seed: int) -> None:
    chance = random.Random(seed)
    drawn, yard = Drawn(chance), Yard()
    drawn.play_badly(yard, chance)
    await yard.publish(drawn.layout)
    await roughly(yard, chance, chance.randint(0, 6))
    try:
        ending = await yard.cancel(die=effects(chance.randint(3, 30)))
    except Died:
        ending = "died"
    ran = len(yard.ran)
    await roughly(yard, chance, 4)
    await yard.play()
    assert not {*await drawn.found(yard)} & {*"pr"}
    status = await yard.status()
    assert status.ended
    if ending in (GraphStatus.CANCELLED, GraphStatus.CANCELLING):
        assert status is GraphStatus.CANCELLED
    if ending is GraphStatus.CANCELLED:
        assert len(yard.ran) == ran
    if status is GraphStatus.CANCELLED:
        await yard.reopen()
        await roughly(yard, chance, 2)
        await yard.play()
        assert await drawn.found(yard) == drawn.ending


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_graph_that_is_reopened_ends_as_its_plan_says(seed: int) -> None:
    chance = random.Random(seed)
    drawn, yard = Drawn(chance), Yard()
    drawn.play_badly(yard, chance)
    await yard.publish(drawn.layout)
    await yard.play()
    if "f" not in drawn.ending:
        assert "has succeeded" in await yard.reopen()
        return
    drawn.bad = {number for number in drawn.bad if chance.random() < 0.5}
    drawn.play_badly(yard, chance)
    try:
        await yard.reopen(die=effects(chance.randint(3, 30)))  # the second one is the watchdog's message
    except Died:
        await roughly(yard, chance, 2)
    await roughly(yard, chance, 4)
    await yard.play()
    assert (await yard.head()).graph.epoch == 1
    assert await drawn.found(yard) == drawn.ending
