"""How is a graph cancelled? A machine: `step(state, event) -> (state, effect)`, for users and for the watchdog.

First the head says that the graph is being cancelled, so that nobody asks for another attempt any more. Then all that
is pending is marked block by block, under its ETags: what was claimed meanwhile is not touched, and ends by itself. At
last every block is looked at again, as after any other write, and whoever sees all of them ended ends the graph. The
graphs that nodes have become and wait for are cancelled in the same way.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from .. import effects as fx
from .. import table_effects as tx
from ..entities import Where
from ..errors import IllegalTransition
from . import advance
from .heads import ENDS, GraphStatus, HeadRow, head_changed, head_partition, head_row
from .keys import BLOCK, CALLBACK, GraphKey
from .rows import NodeRow, NodeStatus, node_row, nodes_in
from .writing import cancelled


class Phase(enum.StrEnum):
    """Which answer it waits for."""

    READING = "reading"
    FLAGGING = "flagging"
    SURVEYING = "surveying"
    LOOKING = "looking"
    MARKING = "marking"
    SIZING = "sizing"
    ADVANCING = "advancing"
    TELLING = "telling"
    CONCLUDING = "concluding"
    DONE = "done"
    #: There is no such graph.
    GONE = "gone"
    HELD = "held"


class State(NamedTuple):
    """Where cancelling stands.

    `graph_id` is the graph that was asked for; `graphs` are the ids of those that are still to be cancelled, of which
    the first is under way. `head` is its head; `blocks` are those of its blocks that are still to be marked; `visits`
    what is to be looked at when all are.
    """

    graph_id: str
    graphs: tuple[str, ...]
    phase: Phase = Phase.READING
    head: HeadRow | None = None
    blocks: tuple[int, ...] = ()
    visits: tuple[advance.Visit, ...] = ()
    advance: advance.State | None = None


Step: TypeAlias = tuple[State, fx.Effect | tx.TableEffect]


def started(graph_id: str) -> Step:
    """Cancel a graph. Ends with Settle, naming the graph's status then, or GONE; or with Hold."""
    return _read(State(graph_id, (graph_id,)))


def step(state: State, event: Any) -> Step:
    """What `event` leads to: the next state, and the one thing to do now."""
    if isinstance(event, fx.StoreDown):
        return _hold(state, event.error)
    if isinstance(event, tx.Missing):
        return _next_graph(state)  # it is being removed
    if state.phase is Phase.ADVANCING and state.advance is not None:
        return _follow(state, *advance.step(state.advance, event))
    decide = TRANSITIONS.get((state.phase, type(event)))
    if decide is None:
        raise IllegalTransition("cancelling", state.phase.name, event)
    return decide(state, event)


# -- the head ----------------------------------------------------------------------------------------------------------


def _read(state: State) -> Step:
    return state._replace(phase=Phase.READING), tx.Read(*GraphKey(state.graphs[0]).head, ENDS)


def _found(state: State, event: tx.Found) -> Step:
    if event.entity is None:
        return _next_graph(state)
    head = head_row(state.graphs[0], event.entity)
    if head.status.ended:
        return _next_graph(state)
    state = state._replace(head=head)
    if head.status is GraphStatus.CANCELLING:
        return _survey(state)
    flag = head_changed(head, status=str(GraphStatus.CANCELLING))
    return state._replace(phase=Phase.FLAGGING), tx.Write((flag,))


def _flagged(state: State, event: tx.Written) -> Step:
    return _survey(state)


def _flag_refused(state: State, event: tx.Refused) -> Step:
    return _read(state)


def _survey(state: State) -> Step:
    graph = _head(state).graph
    this_epoch = (Where("epoch", "eq", graph.epoch),)
    return state._replace(phase=Phase.SURVEYING), tx.Query(*graph.ends, where=this_epoch, select=(*ENDS, "subgraph"))


def _surveyed(state: State, event: tx.Queried) -> Step:
    found = head_partition(_head(state).graph, event.entities)
    ended = {end.block for end in found.ends}
    open_blocks = tuple(block for block in range(_head(state).blocks) if block not in ended)
    state = _and_graphs_of(state, [] if found.callback is None else [found.callback])
    return _next_block(state._replace(blocks=open_blocks, visits=()), event.now)


# -- blocks ------------------------------------------------------------------------------------------------------------


def _next_block(state: State, now: float) -> Step:
    if state.blocks:
        return _look(state)
    graph = _head(state).graph
    if state.visits:
        return _follow(state, *advance.resumed(graph, state.visits, now))
    # All have ended before; whoever ended the last one may have died before ending the graph.
    return _follow(state, *advance.started(graph, NodeRow(CALLBACK), now))


