"""How is a graph that has ended badly begun anew? A machine: `step(state, event) -> (state, effect)`.

In a new epoch, with rows of its own: those of nodes that have succeeded are copied as they are, all others as they were
published. Nothing of it counts before the head is switched to it. The watchdog's message goes out first: if whoever
reopens the graph dies, the watchdog ends what was begun. Two who do it at once write and send the same.

One look at all that has not succeeded, then it holds the rows of one block at a time. A graph of N nodes in full blocks
costs N/50 queries and N/100 + 5 transactions and reads (more for large tasks and results: a transaction holds 4 MiB).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from .. import effects as fx
from .. import table_effects as tx
from ..entities import Entity, Insert, Operation, in_transactions
from ..errors import IllegalTransition
from ..messages import Message
from . import readiness
from .advance import NOT_SUCCEEDED
from .block import Ready
from .children import Children
from .heads import Counts, EndRow, GraphStatus, HeadRow, end_inserted, head_changed, head_row
from .keys import CALLBACK, GraphKey, block_of, number_at
from .messages import NodeMessage, WatchMessage, node_message, watch_message
from .publishing import FIRST_WATCH, PUBLISHER_TIME
from .rows import WATCHED, NodeRow, NodeStatus, inserted, node_row

#: What the machine ends with when there is no such graph.
GONE: Final = "gone"


class Phase(enum.StrEnum):
    """Which answer it waits for."""

    READING = "reading"
    ANNOUNCING = "announcing"
    LOOKING = "looking"
    COPYING = "copying"
    WRITING = "writing"
    COMPARING = "comparing"
    RECALLING = "recalling"
    ENDING = "ending"
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

    `head` is that of the epoch that has ended. `block` is being looked at or copied. `seen` has what has not succeeded,
    until it was said that `stays` are nodes skipped for good and `first` those that run at once. `left` are the
    transactions still to be written, `ends` the ends of blocks in which nobody will run, `ready` the nodes to be sent.
    """

    graph_id: str
    announced: bool = False
    phase: Phase = Phase.READING
    head: HeadRow | None = None
    block: int = 0
    seen: tuple[tuple[readiness.Seen, ...], ...] = ()
    stays: frozenset[int] = frozenset()
    first: frozenset[int] = frozenset()
    left: tuple[tuple[Operation, ...], ...] = ()
    ends: tuple[EndRow, ...] = ()
    ready: tuple[Ready, ...] = ()


Step: TypeAlias = tuple[State, fx.Effect | tx.TableEffect]


def started(graph_id: str, *, announced: bool = False) -> Step:
    """Reopen a graph; `announced`: the watchdog of the new epoch knows. It ends with Settle: REOPENED or GONE; or Hold."""
    return _read(State(graph_id, announced))


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
    head, before = head_row(state.graph_id, event.entity), state.head
    if before is not None and head.graph.epoch > before.graph.epoch:
        return _reopened(state)  # somebody else was faster
    if head.status not in _REOPENS:
        return state._replace(phase=Phase.REFUSED), fx.Hold(_WHY_NOT[head.status])
    state = state._replace(head=head)
    if before is not None:
        return _switch(state)
    if state.announced:
        return _look(state)
    until = event.now + PUBLISHER_TIME
    watch = watch_message(
        WatchMessage(_new(state), head.blocks, until), queue=head.queue, not_before=event.now + FIRST_WATCH
    )
    return state._replace(phase=Phase.ANNOUNCING), fx.Send((watch,))


def _announced(state: State, event: fx.Sent) -> Step:
    return _look(state)


# -- who stays, and who begins -----------------------------------------------------------------------------------------


def _look(state: State) -> Step:
    head = _head(state)
    if state.block == head.blocks:
        seen = [one for block in state.seen for one in block]
        stays = readiness.for_good(seen)
        return _copy(state._replace(block=0, seen=(), stays=stays, first=readiness.first(seen)))
    where = head.graph.nodes(state.block)
    return state._replace(phase=Phase.LOOKING), tx.Query(*where, where=NOT_SUCCEEDED, select=WATCHED)


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
    copies = [_copy_of(state, entity) for entity in event.entities]
    ready = [one.ready for one in copies if one.ready is not None]
    ends = _end(state.block, copies)
    state = state._replace(ready=(*state.ready, *ready), ends=(*state.ends, *ends))
    return _write(state, in_transactions(one.operation for one in copies))


class _Copy(NamedTuple):
    """A row of the new epoch; `ready` if its node is to be sent, and how it has ended if it has."""

    operation: Insert
    ended: NodeStatus | None
    ready: Ready | None


def _copy_of(state: State, entity: Entity) -> _Copy:
    graph, number = _new(state), number_at(state.block, entity.row)
    row = node_row(entity, number)
    if row.status is NodeStatus.SUCCEEDED or number in state.stays:
        values = {name: value for name, value in entity.values.items() if name != "reason"}
        return _Copy(Insert(Entity(*graph.node(number), {**values, "epoch": graph.epoch})), row.status, None)
    child = row.sent or Children(number)
    return _Copy(inserted(graph, _as_published(row, graph)), None, Ready(number, child) if number in state.first else None)


def _as_published(row: NodeRow, graph: GraphKey) -> NodeRow:
    return NodeRow(
        row.number,
        epoch=graph.epoch,
        root=row.root,
        guarded=row.guarded,
        size=row.size,
        home=row.home,
        sent=row.sent,
        task_id=row.task_id,
        function=row.function,
        task=row.task,
        children=row.children,
        inputs=row.inputs,
        build=row.build,
    )


def _end(block: int, copies: Iterable[_Copy]) -> tuple[EndRow, ...]:
    ended = [one.ended for one in copies]
    if None in ended:
        return ()
    succeeded = ended.count(NodeStatus.SUCCEEDED)
    return (EndRow(block, Counts(succeeded=succeeded, skipped=len(ended) - succeeded)),)
