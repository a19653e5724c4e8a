"""What can happen next? All the worlds that are one step from another.

A step is one operation on the table, one message sent, or one message settled. Three things are done in one step that
could be two, because nothing that others do can come between them and matter: a message is delivered and its node read;
an attempt ends and that is written; a write changes nothing and what follows is looked at. Whoever is about to send or
to settle goes alone, because either comes to the same before and after anything that others do.
A *fault* takes a worker's lock: it goes on as a zombie, each of its later steps may come or not, so that a crash is a
zombie that never moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from boilermaker_fn.graph_progress.keys import HEAD
from boilermaker_fn.graph_progress.layout import Layout

from .about import About
from .conditions import Budget, Conditions
from .judge import Judge
from .machines import HOLD, RUN, SEND, SETTLE, TABLE, Machine, Machines
from .truth import Violation
from .world import (
    ASIDE,
    LOCKED,
    PUBLISHER,
    REAPED,
    WAITING,
    Happening,
    Held,
    Worker,
    World,
    instead,
    lives,
    publishes,
    with_one,
    without,
)

#: How often a wake may be followed by a wake, so that there is an end to what is explored.
_MOST_WAKES: Final = 2
_AS_IT_IS: Final[Sequence[tuple[str, ...]]] = ((),)


class Steps:
    """All steps in all worlds of one graph."""

    def __init__(self, layout: Layout, conditions: Conditions) -> None:
        self.machines = Machines(layout, conditions)
        self.about = About(self.machines)
        self._judge = Judge(self.machines)
        self._conditions = conditions
        self._machines, self._ids = self.machines.machines, self.machines.ids

    def first(self) -> World:
        """A graph that was published; or one whose publisher may die."""
        publisher: Worker = (False, PUBLISHER, self.machines.publisher(), 0)
        # The head, the blocks, and the list of graphs.
        rows = (0,) * (2 + len(self.machines.layout.blocks))
        world = World(rows, (), 0, (publisher,), self._conditions.budget)
        while publishes(world) and not self._conditions.publisher_dies:
            world = next(step.world for step in self._going_on(world, world.workers[0]) if step.good)
        return world

    def next(self, world: World) -> list[Happening]:
        """All that can happen now. Raises Violation."""
        for worker in world.workers:
            if alone := self._alone(world, worker):
                return alone
        found = list(self._delivered(world))
        for worker in dict.fromkeys(world.workers):
            found += self._going_on(world, worker)
            if not worker[0]:
                found += self._lock_lost(world, worker)
        if world.budget.lost:
            found += self._losses(world)
        return found

    def judged(self, world: World) -> bool:
        """Whether the graph must be able to end from here.

        Not when nothing was sent yet: its publisher may have died before. Not when no round of the watchdog is left.
        """
        return bool(world.sent) and (world.budget.rounds > 0 or not self._conditions.budget.rounds)

    def ended(self, world: World) -> bool:
        """Whether the graph has ended."""
        return self._judge.status(world.rows) not in ("", "running")

    # -- deliveries ----------------------------------------------------------------------------------------------------

    def _delivered(self, world: World) -> Iterator[Happening]:
        if sum(1 for worker in world.workers if worker[1] and not worker[0]) >= self._conditions.workers:
            return
        for message in dict.fromkeys(world.messages):
            number, copy, before, place = message
            budget = _less(world.budget, "rounds") if self.about.is_watch(number) else world.budget
            if budget is None or place in (LOCKED, REAPED) or not self._is_due(world, message):
                continue
            held = (number, copy, before + 1, place + 1)
            worker: Worker = (False, held, self.machines.taken(*held), 0)
            messages, workers = instead(world.messages, message, held), with_one(world.workers, worker)
            after = World(world.rows, messages, world.sent, workers, budget)
            for step in (*self._going_on(after, worker), *self._lock_lost(after, worker)):
                yield step._replace(what=f"gets it, {step.what}")

    def _is_due(self, world: World, message: Held) -> bool:
        number, _, delivered, _ = message
        row, partition, wakes = self.about.node(number)
        if not wakes or delivered:
            return True
        claims = self.machines.claimed[world.rows[partition]]
        return not any(claim.row == row and lives(world, *claim[1:]) for claim in claims)

    def _losses(self, world: World) -> Iterator[Happening]:
        budget = world.budget._replace(lost=world.budget.lost - 1)
        for message in dict.fromkeys(world.messages):
            if message[3] in (WAITING, ASIDE):
                after = world._replace(messages=without(world.messages, message), budget=budget)
                yield Happening(None, f"{self.about.name(message)} IS LOST", after, False)

    # -- workers -------------------------------------------------------------------------------------------------------

    def _alone(self, world: World, worker: Worker) -> list[Happening]:
        """The steps of somebody whose next one does not concern anybody else."""
        zombie, held, number, at = worker
        machine = self._machines[number]
        if machine.kind == SETTLE:
            workers, messages = without(world.workers, worker), world.messages
            after = world._replace(messages=without(messages, held) if held else messages, workers=workers)
            return [Happening(worker, "settles", after, True), *self._lock_lost(world, worker)]
        if machine.kind != SEND:
            return []
        if not world.budget.duplicates and all(world.sent >> self._ids[message] & 1 for message in machine.sends[at:]):
            after = self._goes_on(world, worker, self.machines.sent(number))
            return [Happening(worker, "sends nothing new", after, True)]
        return [] if zombie else [*self._sending(world, worker), *self._lock_lost(world, worker)]

    def _going_on(self, world: World, worker: Worker) -> list[Happening]:
        kind = self._machines[worker[2]].kind
        if kind == TABLE:
            return self._on_table(world, worker, worker[2], "")
        if kind == SEND:
            return self._sending(world, worker)
        assert kind == RUN
        found = []
        for label, machine in self.machines.ran(worker[2]):
            if self._machines[machine].kind == TABLE:
                found += self._on_table(world, worker, machine, f"{label}, ")
            else:
                found.append(Happening(worker, label, self._goes_on(world, worker, machine), not worker[0]))
        return found

    def _on_table(self, world: World, worker: Worker, number: int, said: str) -> list[Happening]:
        machine, rows = self._machines[number], world.rows
        partition = machine.partition
        before, found = rows[partition], []
        for expired in self._appearances(world, worker, machine):
            for label, after, then, fault in self.machines.answered(number, before, expired):
                left = _less(world.budget, fault) if fault else world.budget
                if left is None:
                    continue
                world_then, at_once = world if left is world.budget else world._replace(budget=left), False
                if after != before:
                    changed = (*rows[:partition], after, *rows[partition + 1 :])
                    self._check(rows, changed, worker, label)
                    world_then = World(changed, world.messages, world.sent, world.workers, left)
                    at_once = self._machines[then].certain
                elif machine.writes:
                    # What refused it does so for ever, and what it changes nothing of stays as it is.
                    at_once = self._machines[then].kind == TABLE
                if at_once and not fault:
                    found += self._on_table(world_then, worker, then, f"{said}{label}, ")
                    continue
                good = not fault and not worker[0]
                found.append(Happening(worker, said + label, self._goes_on(world_then, worker, then), good))
        return found

    def _check(self, before: tuple[int, ...], after: tuple[int, ...], worker: Worker, label: str) -> None:
        try:
            self._judge.check(before, after, worker[1])
        except Violation as violation:
            raise Violation(f"{violation} ({self.about.described(worker)} {label})") from None

    def _appearances(self, world: World, worker: Worker, machine: Machine) -> Sequence[tuple[str, ...]]:
        """Which claims, or which publisher, can look as if their time was over: those whose owner's lock is gone."""
        if not machine.looks_at:
            return _AS_IT_IS
        if machine.looks_at == HEAD:
            patient = not worker[1] or self._judge.status(world.rows) or publishes(world)
            return _AS_IT_IS if patient else ((), (HEAD,))
        claims = self.machines.claimed[world.rows[machine.partition]]
        if not claims:
            return _AS_IT_IS
        own, wakes = (worker[1][:2], self.about.node(worker[1][0])[2]) if worker[1] else ((), 0)
        over = tuple(
            claim.row
            for claim in claims
            if machine.looks_at in (claim.row, "*") and claim[1:3] != own and not lives(world, *claim[1:])
        )
        if not over:
            return _AS_IT_IS
        return (over,) if wakes >= _MOST_WAKES else ((), over)

    def _sending(self, world: World, worker: Worker) -> list[Happening]:
        zombie, _, number, at = worker
        machine, budget = self._machines[number], world.budget
        if at == len(machine.sends):  # only what does not concern the graph
            return [Happening(worker, "sends", self._goes_on(world, worker, self.machines.sent(number)), not zombie)]
        message = machine.sends[at]
        what, bit = f"sends {self.about.name((message, 0, 0, 0))}", 1 << self._ids[message]
        found = []
        if not world.sent & bit:
            after = world._replace(messages=with_one(world.messages, (message, 0, 0, WAITING)), sent=world.sent | bit)
            found.append(Happening(worker, what, self._one_sent(after, worker), not zombie))
        else:
            found.append(Happening(worker, f"{what}, a duplicate", self._one_sent(world, worker), not zombie))
            if budget.duplicates:
                again = (message, 1 + self._conditions.budget.duplicates - budget.duplicates, 0, WAITING)
                left = budget._replace(duplicates=budget.duplicates - 1)
                after = world._replace(messages=with_one(world.messages, again), budget=left)
                found.append(Happening(worker, f"{what}, ENQUEUED AGAIN", self._one_sent(after, worker), False))
        if budget.unsent:
            after = world._replace(budget=budget._replace(unsent=budget.unsent - 1))
            gone_on = self._goes_on(after, worker, self.machines.not_accepted(number))
            found.append(Happening(worker, f"{what} IN VAIN", gone_on, False))
        return found

    def _one_sent(self, world: World, worker: Worker) -> World:
        _, _, number, at = worker
        if at + 1 < len(self._machines[number].sends):
            return self._goes_on(world, worker, number, at + 1)
        return self._goes_on(world, worker, self.machines.sent(number))

    def _goes_on(self, world: World, worker: Worker, machine: int, at: int = 0) -> World:
        zombie, held, _, _ = worker
        workers, messages = without(world.workers, worker), world.messages
        kind = self._machines[machine].kind
        if kind == HOLD:
            messages = messages if zombie else self._released(messages, held)
        elif kind != SETTLE or (held and not zombie):
            workers = with_one(workers, (zombie, held, machine, at))
        return World(world.rows, messages, world.sent, workers, world.budget)

    def _lock_lost(self, world: World, worker: Worker) -> list[Happening]:
        _, held, machine, at = worker
        if not world.budget.locks or not (held or self._conditions.publisher_dies):
            return []
        workers = without(world.workers, worker)
        if self._machines[machine].kind != SETTLE:
            workers = with_one(workers, (True, held, machine, at))
        budget = world.budget._replace(locks=world.budget.locks - 1)
        after = World(world.rows, self._released(world.messages, held), world.sent, workers, budget)
        return [Happening(worker, "LOSES ITS LOCK", after, False)]

    def _released(self, messages: tuple[Held, ...], held: Held) -> tuple[Held, ...]:
        if not held:
            return messages
        number, copy, delivery, place = held
        aside = place == REAPED or delivery >= self._conditions.deliveries
        return instead(messages, held, (number, copy, delivery, ASIDE if aside else WAITING))


def _less(budget: Budget, fault: str) -> Budget | None:
    left = getattr(budget, fault)
    return budget._replace(**{fault: left - 1}) if left else None