def _look(state: State) -> Step:
    where = _head(state).graph.nodes(state.blocks[0])
    query = tx.Query(*where, where=advance.NOT_SUCCEEDED, select=_SELECTED)
    return state._replace(phase=Phase.LOOKING), query


def _looked(state: State, event: tx.Queried) -> Step:
    graph, block = _head(state).graph, state.blocks[0]
    rows = [*nodes_in(event.entities, block).values()]
    if not rows:
        return state._replace(phase=Phase.SIZING), tx.Read(*graph.node(block * BLOCK), _SELECTED)
    state = _and_visit(_and_graphs_of(state, rows), rows[0])
    marks = [cancelled(graph, row, event.now) for row in rows if row.status is NodeStatus.PENDING]
    if not marks:
        return _next_block(state, event.now)
    return state._replace(phase=Phase.MARKING), tx.Write(tuple(mark for (mark,) in marks))


def _sized(state: State, event: tx.Found) -> Step:
    if event.entity is None:
        return _next_graph(state)
    row = node_row(event.entity, state.blocks[0] * BLOCK)
    return _next_block(_and_visit(state, row), event.now)


def _and_visit(state: State, row: NodeRow) -> State:
    # Nobody is condemned by a look from this node: all that could be are marked.
    start = NodeRow(row.number, row.status, size=row.size)
    visit = advance.Visit(state.blocks[0], (start,))
    return state._replace(blocks=state.blocks[1:], visits=(*state.visits, visit))


def _marked(state: State, event: tx.Written) -> Step:
    return _next_block(state, event.now)


def _mark_refused(state: State, event: tx.Refused) -> Step:
    """Somebody has claimed one of them, or has asked for another attempt."""
    *visits, this = state.visits
    return _look(state._replace(blocks=(this.block, *state.blocks), visits=tuple(visits)))


# -- what follows ------------------------------------------------------------------------------------------------------


def _follow(state: State, going: advance.State, effect: tx.TableEffect | None) -> Step:
    if effect is not None:
        return state._replace(phase=Phase.ADVANCING, advance=going), effect
    messages = advance.messages(going, home=_head(state).queue)
    state = state._replace(advance=None, visits=())
    if not messages:
        return _next_graph(state)
    return state._replace(phase=Phase.TELLING), fx.Send(tuple(messages))


def _told(state: State, event: fx.Sent) -> Step:
    return _next_graph(state)


def _not_told(state: State, event: fx.NotAccepted | fx.Undeliverable) -> Step:
    return _hold(state, event.error if isinstance(event, fx.NotAccepted) else event.messages[0][1])


def _and_graphs_of(state: State, rows: Iterable[NodeRow]) -> State:
    waiting = [row.subgraph for row in rows if row.status is NodeStatus.WAITING]
    return state._replace(graphs=tuple(dict.fromkeys((*state.graphs, *waiting))))


def _next_graph(state: State) -> Step:
    state = state._replace(graphs=state.graphs[1:], head=None, blocks=(), visits=(), advance=None)
    if state.graphs:
        return _read(state)
    return state._replace(phase=Phase.CONCLUDING), tx.Read(*GraphKey(state.graph_id).head, ("epoch", "status"))


def _concluded(state: State, event: tx.Found) -> Step:
    if event.entity is None:
        return state._replace(phase=Phase.GONE), fx.Settle(Phase.GONE)
    status = head_row(state.graph_id, event.entity).status
    return state._replace(phase=Phase.DONE), fx.Settle(status)


def _hold(state: State, why: str) -> Step:
    return state._replace(phase=Phase.HELD), fx.Hold(why)


def _head(state: State) -> HeadRow:
    if state.head is None:
        raise IllegalTransition("cancelling", state.phase.name, None)
    return state.head


_SELECTED: Final = ("status", "size", "subgraph")

_Decide: TypeAlias = Callable[[State, Any], Step]

TRANSITIONS: Final[Mapping[tuple[Phase, type], _Decide]] = {
    (Phase.READING, tx.Found): _found,
    (Phase.FLAGGING, tx.Written): _flagged,
    (Phase.FLAGGING, tx.Refused): _flag_refused,
    (Phase.SURVEYING, tx.Queried): _surveyed,
    (Phase.LOOKING, tx.Queried): _looked,
    (Phase.SIZING, tx.Found): _sized,
    (Phase.MARKING, tx.Written): _marked,
    (Phase.MARKING, tx.Refused): _mark_refused,
    (Phase.TELLING, fx.Sent): _told,
    (Phase.TELLING, fx.NotAccepted): _not_told,
    (Phase.TELLING, fx.Undeliverable): _not_told,
    (Phase.CONCLUDING, tx.Found): _concluded,
}
