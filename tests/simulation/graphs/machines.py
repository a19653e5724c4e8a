"""How are the real machines explored fast? Whatever they can be in, and whatever rows there can be, has a number.

What a machine does with an answer depends on its state alone, and a table's answer on the rows of one partition: each
is worked out once, by the code that works in production, and then looked up. The clock stands still; a claim whose
time is over is shown as one that ended long ago. An ETag is a name for what a row holds.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, NamedTuple

from boilermaker_fn import effects as fx
from boilermaker_fn import table_effects as tx
from boilermaker_fn.entities import Entity, Insert, Value
from boilermaker_fn.graph_progress import publishing
from boilermaker_fn.graph_progress.heads import ENDS, STANDING
from boilermaker_fn.graph_progress.keys import CALLBACK, HEAD
from boilermaker_fn.graph_progress.layout import Layout
from boilermaker_fn.graph_progress.messages import WatchMessage, decoded
from boilermaker_fn.graph_progress.node_state import State as NodeState
from boilermaker_fn.graph_progress.opening import opened
from boilermaker_fn.messages import DEAD_LETTER_SUFFIX, Delivery, Message
from boilermaker_fn.outcomes import ErrorInfo, Failed, Outcome, Reason, RetryAsked, Succeeded
from boilermaker_fn.performing import performed
from boilermaker_fn.registry import registered
from boilermaker_fn.rules import Rules

from .conditions import Conditions
from .frozen import frozen
from .rows import MemoryRows, Rows
from .said import heard, said
from .shapes import LAKE, QUEUE, WORK

NOW: Final = 1_900_000_000.0
#: When whatever had a time limit has gone past it.
LATE: Final = NOW + 1e6
_LONG_AGO: Final = 1.0
#: Copies of one message that can be told apart: the one that was sent, and duplicates.
COPIES: Final = 8

# What a machine waits for.
TABLE, RUN, SEND, SETTLE, HOLD = range(5)
_KINDS: Final[dict[type, int]] = {
    tx.Read: TABLE, tx.Query: TABLE, tx.Write: TABLE,
    fx.Run: RUN, fx.Send: SEND, fx.Settle: SETTLE, fx.Hold: HOLD,
}  # fmt: skip


class Machine(NamedTuple):
    """A machine and what it has asked for.

    `partition` is where it reads or `writes`; `looks_at` is the row of which it matters whether its time is over, "*"
    for all of the partition, "" for none. `certain`: as long as nobody cancels, what it reads leads to one thing only.
    `sends` are the numbers of messages.
    """

    step: Callable[[Any, Any], Any]
    state: Any
    effect: Any
    kind: int
    partition: int = 0
    looks_at: str = ""
    writes: bool = False
    certain: bool = False
    sends: tuple[int, ...] = ()


class Answered(NamedTuple):
    """What asking the table leads to: the rows and the machine then, and which fault that takes."""

    label: str
    rows: int
    machine: int
    fault: str = ""


class Claimed(NamedTuple):
    """A node that somebody has claimed: its row, and which message, copy and delivery that was."""

    row: str
    message: int
    copy: int
    delivery: int


class Machines:
    """Numbers for partitions, their rows, messages and machines."""

    def __init__(self, layout: Layout, conditions: Conditions) -> None:
        self.layout = layout
        self.graph = publishing.State(layout).graph
        self.machines: list[Machine] = []
        self.messages: list[Message] = []
        #: For each message the first one that had its id: the queue takes one of them.
        self.ids: list[int] = []
        self.rows: list[Rows] = [{}]
        self.claimed: list[tuple[Claimed, ...]] = [()]
        self.partitions: list[str] = [self.graph.head_partition]
        self.partitions += [self.graph.block_partition(block) for block in range(len(layout.blocks))]
        self._conditions = conditions
        self._rules = Rules({WORK: registered(_work, {"name": WORK})}, LAKE, True, 256 * 1024)
        self._numbers: dict[Any, int] = {(): 0}
        self._etags: dict[Any, str] = {}
        self._answered: dict[tuple[int, int, tuple[str, ...]], list[Answered]] = {}
        self._fed: dict[tuple[int, str], int] = {}
        self._taken: dict[tuple[int, int, int, int], int] = {}
        self._ran: dict[int, list[tuple[str, int]]] = {}

    # -- messages ------------------------------------------------------------------------------------------------------

    def message(self, message: Message) -> int:
        """The number of a message."""
        key = ("message", message.message_id, message.body)
        if key not in self._numbers:
            self._numbers[key] = len(self.messages)
            self.messages.append(message)
            self.ids.append(self._numbers.setdefault(("id", message.message_id), self._numbers[key]))
        return self._numbers[key]

    def taken(self, message: int, copy: int, delivery: int, place: int) -> int:
        """The machine that takes a delivery."""
        key = (message, copy, delivery, place)
        if key not in self._taken:
            of = self.messages[message]
            aside = place == 3
            step, state = opened(
                self._rules,
                Delivery(
                    QUEUE + DEAD_LETTER_SUFFIX if aside else QUEUE,
                    of.message_id,
                    of.body,
                    sequence_number=message * COPIES + copy + 1,
                    delivery_count=delivery,
                    properties=of.properties,
                ),
            )
            self._taken[key] = self._stepped(step, state, fx.SetAside(NOW) if aside else fx.Delivered(NOW))
        return self._taken[key]

    # -- machines ------------------------------------------------------------------------------------------------------

    def publisher(self) -> int:
        """The machine that publishes the graph."""
        return self._stepped(publishing.step, publishing.State(self.layout), publishing.Asked(NOW))

    def sent(self, machine: int) -> int:
        """The machine, when all it sends was accepted."""
        return self._fed_with(machine, "sent", fx.Sent())

    def not_accepted(self, machine: int) -> int:
        """The machine, when not all it sends was accepted."""
        return self._fed_with(machine, "not accepted", fx.NotAccepted("down"))

    def ran(self, machine: int) -> list[tuple[str, int]]:
        """How an attempt can end, and the machine then."""
        if machine not in self._ran:
            self._ran[machine] = [
                (label, self._fed_with(machine, label, fx.Ran(outcome, NOW, NOW, 1.0)))
                for label, outcome in self._outcomes(self.machines[machine].state)
            ]
        return self._ran[machine]

    def answered(self, machine: int, rows: int, expired: tuple[str, ...]) -> list[Answered]:
        """What can come of asking the table. The claims on the rows `expired` are shown as having ended."""
        key = (machine, rows, expired)
        if key not in self._answered:
            self._answered[key] = self._all_answers(self.machines[machine], rows, expired)
        return self._answered[key]

    def _all_answers(self, machine: Machine, before: int, expired: tuple[str, ...]) -> list[Answered]:
        rows = dict(self.rows[before])
        late = HEAD in expired
        for row in () if late else expired:
            rows[row] = rows[row]._replace(values={**rows[row].values, "claimed_until": _LONG_AGO})
        table = MemoryRows({self.partitions[machine.partition]: rows}, self._etag)
        event = at_once(performed(machine.effect, table, lambda: LATE if late else NOW))
        after = self._numbered_rows(rows) if isinstance(event, tx.Written) else before
        label = f"{said(machine.effect)}: {heard(event)}{' (its time is over)' if expired else ''}"

        def then(event: Any) -> int:
            return self._stepped(machine.step, machine.state, event)

        answers = [Answered(label, after, then(event))]
        budget, down = self._conditions.budget, fx.StoreDown("no answer", NOW)
        if budget.down:
            answers.append(Answered(f"{label}: NO ANSWER", before, then(down), "down"))
        if budget.down and after != before:
            answers.append(Answered(f"{label}: ANSWER LOST", after, then(down), "down"))
        if budget.ambiguous and after != before and _seems_refused(machine.effect):
            # An SDK that tried again after the first answer was lost.
            answers.append(Answered(f"{label}: DONE, BUT CALLED REFUSED", after, then(tx.Refused(NOW)), "ambiguous"))
        return answers

    def _outcomes(self, state: NodeState) -> list[tuple[str, Outcome]]:
        assert state.task is not None
        assert state.message is not None
        outcomes: list[tuple[str, Outcome]] = [("succeeds", Succeeded("null"))]
        if self._conditions.fails:
            outcomes.append(("fails", Failed(Reason.TaskFailed, ErrorInfo("ValueError", "boom"))))
        if state.task.attempt <= self._conditions.retries and state.message.number != CALLBACK:
            outcomes.append(("asks for a retry", RetryAsked(ErrorInfo("RetryException", "again"))))
        return outcomes

    def _fed_with(self, machine: int, what: str, event: Any) -> int:
        key = (machine, what)
        if key not in self._fed:
            of = self.machines[machine]
            self._fed[key] = self._stepped(of.step, of.state, event)
        return self._fed[key]

    def _stepped(self, step: Callable[[Any, Any], Any], state: Any, event: Any) -> int:
        state, effect = step(state, event)
        key = ("machine", frozen(state), frozen(effect))
        if key not in self._numbers:
            self._numbers[key] = len(self.machines)
            self.machines.append(self._machine(step, state, effect))
        return self._numbers[key]

    def _machine(self, step: Callable[[Any, Any], Any], state: Any, effect: Any) -> Machine:
        kind = _KINDS[type(effect)]
        machine = Machine(step, state, effect, kind)
        if kind == TABLE:
            partition, looks_at = _where(effect)
            if partition not in self.partitions:
                self.partitions.append(partition)
            return machine._replace(
                partition=self.partitions.index(partition),
                looks_at=looks_at,
                writes=isinstance(effect, tx.Write),
                certain=getattr(effect, "select", None) == STANDING,
            )
        if kind == SEND:
            ours = [one for one in effect.messages if self._concerns_us(one)]
            return machine._replace(sends=tuple(dict.fromkeys(map(self.message, ours))))
        return machine

    def _concerns_us(self, message: Message) -> bool:
        if message.queue == LAKE:
            return False
        return self._conditions.budget.rounds > 0 or not isinstance(decoded(message.body), WatchMessage)

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _numbered_rows(self, rows: Rows) -> int:
        key = ("rows", *sorted((entity.partition, row, entity.etag) for row, entity in rows.items()))
        if key not in self._numbers:
            self._numbers[key] = len(self.rows)
            self.rows.append(rows)
            self.claimed.append(tuple(_claim(row, entity) for row, entity in rows.items() if _is_claimed(entity)))
        return self._numbers[key]

    def _etag(self, values: Mapping[str, Value]) -> str:
        return self._etags.setdefault(frozen(values), f"e{len(self._etags)}")


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def _is_claimed(entity: Entity) -> bool:
    return entity.values.get("status") == "started"


def _claim(row: str, entity: Entity) -> Claimed:
    sequence_number, delivery = map(int, str(entity.values["claim"]).split("."))
    return Claimed(row, (sequence_number - 1) // COPIES, (sequence_number - 1) % COPIES, delivery)


def _where(effect: tx.TableEffect) -> tuple[str, str]:
    if isinstance(effect, tx.Write):
        return effect.operations[0].entity.partition, ""
    if isinstance(effect, tx.Read):
        return effect.partition, effect.row if effect.select in (None, ENDS) else ""
    return effect.partition, "*" if effect.select and "claimed_until" in effect.select else ""


def _seems_refused(write: tx.Write) -> bool:
    return any(isinstance(one, Insert) or one.entity.etag != "*" for one in write.operations)


async def _work(state: object) -> None:
    """Never called: how an attempt ends is chosen."""
