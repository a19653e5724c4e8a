"""How is a graph played with faults at random, in virtual time? By one scheduler that lets anybody go on, step by step.

The real machines again, with queue and table in memory. Between any two effects of a delivery others may come, its
worker may die, or pause for so long that it has lost its lock and somebody else the claim.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from boilermaker_fn import effects as fx
from boilermaker_fn import table_effects as tx
from boilermaker_fn.entities import Operation, Value
from boilermaker_fn.graph_progress import publishing
from boilermaker_fn.graph_progress.keys import CALLBACK, Address
from boilermaker_fn.graph_progress.messages import NodeMessage, WatchMessage, decoded
from boilermaker_fn.graph_progress.opening import opened
from boilermaker_fn.messages import Message
from boilermaker_fn.outcomes import ErrorInfo, Failed, Interrupted, Outcome, Reason, RetryAsked, Succeeded
from boilermaker_fn.performing import performed
from boilermaker_fn.registry import registered
from boilermaker_fn.rules import Rules

from .drawn import Drawn
from .machines import at_once
from .queue import LOCK, MemoryQueue, Stored
from .rows import MemoryRows
from .said import heard, said
from .shapes import LAKE, WORK
from .truth import Node, Truth, Violation
from .verdict import End, check_end

START: Final = 1_900_000_000.0
#: No graph of ours takes as many steps; what does is running in circles.
MOST_STEPS: Final = 30_000


@dataclass(slots=True, eq=False)
class Worker:
    """Somebody at work on a delivery, or on publishing the graph; `ready` is when it goes on."""

    step: Any
    state: Any
    effect: Any
    stored: Stored | None = None
    delivery: int = 0
    ready: float = 0.0


class Played:
    """One graph, from its publication until nothing is left to do.

    There are so many `faults` at most. Only a `watched` one can lose messages, and its publisher: it has a watchdog.
    """

    def __init__(
        self, drawn: Drawn, chance: random.Random, *, faults: int, likelihood: float, watched: bool, loud: bool = False
    ) -> None:
        self.now = START
        self.said: list[str] = []
        self.letters: set[str] = set()
        self.lost = False
        self._drawn = drawn
        self._chance = chance
        self._faults = faults
        self._likelihood = likelihood
        self._truth = Truth(drawn.layout.plan)
        self._concurrency = chance.choice((1, 2, 4, 8))
        self._loud = loud
        self._watched = watched
        self._etags = 0
        self.table = MemoryRows({}, self._etag, strict=False)
        self._queue = MemoryQueue()
        self._workers: list[Worker] = []
        self._graph = publishing.State(drawn.layout).graph
        numbers = dict(zip(drawn.layout.numbers, range(len(drawn.layout.numbers)), strict=True))
        self._rows = {self._graph.node(number): step for number, step in numbers.items()}
        self._rows[self._graph.node(CALLBACK)] = CALLBACK
        self.nodes: dict[int, Node] = {}
        self._last_published = 0.0
        self._trouble = False

    # -- the loop ------------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Play it to its end. Raises Violation."""
        state, effect = publishing.step(publishing.State(self._drawn.layout), publishing.Asked(self.now))
        self._workers.append(Worker(publishing.step, state, effect))
        steps = 0
        while self._someone_goes_on():
            steps += 1
            if steps > MOST_STEPS:
                raise Violation("it does not come to an end")
        end = End(self.table, self.nodes, self.letters, self._last_published, lost=self.lost)
        check_end(self._drawn, self._truth, end)

    def _someone_goes_on(self) -> bool:
        now, chance = self.now, self._chance
        able: list[Worker | Stored] = [worker for worker in self._workers if worker.ready <= now]
        if len(self._workers) < self._concurrency:
            able += [stored for stored in self._queue.messages if stored.due <= now]
        if able:
            one = able[int(chance.random() * len(able))]
            if isinstance(one, Worker):
                self._go_on(one)
            else:
                self._deliver(one)
            return True
        times = [worker.ready for worker in self._workers]
        if len(self._workers) < self._concurrency:
            times += [stored.due for stored in self._queue.messages]
        if not times:
            return False
        self.now = min(times)
        return True

    def _deliver(self, stored: Stored) -> None:
        if self._watched and self._strikes() and self._chance.random() < 0.2 and self._lose(stored):
            return
        delivery = self._queue.deliver(stored, self.now)
        step, state = opened(_RULES, delivery)
        state, effect = step(state, fx.SetAside(self.now) if stored.aside else fx.Delivered(self.now))
        self._say("is delivered, set aside" if stored.aside else "is delivered", stored)
        self._workers.append(Worker(step, state, effect, stored, stored.deliveries))

    def _lose(self, stored: Stored) -> bool:
        # Of the watchdog's messages none is lost: it is what a loss is repaired by.
        if type(decoded(stored.message.body)) is not NodeMessage:
            return False
        self._say("IS LOST", stored)
        self._queue.messages.remove(stored)
        self.lost = True
        return True

    # -- effects -------------------------------------------------------------------------------------------------------

    def _go_on(self, worker: Worker) -> None:
        if self._strikes() and self._stops(worker):
            return
        effect = worker.effect
        kind = type(effect)
        if kind is fx.Settle or kind is fx.Hold:
            self._finish(worker, settled=kind is fx.Settle)
            return
        if kind is fx.Send:
            event: Any = self._send(effect)
        elif kind is fx.Run:
            event = self._run(worker, effect)
            if event is None:
                return
        else:
            event = self._on_table(worker, effect)
        if self._loud:
            self._say(f"{said(effect)}: {heard(event)}", worker.stored)
        worker.state, worker.effect = worker.step(worker.state, event)

    def _stops(self, worker: Worker) -> bool:
        """Whether a worker that a fault has struck does not go on now."""
        drawn = self._chance.random()
        if not self._watched and worker.stored is None:
            return False
        if drawn < 0.3:
            self._say("worker DIES", worker.stored)
            self._workers.remove(worker)
            return True
        if drawn < 0.6:
            pause = self._chance.choice((LOCK / 2, LOCK, 3 * LOCK, 1000.0, 3000.0))
            self._say(f"worker PAUSES for {pause:g} s", worker.stored)
            worker.ready = self.now + pause
            return True
        # What it asks for next fails; see there.
        self._trouble = True
        return False

    def _finish(self, worker: Worker, *, settled: bool) -> None:
        self._workers.remove(worker)
        stored = worker.stored
        if stored is None:
            if worker.state.phase is publishing.Phase.HELD:  # whoever publishes tries again
                state, effect = publishing.step(publishing.State(self._drawn.layout), publishing.Asked(self.now))
                self._workers.append(Worker(publishing.step, state, effect))
            return
        if not self._queue.is_locked(stored, worker.delivery, self.now):
            self._say("lost its lock before it was settled", stored)
        elif settled:
            self._queue.messages.remove(stored)
            self._say(f"is settled: {worker.effect.ending}", stored)
        else:
            stored.due = self.now
            self._say(f"goes back: {worker.effect.why}", stored)

    def _send(self, effect: fx.Send) -> Any:
        refused = self._in_trouble()
        accepted = len(effect.messages) if not refused else self._chance.randint(0, len(effect.messages))
        for message in effect.messages[:accepted]:
            self._accept(message)
        return fx.NotAccepted("down") if refused else fx.Sent()

    def _accept(self, message: Message) -> None:
        if message.queue == LAKE:
            self.letters.add(str(message.properties["task_id"]))
            return
        if not self._watched and type(decoded(message.body)) is WatchMessage:
            return
        if self._queue.has_seen(message, self.now) and not (self._strikes() and self._chance.random() < 0.5):
            return
        self._queue.accept(message, self.now)

    def _run(self, worker: Worker, effect: fx.Run) -> Any:
        task = effect.task
        behaviour = self._drawn.behaviours[task.task_id]
        if behaviour.takes and not worker.ready:
            worker.ready = self.now + behaviour.takes
            if worker.stored is not None and self._queue.is_locked(worker.stored, worker.delivery, self.now):
                worker.stored.due = worker.ready + LOCK  # it is renewed
            return None
        worker.ready = 0.0
        if self._in_trouble():
            outcome: Outcome = Interrupted()
        elif task.attempt <= behaviour.retries:
            outcome = RetryAsked(ErrorInfo("RetryException", "again"))
        elif behaviour.fails:
            outcome = Failed(Reason.TaskFailed, ErrorInfo("ValueError", "boom"))
        else:
            outcome = Succeeded("null")
        return fx.Ran(outcome, self.now, self.now, self._chance.random())

    def _on_table(self, worker: Worker, effect: tx.TableEffect) -> Any:
        trouble = self._in_trouble()
        if trouble and self._chance.random() < 0.5:
            return fx.StoreDown("no answer", self.now)
        event = at_once(performed(effect, self.table, lambda: self.now))
        if isinstance(effect, tx.Write) and type(event) is tx.Written:
            self._written(effect.operations, worker)
        return fx.StoreDown("no answer", self.now) if trouble else event

    # -- faults --------------------------------------------------------------------------------------------------------

    def _strikes(self) -> bool:
        if not self._faults or self._chance.random() > self._likelihood:
            return False
        self._faults -= 1
        return True

    def _in_trouble(self) -> bool:
        trouble, self._trouble = self._trouble, False
        return trouble

    # -- what must hold ------------------------------------------------------------------------------------------------

    def _etag(self, values: Mapping[str, Value]) -> str:
        self._etags += 1
        return str(self._etags)

    def _written(self, operations: tuple[Operation, ...], worker: Worker) -> None:
        before, changed = self.nodes, {}
        for operation in operations:
            address = Address(*operation.entity[:2])
            if (number := self._rows.get(address)) is not None:
                row = self.table.partitions[address[0]].get(address[1])
                if row is not None:
                    changed[number] = Node.read(row)
        self.nodes = {**before, **changed}
        state = worker.state
        if worker.stored is None:
            self._last_published = self.now
        aside = getattr(state, "aside", False)
        mine = str(getattr(state, "claim", ""))
        self._truth.check_change(before, self.nodes, changed, lambda claim: aside or claim == mine, aside=aside)

    def _say(self, what: str, stored: Stored | None) -> None:
        if self._loud:
            who = "publisher" if stored is None else str(stored)
            self.said.append(f"at {self.now - START:g}: {who} {what}")


async def _work(state: object) -> None:
    """Never called: how an attempt ends is drawn."""


_RULES: Final = Rules({WORK: registered(_work, {"name": WORK, "timeout": 100.0})}, LAKE, True, 256 * 1024)
