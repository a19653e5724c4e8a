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
from boilermaker_fn.entities import Entity, Operation, Value
from boilermaker_fn.graph_progress import publishing
from boilermaker_fn.graph_progress.keys import CALLBACK, HEAD
from boilermaker_fn.graph_progress.messages import NodeMessage, WatchMessage, decoded
from boilermaker_fn.graph_progress.opening import opened
from boilermaker_fn.messages import DEAD_LETTER_SUFFIX, Delivery, Message
from boilermaker_fn.outcomes import ErrorInfo, Failed, Interrupted, Outcome, Reason, RetryAsked, Succeeded
from boilermaker_fn.performing import performed
from boilermaker_fn.registry import registered
from boilermaker_fn.rules import Rules

from .drawn import Drawn
from .machines import at_once
from .rows import MemoryRows
from .shapes import LAKE, QUEUE, WORK
from .truth import ENDED, Node, Truth, Violation

LOCK: Final = 60.0
WINDOW: Final = 7200.0
DELIVERIES: Final = 3
START: Final = 1_900_000_000.0
#: No graph of ours takes as many steps; what does is running in circles.
MOST_STEPS: Final = 30_000


@dataclass(slots=True, eq=False)
class Stored:
    """A message in the queue, received so often; `due` is when it can be received, so the end of its lock."""

    message: Message
    sequence_number: int
    due: float
    deliveries: int = 0
    aside: bool = False


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
        self._queue: list[Stored] = []
        self._sequence = 0
        self._accepted: dict[str, float] = {}
        self._workers: list[Worker] = []
        self._graph = publishing.State(drawn.layout).graph
        numbers = dict(zip(drawn.layout.numbers, range(len(drawn.layout.numbers)), strict=True))
        self._rows = {self._graph.node(number): step for number, step in numbers.items()}
        self._rows[self._graph.node(CALLBACK)] = CALLBACK
        self.nodes: dict[int, Node] = {}
        self._last_published = 0.0

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
        self._check_end()

    def _someone_goes_on(self) -> bool:
        now, chance = self.now, self._chance
        able: list[Worker | Stored] = [worker for worker in self._workers if worker.ready <= now]
        if len(self._workers) < self._concurrency:
            able += [stored for stored in self._queue if stored.due <= now]
        if able:
            one = able[int(chance.random() * len(able))]
            if type(one) is Worker:
                self._go_on(one)
            else:
                self._deliver(one)
            return True
        times = [worker.ready for worker in self._workers]
        if len(self._workers) < self._concurrency:
            times += [stored.due for stored in self._queue]
        if not times:
            return False
        self.now = min(times)
        return True

    def _deliver(self, stored: Stored) -> None:
        if self._watched and self._strikes() and self._chance.random() < 0.2 and self._lose(stored):
            return
        if not stored.aside and stored.deliveries >= DELIVERIES:
            stored.aside = True
            self._say("is set aside", stored)
        stored.deliveries += 1
        stored.due = self.now + LOCK
        message = stored.message
        delivery = Delivery(
            message.queue + DEAD_LETTER_SUFFIX if stored.aside else message.queue,
            message.message_id,
            message.body,
            sequence_number=stored.sequence_number,
            delivery_count=stored.deliveries,
            enqueued_at=self.now,
            properties=message.properties,
        )
        step, state = opened(_RULES, delivery)
        state, effect = step(state, fx.SetAside(self.now) if stored.aside else fx.Delivered(self.now))
        self._say("is delivered", stored)
        self._workers.append(Worker(step, state, effect, stored, stored.deliveries))

    def _lose(self, stored: Stored) -> bool:
        # Of the watchdog's messages none is lost: it is what a loss is repaired by.
        if type(decoded(stored.message.body)) is not NodeMessage:
            return False
        self._say("IS LOST", stored)
        self._queue.remove(stored)
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
            self._say(f"{_said(effect)}: {_heard(event)}", worker.stored)
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
        if stored.deliveries != worker.delivery or stored.due <= self.now or stored not in self._queue:
            self._say("lost its lock before it was settled", stored)
        elif settled:
            self._queue.remove(stored)
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
        before = self._accepted.get(message.message_id)
        if before is not None and self.now - before < WINDOW and not (self._strikes() and self._chance.random() < 0.5):
            return
        self._accepted[message.message_id] = self.now
        self._sequence += 1
        self._queue.append(Stored(message, self._sequence, message.not_before or self.now))

    def _run(self, worker: Worker, effect: fx.Run) -> Any:
        task = effect.task
        behaviour = self._drawn.behaviours[task.task_id]
        if behaviour.takes and not worker.ready:
            worker.ready = self.now + behaviour.takes
            if worker.stored is not None and worker.stored.deliveries == worker.delivery:
                worker.stored.due = worker.ready + LOCK  # its lock is renewed
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
        if type(event) is tx.Written:
            self._written(effect.operations, worker)
        return fx.StoreDown("no answer", self.now) if trouble else event

    # -- faults --------------------------------------------------------------------------------------------------------

    _trouble = False

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
            address = operation.entity[:2]
            if (number := self._rows.get(address)) is not None:
                row = self.table.partitions[address[0]].get(address[1])
                if row is not None:
                    changed[number] = _node(row)
        self.nodes = {**before, **changed}
        state = worker.state
        if worker.stored is None:
            self._last_published = self.now
        aside = getattr(state, "aside", False)
        mine = str(getattr(state, "claim", ""))
        self._truth.check_change(before, self.nodes, changed, lambda claim: aside or claim == mine, aside=aside)

    def _check_end(self) -> None:
        head = self.table.partitions.get(self._graph.head_partition, {}).get(HEAD)
        status = "abandoned" if head is None else str(head.values["status"])
        if status == "abandoned":
            left = [row for row in self._rows if row[1] in self.table.partitions.get(row[0], {})]
            # Who writes later than that is found by whoever removes old graphs.
            if left and (head is None or self._last_published < float(str(head.values["finished_at"]))):
                raise Violation(f"the graph was not published, and there are rows of it: {left}")
            return
        if status not in ("success", "failure"):
            raise Violation(f"nothing is left to do, and the graph is {status}")
        self._truth.check_end(status, self.nodes)
        for number, node in self.nodes.items():
            self._check_outcome("callback" if number == CALLBACK else f"t{number}", node, number)

    def _check_outcome(self, name: str, node: Node, number: int) -> None:
        layout, behaviour = self._drawn.layout, self._drawn.behaviours[name]
        task = layout.plan.callback if number == CALLBACK else layout.plan.steps[number].task
        assert task is not None
        assert task.policy is not None
        fails = behaviour.fails or behaviour.retries >= task.policy.max_tries
        reaped = node.reason not in ("", Reason.TaskFailed, Reason.RetriesExhausted)
        if node.status != "skipped" and not reaped and (node.status == "failure") != fails:
            raise Violation(f"{name} has ended with {node.status}")
        if node.status == "failure" and name not in self.letters and not self.lost:
            raise Violation(f"{name} has failed without a dead letter")

    def _say(self, what: str, stored: Stored | None) -> None:
        if self._loud:
            who = "publisher" if stored is None else f"{stored.message.message_id} ({stored.deliveries}.)"
            self.said.append(f"at {self.now - START:g}: {who} {what}")


def _node(row: Entity) -> Node:
    values = row.values
    return Node(
        str(values["status"]), int(str(values["attempt"])), str(values.get("claim", "")), str(values.get("reason", ""))
    )


def _said(effect: Any) -> str:
    if isinstance(effect, tx.Write):
        return "writes " + ", ".join(f"{one.entity.row}={one.entity.values.get('status', '')}" for one in effect.operations)
    if isinstance(effect, fx.Send):
        return "sends " + ", ".join(message.message_id for message in effect.messages)
    return str(effect)[:120]


def _heard(event: Any) -> str:
    if isinstance(event, tx.Queried):
        return ", ".join(f"{one.row} {one.values.get('status', '')}" for one in event.entities)
    if isinstance(event, tx.Found):
        return "nothing" if event.entity is None else str(event.entity.values.get("status"))
    return str(getattr(event, "outcome", type(event).__name__))


async def _work(state: object) -> None:
    """Never called: how an attempt ends is drawn."""


_RULES: Final = Rules({WORK: registered(_work, {"name": WORK, "timeout": 100.0})}, LAKE, True, 256 * 1024)
