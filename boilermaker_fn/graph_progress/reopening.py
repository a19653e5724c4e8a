"""How is a graph that has ended badly begun anew? A machine: `step(state, event) -> (state, effect)`.

In a new epoch, with rows of its own: those of nodes that begin anew are copied as they were published, all others as
they are. Nothing of it counts before the head is switched to it. The watchdog's message goes out first: if whoever
reopens the graph dies, the watchdog ends what was begun. Two who do it at once write and send the same.

One look at what waits for what, then it holds the rows of one block at a time. A graph of N nodes in full blocks
costs N/50 queries and N/100 + 5 transactions and reads (more for large tasks and results: a transaction holds 4 MiB;
and where nodes wait for several blocks, one for each two blocks of which one waits for the other).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from .. import effects as fx
from .. import table_effects as tx
from ..entities import Insert, Operation, in_transactions
from ..errors import IllegalTransition
from . import readiness, renewing
from .block import Ready
from .heads import EndRow, GraphStatus, HeadRow, end_inserted, head_changed, head_row
from .keys import CALLBACK, GraphKey
from .messages import NodeMessage, WatchMessage, node_message, watch_message
from .publishing import FIRST_WATCH, PUBLISHER_TIME
from .rows import WATCHED, node_row, nodes_in


class Phase(enum.StrEnum):
    """Which answer it waits for."""

    READING = "reading"
    ANNOUNCING = "announcing"
    LOOKING = "looking"
    COPYING = "copying"
    WRITING = "writing"
    COMPARING = "comparing"
    RECALLING = "recalling"
    SWITCHING = "switching"
    STARTING = "starting"
    #: It runs again.
    REOPENED = "reopened"
    #: There is no such graph.
    GONE = "gone"
    #: It may go on another time.
    HELD = "held"
    #: The graph is in no state to be reopened.
    REFUSED = "refused"


class State(NamedTuple):
    """Where reopening stands.

    `head` is that of the epoch that has ended: `leaving`. `block` is being looked at or copied; `seen` has the nodes of
    those looked at, until it is known who is `renewed`. `left` are transactions still to be written, `ends` the ends of
    blocks in which nobody will run, `ready` the nodes to be sent.
    """

    graph_id: str
    leaving: int | None = None
    phase: Phase = Phase.READING
    head: HeadRow | None = None
    block: int = 0
    seen: tuple[tuple[readiness.Seen, ...], ...] = ()
    renewed: readiness.Renewed = readiness.Renewed(frozenset(), frozenset())
    left: tuple[tuple[Operation, ...], ...] = ()
    ends: tuple[EndRow, ...] = ()
    ready: tuple[Ready, ...] = ()


Step: TypeAlias = tuple[State, fx.Effect | tx.TableEffect]


def started(graph_id: str, *, leaving: int | None = None) -> Step:
    """Reopen a graph; the watchdog of the next epoch says which one is `leaving`, and needs no message.

    Ends with Settle, REOPENED or GONE, or with Hold.
    """
    return _read(State(graph_id, leaving))


def step(state: State, event: Any) -> Step:
    """What `event` leads to: the next state, and the one thing to do now."""
    if isinstance(event, fx.StoreDown):
        return _hold(state, event.error)
    if isinstance(event, tx.Missing):
        return _gone(state)
    decide = TRANSITIONS.get((state.phase, type(event)))
    if decide is None:
        raise IllegalTransition("reopening", state.phase.name, event)
    return decide(state, event)


# -- may it be reopened? -----------------------------------------------------------------------------------------------


def _read(state: State) -> Step:
    return state._replace(phase=Phase.READING), tx.Read(*GraphKey(state.graph_id).head)


def _found(state: State, event: tx.Found) -> Step:
    if event.entity is None:
        return _gone(state)
    head, known = head_row(state.graph_id, event.entity), state.head is not None
    if state.leaving not in (None, head.graph.epoch):
        return _reopened(state)  # somebody else was faster
    if head.status not in _REOPENS:
        return state._replace(phase=Phase.REFUSED), fx.Hold(_WHY_NOT[head.status])
    announced = state.leaving is not None
    state = state._replace(head=head, leaving=head.graph.epoch)
    if known:
        return _switch(state)
    return _look(state) if announced else _announce(state, event.now)


def _announce(state: State, now: float) -> Step:
    head = _head(state)
    message = WatchMessage(_new(state), head.blocks, until=now + PUBLISHER_TIME)
    watch = watch_message(message, queue=head.queue, not_before=now + FIRST_WATCH)
    return state._replace(phase=Phase.ANNOUNCING), fx.Send((watch,))


def _announced(state: State, event: fx.Sent) -> Step:
    return _look(state)


# -- who begins anew ---------------------------------------------------------------------------------------------------


def _look(state: State) -> Step:
    head = _head(state)
    if state.block == head.blocks:
        renewed = readiness.renewed(one for block in state.seen for one in block)
        return _copy(state._replace(block=0, seen=(), renewed=renewed))
    return state._replace(phase=Phase.LOOKING), tx.Query(*head.graph.nodes(state.block), select=WATCHED)


def _looked(state: State, event: tx.Queried) -> Step:
    seen = (*state.seen, readiness.seen_in(event.entities, state.block))
    return _look(state._replace(block=state.block + 1, seen=seen))


# -- copies ------------------------------------------------------------------------------------------------------------


def _copy(state: State) -> Step:
    head = _head(state)
    if state.block == head.blocks:
        return _recall(state)
    return state._replace(phase=Phase.COPYING), tx.Query(*head.graph.nodes(state.block))


def _copied(state: State, event: tx.Queried) -> Step:
    rows = nodes_in(event.entities, state.block)
    ready = (renewing.ready(row) for number, row in rows.items() if number in state.renewed.first)
    end = renewing.end(state.block, rows.values(), state.renewed.anew)
    state = state._replace(ready=(*state.ready, *ready), ends=state.ends if end is None else (*state.ends, end))
    copies = (renewing.copied(_new(state), entity, state.block, state.renewed.anew) for entity in event.entities)
    arrivals = renewing.arrivals(_new(state), state.block, rows, state.renewed)
    return _write(state, [*in_transactions(copies), *arrivals])


def _recall(state: State) -> Step:
    head = _head(state)
    if head.callback is None:
        return _write_ends(state)
    return state._replace(phase=Phase.RECALLING), tx.Read(*head.graph.node(CALLBACK))


def _recalled(state: State, event: tx.Found) -> Step:
    if event.entity is None:
        return _gone(state)
    return _write_ends(state, renewing.as_published(_new(state), node_row(event.entity, CALLBACK)))


def _write_ends(state: State, *callback: Insert) -> Step:
    return _write(state, in_transactions([*callback, *(end_inserted(_new(state), end) for end in state.ends)]))


# -- writing what may be there -----------------------------------------------------------------------------------------


def _write(state: State, left: Iterable[tuple[Operation, ...]]) -> Step:
    state = state._replace(left=tuple(left))
    if state.left:
        return state._replace(phase=Phase.WRITING), tx.Write(state.left[0])
    if state.block < _head(state).blocks:
        return _copy(state._replace(block=state.block + 1))
    return _switch(state)


def _written(state: State, event: tx.Written) -> Step:
    return _write(state, state.left[1:])


def _refused(state: State, event: tx.Refused) -> Step:
    # What another one has written is as good: which rows are there?
    first, last = (operation.entity for operation in (state.left[0][0], state.left[0][-1]))
    query = tx.Query(first.partition, first.row, f"{last.row}~", select=("epoch",))
    return state._replace(phase=Phase.COMPARING), query


def _compared(state: State, event: tx.Queried) -> Step:
    there = {entity.row for entity in event.entities}
    missing = tuple(operation for operation in state.left[0] if operation.entity.row not in there)
    return _write(state, (missing, *state.left[1:]) if missing else state.left[1:])


# -- from here on it counts --------------------------------------------------------------------------------------------


def _switch(state: State) -> Step:
    change = head_changed(_head(state), epoch=_new(state).epoch, status=str(GraphStatus.RUNNING), finished_at=0.0)
    return state._replace(phase=Phase.SWITCHING), tx.Write((change,))


def _switch_refused(state: State, event: tx.Refused) -> Step:
    return _read(state)


def _switched(state: State, event: tx.Written) -> Step:
    graph, home = _new(state), _head(state).queue
    messages = tuple(readiness.message(graph, ready, home=home, now=event.now) for ready in state.ready)
    # Of a cancelled graph all can have succeeded; then one of them sees to its end.
    messages = messages or (node_message(NodeMessage(graph, 0), queue=home),)
    return state._replace(phase=Phase.STARTING), fx.Send(messages)


def _started(state: State, event: fx.Sent | fx.NotAccepted) -> Step:
    return _reopened(state)  # what was not sent the watchdog sends


def _cannot_be_started(state: State, event: fx.Undeliverable) -> Step:
    # What no queue takes the watchdog tells its node.
    return (state, fx.Send(event.left)) if event.left else _reopened(state)


def _reopened(state: State) -> Step:
    return state._replace(phase=Phase.REOPENED), fx.Settle(Phase.REOPENED)


# -- what stops it -----------------------------------------------------------------------------------------------------


def _gone(state: State) -> Step:
    return state._replace(phase=Phase.GONE), fx.Settle(Phase.GONE)


def _hold(state: State, why: str) -> Step:
    return state._replace(phase=Phase.HELD), fx.Hold(why)


def _not_announced(state: State, event: fx.NotAccepted | fx.Undeliverable) -> Step:
    return _hold(state, event.error if isinstance(event, fx.NotAccepted) else event.messages[0][1])


def _new(state: State) -> GraphKey:
    graph = _head(state).graph
    return graph._replace(epoch=graph.epoch + 1)


def _head(state: State) -> HeadRow:
    if state.head is None:
        raise IllegalTransition("reopening", state.phase.name, None)
    return state.head


_REOPENS: Final = (GraphStatus.FAILED, GraphStatus.CANCELLED)
_WHY_NOT: Final = {
    GraphStatus.PREPARED: "has not begun",
    GraphStatus.RUNNING: "is running: wait for its end, or cancel it",
    GraphStatus.CANCELLING: "is being cancelled: wait for its end",
    GraphStatus.SUCCEEDED: "has succeeded: there is nothing to retry",
    GraphStatus.ABANDONED: "was never complete: publish it again, under another id",
}

_Decide: TypeAlias = Callable[[State, Any], Step]

TRANSITIONS: Final[Mapping[tuple[Phase, type], _Decide]] = {
    (Phase.READING, tx.Found): _found,
    (Phase.ANNOUNCING, fx.Sent): _announced,
    (Phase.ANNOUNCING, fx.NotAccepted): _not_announced,
    (Phase.ANNOUNCING, fx.Undeliverable): _not_announced,
    (Phase.LOOKING, tx.Queried): _looked,
    (Phase.COPYING, tx.Queried): _copied,
    (Phase.RECALLING, tx.Found): _recalled,
    (Phase.WRITING, tx.Written): _written,
    (Phase.WRITING, tx.Refused): _refused,
    (Phase.COMPARING, tx.Queried): _compared,
    (Phase.SWITCHING, tx.Written): _switched,
    (Phase.SWITCHING, tx.Refused): _switch_refused,
    (Phase.STARTING, fx.Sent): _started,
    (Phase.STARTING, fx.NotAccepted): _started,
    (Phase.STARTING, fx.Undeliverable): _cannot_be_started,
}
