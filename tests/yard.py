"""Where are a graph's machines tried by hand? On a table in memory and a queue that can lose things; no app, no runner.

The queue drops what it has seen before, as the real ones do: what is sent again under an old id never arrives.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from boilermaker_fn import effects as fx
from boilermaker_fn import table_effects as tx
from boilermaker_fn.entities import Entity
from boilermaker_fn.graph.plan import Plan, Step
from boilermaker_fn.graph_progress import cancelling, publishing, reopening
from boilermaker_fn.graph_progress.heads import GraphStatus, HeadRow, head_row
from boilermaker_fn.graph_progress.keys import CALLBACK, GraphKey
from boilermaker_fn.graph_progress.layout import Layout, laid_out
from boilermaker_fn.graph_progress.messages import NodeMessage, WatchMessage, decoded, is_for_graph
from boilermaker_fn.graph_progress.opening import opened
from boilermaker_fn.graph_progress.rows import NodeRow, NodeStatus, node_row
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import Delivery, Message
from boilermaker_fn.outcomes import ErrorInfo, Failed, Outcome, RetryAsked, Succeeded
from boilermaker_fn.performing import performed
from boilermaker_fn.retries import RetryPolicy
from boilermaker_fn.rules import Rules
from boilermaker_fn.task import Task
from tests.stage import ManualClock

HOME = "tasks"
LAKE = "dead"
DAY = 24 * 3600.0
LOCK = 60.0

GOOD = Succeeded("1")
BAD = Failed("TaskFailed", ErrorInfo("ValueError", "boom"))
AGAIN = RetryAsked(ErrorInfo("RetryException", "not yet"))


@dataclass
class _Work:
    policy: RetryPolicy = field(default_factory=lambda: RetryPolicy(max_tries=3, delay=60))
    acks_late: bool = True
    should_dead_letter: bool = False
    keep_result: bool = True
    expires: float | None = None
    timeout: float | None = 600.0
    on_loop: bool = True


RULES = Rules({"work": _Work()}, LAKE, True, 256 * 1024)


def work(name: str = "", **changes: Any) -> Task:
    """A task; its name, if it has one, is its id."""
    return Task(function_name="work", should_dead_letter=False, **({"task_id": name} if name else {}), **changes)


def step(*parents: int, guards: tuple[int, ...] = (), **changes: Any) -> Step:
    """A step that waits for others."""
    return Step(work(**changes), parents, guards)


def plan(*steps: Step, graph_id: str = "g", callback: Task | None = None) -> Plan:
    """A graph of these steps; the last one has its result."""
    return Plan(graph_id, steps, callback, finals=(len(steps) - 1,))


def fan(width: int) -> Plan:
    """One step, `width` that wait for it, and one that waits for all of those."""
    return plan(step(), *(step(0) for _ in range(width)), step(*range(1, width + 1)))


class Died(Exception):
    """A worker or a publisher was killed."""


class Yard:
    """One table, one queue, and workers as the test says.

    `outcomes` says how the attempts of a node end, in order, after which it succeeds. `ran` has the numbers of nodes
    whose function ran, in order; `sent` all messages, `operations` how many effects on rows there were.
    """

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.engine = LocalEngine(None, clock=self.clock)
        assert self.engine.table is not None
        self.table = self.engine.table
        self.outcomes: dict[tuple[str, int], list[Outcome]] = {}
        self.ran: list[int] = []
        self.sent: list[Message] = []
        self.operations = 0
        self._queue: list[tuple[float, int, Message]] = []
        self._known: dict[str, float] = {}
        self._deliveries: Counter[int] = Counter()
        self._count = 0

    # -- machines ------------------------------------------------------------------------------------------------------

    async def publish(self, graph: Plan | Layout, **how: Any) -> str:
        """Publish a graph."""
        layout = laid_out(graph, HOME) if isinstance(graph, Plan) else graph
        first = publishing.step(publishing.State(layout), publishing.Asked(self.clock()))
        return await self.drive(publishing.step, *first, **how)

    async def cancel(self, graph_id: str = "g", **how: Any) -> str:
        """Cancel a graph."""
        return await self.drive(cancelling.step, *cancelling.started(graph_id), **how)

    async def reopen(self, graph_id: str = "g", **how: Any) -> str:
        """Retry what failed."""
        return await self.drive(reopening.step, *reopening.started(graph_id), **how)

    async def deliver(self, message: Message, **how: Any) -> str:
        """Hand a message over that was never in the queue, or that somebody else has too."""
        self._count += 1
        return await self._deliver(message, self._count, 1, **how)

    async def _deliver(self, message: Message, sequence: int, count: int, **how: Any) -> str:
        now, (queue, message_id, body, *_) = self.clock(), message
        machine, state = opened(RULES, Delivery(queue, message_id, body, sequence, count, now, message.properties))
        return await self.drive(machine, *machine(state, fx.Delivered(now)), **how)

    async def drive(
        self,
        machine: Any,
        state: Any,
        effect: Any,
        *,
        die: Callable[[Any], bool] | None = None,
        meanwhile: Callable[[Any], Awaitable[None]] | None = None,
    ) -> str:
        """Perform what a machine asks for; how it ended, or why it held, after `held: `.

        `die` says before which effect whoever drives it is killed, which raises Died; `meanwhile` happens before each.
        """
        while True:
            if isinstance(effect, fx.Settle):
                return effect.ending
            if isinstance(effect, fx.Hold):
                return f"held: {effect.why}"
            if die is not None and die(effect):
                raise Died
            if meanwhile is not None:
                await meanwhile(effect)
            state, effect = machine(state, await self._perform(state, effect))

    async def _perform(self, state: Any, effect: Any) -> Any:
        now = self.clock()
        if isinstance(effect, fx.Send):
            self.send(*effect.messages)
            return fx.Sent()
        if isinstance(effect, fx.Run):
            number = state.message.number
            self.ran.append(number)
            left = self.outcomes.get((state.message.graph.graph_id, number))
            return fx.Ran(left.pop(0) if left else GOOD, now, now, 0.5)
        self.operations += 1
        return await performed(effect, self.table, self.clock)

    # -- the queue -----------------------------------------------------------------------------------------------------

    def send(self, *messages: Message) -> None:
        """What a queue takes, except what it has seen within two hours."""
        for message in messages:
            if self._known.get(message.message_id, 0) > self.clock() - 7200:
                continue
            self._known[message.message_id] = self.clock()
            self.sent.append(message)
            self._count += 1
            heapq.heappush(self._queue, (message.not_before or self.clock(), self._count, message))

    def waiting(self) -> list[Message]:
        """What is in the queue, in the order in which it becomes due."""
        return [message for _, _, message in sorted(self._queue, key=lambda one: one[:2])]

    def lose(self, number: int | None = None) -> list[Message]:
        """Lose what is queued for a node, or for all nodes."""
        lost = [message for message in self.waiting() if _is_for(message, number)]
        self._queue = [one for one in self._queue if one[2] not in lost]
        heapq.heapify(self._queue)
        return lost

    async def next(self, **how: Any) -> str:
        """Deliver the message that is due first, whenever that is; it comes again if its worker dies."""
        due, sequence, message = heapq.heappop(self._queue)
        self.clock.now = max(self.clock.now, due)
        self._deliveries[sequence] += 1
        try:
            return await self._deliver(message, sequence, self._deliveries[sequence], **how)
        except Died:
            heapq.heappush(self._queue, (self.clock() + LOCK, sequence, message))
            raise

    async def work(self, seconds: float = 0.0) -> None:
        """Deliver all that becomes due within so many seconds."""
        end = self.clock() + seconds
        while self._queue and self._queue[0][0] <= end:
            await self.next()
        self.clock.now = max(self.clock.now, end)

    async def play(self, within: float = 30 * DAY) -> None:
        """Deliver everything until the queue is empty, which must be before so many seconds have passed."""
        end = self.clock() + within
        while self._queue:
            assert self._queue[0][0] <= end, f"still going on: {self.waiting()}"
            await self.next()

    async def watch(self) -> str:
        """Deliver the watchdog's message, now."""
        (message,) = (one for one in self.waiting() if isinstance(decoded(one.body), WatchMessage))
        self._queue = [one for one in self._queue if one[2] != message]
        heapq.heapify(self._queue)
        return await self.deliver(message)

    # -- rows ----------------------------------------------------------------------------------------------------------

    async def head(self, graph_id: str = "g") -> HeadRow:
        """The head of a graph."""
        entity = await self.table.read(*GraphKey(graph_id).head)
        assert entity is not None
        return head_row(graph_id, entity)

    async def status(self, graph_id: str = "g") -> GraphStatus:
        """How a graph stands."""
        return (await self.head(graph_id)).status

    async def node(self, number: int, graph_id: str = "g") -> NodeRow:
        """A node in the epoch in which its graph is."""
        head = await self.head(graph_id)
        entity = await self.table.read(*head.graph.node(number))
        assert entity is not None
        return node_row(entity, number)

    async def nodes(self, graph_id: str = "g") -> str:
        """The first letters of how all nodes stand: success, failure, sKipped (Cancelled: X), pending, Running ..."""
        head = await self.head(graph_id)
        numbers = [number for number in range(head.blocks * 100) if await self.table.read(*head.graph.node(number))]
        callback = [CALLBACK] if head.callback is not None else []
        return "".join([_letter(await self.node(number, graph_id)) for number in [*numbers, *callback]])

    async def rows(self, partition: str) -> list[Entity]:
        """All rows of a partition."""
        return [*(await self.table.query(partition)).entities]


def writes(count: int) -> Callable[[Any], bool]:
    """Before the write of this number, from 1 on."""
    return _nth(count, tx.Write)


def sends(count: int) -> Callable[[Any], bool]:
    """Before this send, from 1 on."""
    return _nth(count, fx.Send)


def effects(count: int) -> Callable[[Any], bool]:
    """Before this effect, from 1 on."""
    return _nth(count, object)


def _nth(count: int, kind: type) -> Callable[[Any], bool]:
    seen: Counter[type] = Counter()

    def die(effect: Any) -> bool:
        seen[kind] += isinstance(effect, kind)
        return isinstance(effect, kind) and seen[kind] == count

    return die


def node_of(message: Message) -> NodeMessage | None:
    """The node a message is for."""
    content = decoded(message.body) if is_for_graph(message.body) else None
    return content if isinstance(content, NodeMessage) else None


def _is_for(message: Message, number: int | None) -> bool:
    node = node_of(message)
    return node is not None and number in (None, node.number)


def _letter(row: NodeRow) -> str:
    if row.status is NodeStatus.SKIPPED:
        return "x" if row.reason else "k"
    return {"success": "s", "failure": "f", "pending": "p", "started": "r", "waiting": "w"}[row.status]
