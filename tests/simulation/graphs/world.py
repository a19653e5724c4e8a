"""What can happen next? A world of workers, messages and rows, as a value; and all the worlds one step from it.

A step is one operation on the table, one message sent, or one message settled. Three things are done in one step that
could be two, because nothing that others do can come between them and matter: a message is delivered and its node read;
an attempt ends and that is written; a write changes nothing and what follows is looked at. Whoever is about to send or to settle
goes alone, because either comes to the same before and after anything that others do.
A *fault* takes a worker's lock: it goes on as a zombie, each of its later steps may come or not, so that a crash is a
zombie that never moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from boilermaker_fn.graph_progress.keys import CALLBACK, HEAD, GraphKey
from boilermaker_fn.graph_progress.layout import Layout
from boilermaker_fn.graph_progress.messages import NodeMessage, WatchMessage, decoded
from boilermaker_fn.graph_progress.node_messages import CLAIMS

from .conditions import Budget, Conditions
from .machines import COPIES, HOLD, RUN, SEND, SETTLE, TABLE, Machine, Machines
from .truth import ENDED, Node, Truth, Violation

# Where a message is.
WAITING, LOCKED, ASIDE, REAPED = range(4)
#: A message: its number, which copy of it, how often it was delivered, and where it is.
Held = tuple[int, int, int, int] | tuple[()]
#: Instead of a message, for the one worker that has none.
PUBLISHER: Final = ()
#: A worker: whether it is a zombie, its message, its machine, and how much that has sent.
Worker = tuple[bool, Held, int, int]

#: How often a wake may be followed by a wake, so that there is an end to what is explored.
_MOST_WAKES: Final = 2


class World(NamedTuple):
    """Numbers of the rows of each partition, messages, a bit for each message sent, workers, and what faults are left."""

    rows: tuple[int, ...]
    messages: tuple[Held, ...]
    sent: int
    workers: tuple[Worker, ...]
    budget: Budget


class Happening(NamedTuple):
    """A step: who does what, the world then, and whether it needs no fault and no zombie."""

    who: Worker | None
    what: str
    world: World
    good: bool


class Steps:
    """All steps in all worlds of one graph."""

    def __init__(self, layout: Layout, conditions: Conditions) -> None:
        self.machines = Machines(layout, conditions)
        self._machines, self._ids = self.machines.machines, self.machines.ids
        self.conditions = conditions
        self._truth = Truth(layout.plan)
        self._numbers = dict(zip(layout.numbers, range(len(layout.numbers)), strict=True)) | {CALLBACK: CALLBACK}
        self._nodes: dict[int, dict[int, Node]] = {}
        self._right: set[tuple[object, ...]] = set()
        self._about: dict[int, tuple[str, int, bool]] = {}

    def first(self) -> World:
        """A graph that was published; or one whose publisher may die."""
        machine = self.machines.publisher()
        world = World((0,) * (2 + len(self.machines.layout.blocks)), (), 0, ((False, PUBLISHER, machine, 0),), self.conditions.budget)
        if self.conditions.publisher_dies:
            return world
        while any(not worker[1] for worker in world.workers):
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
            if not worker[0] and world.budget.locks and (worker[1] or self.conditions.publisher_dies):
                found.append(self._lock_lost(world, worker))
        if world.budget.lost:
            found += self._losses(world)
        return found

    def judged(self, world: World) -> bool:
        """Whether the graph must be able to end from here.

        Not when nothing was sent yet: its publisher may have died before. Not when no round of the watchdog is left.
        """
        return bool(world.sent) and (world.budget.rounds > 0 or not self.conditions.budget.rounds)

    def ended(self, world: World) -> bool:
        """Whether the graph has ended."""
        head = self.machines.rows[world.rows[0]].get(HEAD)
        return head is not None and head.values["status"] not in ("running", "cancelling")

    # -- deliveries ----------------------------------------------------------------------------------------------------

    def _delivered(self, world: World) -> Iterator[Happening]:
        if sum(1 for worker in world.workers if not worker[0] and worker[1]) >= self.conditions.workers:
            return
        for message in dict.fromkeys(world.messages):
            if message[3] in (LOCKED, REAPED) or not self._is_due(world, message):
                continue
            number, copy, before, place = message
            held = (number, copy, before + 1, place + 1)
            worker: Worker = (False, held, self.machines.taken(*held), 0)
            budget = _without_one(world.budget, "rounds") if self._is_watch(number) else world.budget
            if budget is None:
                continue
            after = world._replace(messages=_with(world.messages, message, held), budget=budget)
            for step in self._going_on(after._replace(workers=_and(world.workers, worker)), worker):
                yield step._replace(what=f"gets {self._name(held)}, {step.what}")
            if world.budget.locks:
                step = self._lock_lost(after._replace(workers=_and(world.workers, worker)), worker)
                yield step._replace(what=f"gets {self._name(held)}, {step.what}")

    def _is_due(self, world: World, message: Held) -> bool:
        row, partition, wakes = self._of(message[0])
        if not wakes or message[2]:
            return True
        claims = self.machines.claimed[world.rows[partition]]
        return not any(claim.row == row and _lives(world, claim[1:]) for claim in claims)

    def _losses(self, world: World) -> Iterator[Happening]:
        budget = world.budget._replace(lost=world.budget.lost - 1)
        for message in dict.fromkeys(world.messages):
            if message[3] in (WAITING, ASIDE):
                after = world._replace(messages=_with(world.messages, message), budget=budget)
                yield Happening(None, f"{self._name(message)} IS LOST", after, False)

    # -- workers -------------------------------------------------------------------------------------------------------

    def _alone(self, world: World, worker: Worker) -> list[Happening]:
        """The steps of somebody whose next one does not concern anybody else."""
        zombie, held, number, at = worker
        machine = self._machines[number]
        if machine.kind == SETTLE:
            workers = _without(world.workers, worker)
            messages = world.messages if not held else _with(world.messages, held)
            found = [Happening(worker, "settles", world._replace(messages=messages, workers=workers), True)]
            if world.budget.locks and held:
                found.append(self._lock_lost(world, worker))
            return found
        if machine.kind != SEND:
            return []
        if not world.budget.duplicates and all(world.sent >> self._ids[message] & 1 for message in machine.sends[at:]):
            return [Happening(worker, "sends nothing new", self._goes_on(world, worker, self.machines.sent(number)), True)]
        if not zombie:
            found = self._sending(world, worker)
            if world.budget.locks and (held or self.conditions.publisher_dies):
                found.append(self._lock_lost(world, worker))
            return found
        return []

    def _going_on(self, world: World, worker: Worker) -> list[Happening]:
        kind = self._machines[worker[2]].kind
        if kind == TABLE:
            return self._on_table(world, worker, worker[2], "")
        if kind == SEND:
            return self._sending(world, worker)
        assert kind == RUN
        return [
            step
            for label, machine in self.machines.ran(worker[2])
            for step in self._after_run(world, worker, label, machine)
        ]

    def _after_run(self, world: World, worker: Worker, label: str, machine: int) -> list[Happening]:
        if self._machines[machine].kind == TABLE:
            return self._on_table(world, worker, machine, f"{label}, ")
        return [Happening(worker, label, self._goes_on(world, worker, machine), not worker[0])]

    def _on_table(self, world: World, worker: Worker, number: int, said: str) -> list[Happening]:
        machine, rows = self._machines[number], world.rows
        partition = machine.partition
        before, found = rows[partition], []
        for expired in self._appearances(world, worker, machine):
            for label, after, then, fault in self.machines.answered(number, before, expired):
                left = _without_one(world.budget, fault) if fault else world.budget
                if left is None:
                    continue
                if after != before:
                    changed = (*rows[:partition], after, *rows[partition + 1 :])
                    self._check(rows, changed, worker, label)
                    world_then = World(changed, world.messages, world.sent, world.workers, left)
                elif machine.writes and self._machines[then].kind == TABLE:
                    # Whatever refused it does so for ever, and what it says already: it is followed by a look at once.
                    found += self._on_table(world._replace(budget=left), worker, then, f"{said}{label}, ")
                    continue
                else:
                    world_then = world._replace(budget=left) if fault else world
                if self._machines[then].certain and not fault:
                    found += self._on_table(world_then, worker, then, f"{said}{label}, ")
                    continue
                good = not fault and not worker[0]
                found.append(Happening(worker, said + label, self._goes_on(world_then, worker, then), good))
        return found

    def _appearances(self, world: World, worker: Worker, machine: Machine) -> Sequence[tuple[str, ...]]:
        """Which claims, or which publisher, can look as if their time was over: those whose owner's lock is gone."""
        if not machine.looks_at:
            return _AS_IT_IS
        if machine.looks_at == HEAD:
            patient = not worker[1] or HEAD in self.machines.rows[world.rows[0]] or _publishes(world)
            return _AS_IT_IS if patient else ((), (HEAD,))
        claims = self.machines.claimed[world.rows[machine.partition]]
        if not claims:
            return _AS_IT_IS
        own, wakes = ((), 0) if not worker[1] else (worker[1][:2], self._of(worker[1][0])[2])
        over = tuple(
            claim.row
            for claim in claims
            if machine.looks_at in (claim.row, "*") and claim[1:3] != own and not _lives(world, claim[1:])
        )
        if not over:
            return _AS_IT_IS
        return [over] if wakes >= _MOST_WAKES else [(), over]

    def _sending(self, world: World, worker: Worker) -> list[Happening]:
        zombie, held, number, at = worker
        machine, budget = self._machines[number], world.budget
        if at == len(machine.sends):  # dead letters only
            return [Happening(worker, "sends", self._goes_on(world, worker, self.machines.sent(number)), not zombie)]
        message = machine.sends[at]
        last = at + 1 == len(machine.sends)
        found = []

        def sent(what: str, after: World, good: bool) -> None:
            gone_on = self._goes_on(after, worker, self.machines.sent(number) if last else number, 0 if last else at + 1)
            found.append(Happening(worker, f"sends {self._name((message, 0, 0, 0))}{what}", gone_on, good))

        if not world.sent >> self._ids[message] & 1:
            messages = _and(world.messages, (message, 0, 0, WAITING))
            sent("", world._replace(messages=messages, sent=world.sent | 1 << self._ids[message]), not zombie)
        else:
            sent(": a duplicate", world, not zombie)
            if budget.duplicates:
                left = budget._replace(duplicates=budget.duplicates - 1)
                again = (message, 1 + self.conditions.budget.duplicates - budget.duplicates, 0, WAITING)
                sent(": ENQUEUED AGAIN", world._replace(messages=_and(world.messages, again), budget=left), False)
        if budget.unsent:
            after = world._replace(budget=budget._replace(unsent=budget.unsent - 1))
            gone_on = self._goes_on(after, worker, self.machines.not_accepted(number))
            found.append(Happening(worker, "SENDS IN VAIN", gone_on, False))
        return found

    def _goes_on(self, world: World, worker: Worker, machine: int, at: int = 0) -> World:
        zombie, held, _, _ = worker
        workers, messages = _without(world.workers, worker), world.messages
        kind = self._machines[machine].kind
        if kind == HOLD:
            messages = messages if zombie else self._released(messages, held)
        elif kind != SETTLE or not (zombie or not held):
            workers = _and(workers, (zombie, held, machine, at))
        return World(world.rows, messages, world.sent, workers, world.budget)

    def _lock_lost(self, world: World, worker: Worker) -> Happening:
        _, held, machine, at = worker
        workers = _without(world.workers, worker)
        if self._machines[machine].kind != SETTLE:
            workers = _and(workers, (True, held, machine, at))
        budget = world.budget._replace(locks=world.budget.locks - 1)
        after = World(world.rows, self._released(world.messages, held), world.sent, workers, budget)
        return Happening(worker, "LOSES ITS LOCK", after, False)

    def _released(self, messages: tuple[Held, ...], held: Held) -> tuple[Held, ...]:
        if not held:
            return messages
        number, copy, delivery, place = held
        aside = place == REAPED or delivery >= self.conditions.deliveries
        return _with(messages, held, (number, copy, delivery, ASIDE if aside else WAITING))

    # -- what must hold ------------------------------------------------------------------------------------------------

    def _check(self, before: tuple[int, ...], after: tuple[int, ...], worker: Worker, what: str) -> None:
        held = worker[1]
        key = (before, after, held)
        if key in self._right:
            return
        then, now = self._all_nodes(before), self._all_nodes(after)
        aside = held and held[3] == REAPED
        try:
            self._truth.check_change(then, now, now, self._holds(held), aside=aside)
            if (head := self.machines.rows[after[0]].get(HEAD)) is not None and head.values["status"] in (
                "success",
                "failure",
            ):
                self._truth.check_end(str(head.values["status"]), now)
        except Violation as violation:
            raise Violation(f"{violation} ({self.described(worker)} {what})") from None
        self._right.add(key)

    def _holds(self, held: Held) -> Callable[[str], bool]:
        if not held:
            return lambda claim: False
        number, copy, delivery, place = held
        sequence = number * COPIES + copy + 1
        left = str(self.machines.messages[number].properties.get(CLAIMS, "")).split()
        if place == REAPED:
            return lambda claim: claim.startswith(f"{sequence}.") or claim in left
        return lambda claim: claim == f"{sequence}.{delivery}"

    def _all_nodes(self, rows: tuple[int, ...]) -> dict[int, Node]:
        nodes: dict[int, Node] = {}
        for partition, number in enumerate(rows):
            if number:
                nodes |= self._nodes_in(partition, number)
        return nodes

    def _nodes_in(self, partition: int, number: int) -> dict[int, Node]:
        if number not in self._nodes:
            found = {}
            for key, entity in self.machines.rows[number].items():
                if key.startswith(("node-", "callback-")):
                    place = CALLBACK if key.startswith("callback") else (partition - 1) * 100 + int(key[5:])
                    values = entity.values
                    node = Node(str(values["status"]), int(str(values["attempt"])), str(values.get("claim", "")))
                    found[self._numbers[place]] = node
            self._nodes[number] = found
        return self._nodes[number]

    # -- names ---------------------------------------------------------------------------------------------------------

    def _of(self, message: int) -> tuple[str, int, int]:
        """The row of a message's node, its partition, and how many wakes led to it."""
        if message not in self._about:
            sent = self.machines.messages[message]
            content = decoded(sent.body)
            if isinstance(content, NodeMessage):
                partition, row = content.graph.node(content.number)
                about = (row, self.machines.partitions.index(partition), self._wakes(sent.message_id))
            else:
                assert isinstance(content, WatchMessage)
                about = ("", 0, 0)
            self._about[message] = about
        return self._about[message]

    def _is_watch(self, message: int) -> bool:
        return not self._of(message)[0]

    def _wakes(self, message_id: str) -> int:
        _, wake, sequence = message_id.rpartition("/w")
        return 1 + self._of((int(sequence) - 1) // COPIES)[2] if wake else 0

    def _name(self, message: Held) -> str:
        number, copy, delivery, _ = message
        return f"{self.machines.messages[number].message_id}{'*' * copy}{f' ({delivery}.)' if delivery else ''}"

    def described(self, worker: Worker | None) -> str:
        """Who that is."""
        if worker is None:
            return ""
        zombie, held, machine, at = worker
        if not held:
            return "publisher"
        kind = "reaper" if held[3] == REAPED else "worker"
        return f"{'zombie ' if zombie else ''}{kind} of {self._name(held)}"


_AS_IT_IS: Final[Sequence[tuple[str, ...]]] = ((),)


def _without_one(budget: Budget, fault: str) -> Budget | None:
    left = getattr(budget, fault)
    return budget._replace(**{fault: left - 1}) if left else None


def _lives(world: World, claim: tuple[int, int, int]) -> bool:
    return any(not worker[0] and worker[1] == (*claim, LOCKED) for worker in world.workers)


def _publishes(world: World) -> bool:
    return any(not worker[0] and not worker[1] for worker in world.workers)


def _without(workers: tuple[Worker, ...], worker: Worker) -> tuple[Worker, ...]:
    at = workers.index(worker)
    return workers[:at] + workers[at + 1 :]


def _and(items: tuple, item: object) -> tuple:
    return tuple(sorted((*items, item)))


def _with(messages: tuple[Held, ...], old: Held, new: Held | None = None) -> tuple[Held, ...]:
    at = messages.index(old)
    rest = messages[:at] + messages[at + 1 :]
    return rest if new is None else tuple(sorted((*rest, new)))
