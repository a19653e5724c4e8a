"""What does the end of a node lead to? A machine within others: it looks, marks, looks again, and says whom to send.

`step(state, event) -> (state, effect)`; no effect: it is done, and `messages` says what to send. The order is fixed:
blocks are looked at until nothing is left to be marked; then arrivals; then the end of blocks; then the graph's. Every
writer looks after its *last* write in each block, so of several the last one sees the whole; two who both see it send
the same ids. Skips are walked again by everyone, also below what is skipped already: who marked it may have died.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from .. import table_effects as tx
from ..entities import ANY_ETAG, Operation, Where
from ..errors import IllegalTransition
from ..messages import NO_PROPERTIES, Message, Properties
from .block import Arrival, Ready, judged
from .children import due, falling
from .heads import (
    ENDS,
    Counts,
    EndRow,
    GraphStatus,
    HeadPartition,
    HeadRow,
    Parent,
    arrival_inserted,
    end_inserted,
    head_changed,
    head_partition,
)
from .keys import CALLBACK, GraphKey, block_of
from .messages import NodeMessage, node_message
from .rows import BARRIER, Looked, NodeRow, NodeStatus, changed, ended_as

NOT_SUCCEEDED: Final = (Where("status", "ne", NodeStatus.SUCCEEDED.value),)


class Phase(enum.StrEnum):
    """Which answer it waits for."""

    MARKING = "marking"
    LOOKING = "looking"
    ARRIVING = "arriving"
    GATHERING = "gathering"
    CLOSING = "closing"
    ENDING = "ending"
    FINISHING = "finishing"
    DONE = "done"
    #: The graph's rows were removed meanwhile.
    GONE = "gone"


class Visit(NamedTuple):
    """A block to be looked at: for all who wait for `starts`, or for those that were `skipped` here.

    Before that `condemned` are marked as skipped.
    """

    block: int
    starts: tuple[NodeRow, ...] = ()
    condemned: tuple[int, ...] = ()
    skipped: tuple[int, ...] = ()


class State(NamedTuple):
    """What is still to be done, and whom to send: nodes, and the node that became this graph if it has ended."""

    graph: GraphKey
    now: float
    phase: Phase = Phase.LOOKING
    visits: tuple[Visit, ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    ends: tuple[EndRow, ...] = ()
    ready: tuple[Ready, ...] = ()
    parent: Parent | None = None


Step: TypeAlias = tuple[State, tx.TableEffect | None]


def started(graph: GraphKey, own: NodeRow, now: float) -> Step:
    """Follow up the end of a node."""
    if own.number == CALLBACK:
        return _look_at_ends(State(graph, now))
    return resumed(graph, [Visit(block_of(own.number), (own,))], now)


def resumed(graph: GraphKey, visits: Iterable[Visit], now: float) -> Step:
    """Look at blocks, whoever has ended in them."""
    return _next(State(graph, now, visits=tuple(visits)))


def step(state: State, event: tx.TableEvent) -> Step:
    """What `event` leads to: the next state and the one thing to do now, or None."""
    if isinstance(event, tx.Missing):
        return state._replace(phase=Phase.GONE), None
    decide = TRANSITIONS.get((state.phase, type(event)))
    if decide is None:
        raise IllegalTransition("advance", state.phase.name, event)
    return decide(state._replace(now=event.now), event)


def messages(state: State, *, home: str, properties: Properties = NO_PROPERTIES) -> list[Message]:
    """What is to be sent when it is done. Children go out at generation 0: whoever repeats it sends the same ids."""
    to_send = [_message(state, ready, home, properties) for ready in state.ready]
    if state.parent is not None:
        parent = state.parent
        attempt = NodeMessage(parent.graph, parent.number, parent.attempt)
        suffix = f"/{state.graph.graph_id[:32]}"
        to_send.append(node_message(attempt, queue=parent.queue, suffix=suffix, properties=properties))
    return to_send


def _message(state: State, ready: Ready, home: str, properties: Properties) -> Message:
    later = due(ready.child, state.now)
    if ready.due > state.now:
        later = max(later or 0.0, ready.due)
    return node_message(
        NodeMessage(state.graph, ready.number, ready.attempt),
        queue=ready.child.queue or home,
        not_before=later,
        properties=properties,
    )


# -- blocks ------------------------------------------------------------------------------------------------------------


def _next(state: State) -> Step:
    if state.visits:
        return _mark(state) if state.visits[0].condemned else _look(state)
    if state.arrivals:
        return _arrive(state)
    if state.ends:
        return state._replace(phase=Phase.CLOSING), tx.Write((end_inserted(state.graph, state.ends[0]),))
    return state._replace(phase=Phase.DONE), None


def _mark(state: State) -> Step:
    return state._replace(phase=Phase.MARKING), tx.Write(skips(state.graph, state.visits[0].condemned, state.now))


def skips(graph: GraphKey, numbers: Iterable[int], now: float) -> tuple[Operation, ...]:
    """The operations that mark nodes of one block. Who is condemned is pending or marked already: no ETag is needed."""
    values = ended_as(NodeStatus.SKIPPED, now)
    return tuple(changed(graph, number, ANY_ETAG, **values) for number in numbers)


def _marked(state: State, event: tx.Written) -> Step:
    visit, *rest = state.visits
    return _look(state._replace(visits=(_now_skipped(visit), *rest)))


def _mark_again(state: State, event: tx.Refused) -> Step:
    return _mark(state)


def _now_skipped(visit: Visit) -> Visit:
    return visit._replace(condemned=(), skipped=(*visit.skipped, *visit.condemned))


def _look(state: State) -> Step:
    where = state.graph.nodes(state.visits[0].block)
    return state._replace(phase=Phase.LOOKING), tx.Query(*where, where=NOT_SUCCEEDED, select=BARRIER)


def _looked(state: State, event: tx.Queried) -> Step:
    visit, *rest = state.visits
    seen = Looked(event.entities, visit.block)
    skipped = [row for number in visit.skipped if (row := seen.get(number)) is not None]
    judgement = judged(visit.block, seen, [*visit.starts, *skipped])
    if judgement.condemned:
        return _mark(state._replace(visits=(visit._replace(condemned=judgement.condemned), *rest)))
    ends = state.ends if judgement.counts is None else (*state.ends, EndRow(visit.block, judgement.counts))
    return _next(
        state._replace(
            visits=_with(rest, judgement.elsewhere),
            arrivals=tuple({one[:2]: one for one in (*state.arrivals, *judgement.arrivals)}.values()),
            ready=_and(state.ready, judgement.ready),
            ends=tuple({end.block: end for end in ends}.values()),
        )
    )


def _with(visits: Iterable[Visit], condemned: Iterable[int]) -> tuple[Visit, ...]:
    """The visits, and those to the blocks of others that are condemned, one for each block."""
    planned = {visit.block: visit for visit in visits}
    found: dict[int, list[int]] = {}
    for number in condemned:
        found.setdefault(block_of(number), []).append(number)
    for block, numbers in found.items():
        visit = planned.get(block, Visit(block))
        planned[block] = visit._replace(condemned=tuple(dict.fromkeys((*visit.condemned, *numbers))))
    return tuple(planned.values())


def _and(ready: Iterable[Ready], more: Iterable[Ready]) -> tuple[Ready, ...]:
    return tuple({one.number: one for one in (*ready, *more)}.values())


# -- arrivals ----------------------------------------------------------------------------------------------------------


def _arrive(state: State) -> Step:
    number, block, _, failed = state.arrivals[0]
    return state._replace(phase=Phase.ARRIVING), tx.Write(
        (arrival_inserted(state.graph, number, block, failed=failed),)
    )


def _arrived(state: State, event: tx.Written | tx.Refused) -> Step:
    # A conflict is as good: somebody else has written the same. All that have come are looked at in any case.
    where = state.graph.arrivals(state.arrivals[0].number)
    return state._replace(phase=Phase.GATHERING), tx.Query(*where)


def _gathered(state: State, event: tx.Queried) -> Step:
    arrival, *rest = state.arrivals
    number, child = arrival.number, arrival.child
    state = state._replace(arrivals=tuple(rest))
    if len(event.entities) < child.blocks:
        return _next(state)
    if child.guard and not any(entity.values.get("failed") for entity in event.entities):
        return _next(state._replace(visits=_with(state.visits, falling(number, child.below))))
    return _next(state._replace(ready=_and(state.ready, [Ready(number, child)])))


# -- the end -----------------------------------------------------------------------------------------------------------


def _closed(state: State, event: tx.Written | tx.Refused) -> Step:
    # Several blocks can end in one go; the graph's end is looked at when all of their rows are written.
    state = state._replace(ends=state.ends[1:])
    return _look_at_ends(state) if not state.ends else _next(state)


def _look_at_ends(state: State) -> Step:
    this_epoch = (Where("epoch", "eq", state.graph.epoch),)
    return state._replace(phase=Phase.ENDING), tx.Query(*state.graph.ends, where=this_epoch, select=ENDS)


def _ends_looked_at(state: State, event: tx.Queried) -> Step:
    found = head_partition(state.graph, event.entities)
    head = found.head
    if head is None:
        return state._replace(phase=Phase.GONE), None
    if head.status.ended:
        return _next(state._replace(parent=head.parent))  # whoever ended it may have died before saying so
    if len(found.ends) < head.blocks:
        return _next(state)
    return _all_ended(state, head, found)


def _all_ended(state: State, head: HeadRow, found: HeadPartition) -> Step:
    counts, callback = sum((end.counts for end in found.ends), Counts()), found.callback
    operations: list[Operation] = [head_changed(head, status=str(_ending(head, counts)), finished_at=state.now)]
    if callback is not None and not callback.status.ended:
        if callback.status is not NodeStatus.PENDING:
            return _next(state)  # it runs: its own end is the graph's
        if counts.failed and head.callback is not None and head.status is not GraphStatus.CANCELLING:
            ready = Ready(CALLBACK, head.callback, callback.attempt, callback.due)
            return _next(state._replace(ready=_and(state.ready, [ready])))
        operations.append(changed(state.graph, CALLBACK, callback.etag, **ended_as(NodeStatus.SKIPPED, state.now)))
    return state._replace(phase=Phase.FINISHING, parent=head.parent), tx.Write(tuple(operations))


def _ending(head: HeadRow, counts: Counts) -> GraphStatus:
    if head.status is GraphStatus.CANCELLING:
        return GraphStatus.CANCELLED
    return GraphStatus.FAILED if counts.failed else GraphStatus.SUCCEEDED


def _finished(state: State, event: tx.Written) -> Step:
    return _next(state)


def _finish_refused(state: State, event: tx.Refused) -> Step:
    return _look_at_ends(state._replace(parent=None))


_Decide: TypeAlias = Callable[[State, Any], Step]

TRANSITIONS: Final[Mapping[tuple[Phase, type], _Decide]] = {
    (Phase.MARKING, tx.Written): _marked,
    (Phase.MARKING, tx.Refused): _mark_again,
    (Phase.LOOKING, tx.Queried): _looked,
    (Phase.ARRIVING, tx.Written): _arrived,
    (Phase.ARRIVING, tx.Refused): _arrived,
    (Phase.GATHERING, tx.Queried): _gathered,
    (Phase.CLOSING, tx.Written): _closed,
    (Phase.CLOSING, tx.Refused): _closed,
    (Phase.ENDING, tx.Queried): _ends_looked_at,
    (Phase.FINISHING, tx.Written): _finished,
    (Phase.FINISHING, tx.Refused): _finish_refused,
}
