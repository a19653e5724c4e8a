"""What becomes of a delivery of a watchdog's message? A machine: `step(state, event) -> (state, effect)`.

There is one message for each epoch of a graph, which sends itself again with growing distance until the graph has
ended. Whoever gets it looks at all that has not succeeded, and sends what seems to be lost (repairs.py). What a
publisher left that died before the head was written is removed, behind a head that says so: one that is only late
meets it. What somebody left who reopened or cancelled the graph is brought to its end.

It writes rows of a running graph in one case only: a handler that waits in vain is marked as skipped, since those it
guards, having succeeded, are not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from .. import effects as fx
from .. import table_effects as tx
from ..entities import Where
from ..errors import IllegalTransition, StoreUnavailable
from ..messages import origin_of
from . import advance, cancelling, node_messages, readiness, removing, reopening, repairs
from .heads import ENDS, GraphStatus, HeadRow, head_changed, head_inserted, head_partition, head_row
from .rows import WATCHED, NodeStatus, node_row
from .watch_state import FINISHED, Phase, State, Step, again, head_of, hold, next_look, postpone, send, settle


def step(state: State, event: Any) -> Step:
    """What `event` leads to: the next state, and the one thing to do now."""
    try:
        return _decided(state, event)
    except StoreUnavailable:  # a row of a version that is not deployed here
        return postpone(state, event.now)


def _decided(state: State, event: Any) -> Step:
    if isinstance(event, fx.StoreDown):
        return postpone(state, event.now)
    go_on = _WITHIN.get(state.phase)
    if go_on is not None:
        return go_on(state, event)
    decide = TRANSITIONS.get((state.phase, type(event)))
    if decide is None:
        raise IllegalTransition("watchdog", state.phase.name, event)
    return decide(state, event)


# -- the head ----------------------------------------------------------------------------------------------------------


def _delivered(state: State, event: fx.Delivered) -> Step:
    if not state.rules.keeps_rows:
        return again(state, event.now)  # somebody with a table will get it
    return _read(state)


def _set_aside(state: State, event: fx.SetAside) -> Step:
    # Whatever made its deliveries fail would do so here: in its queue it has as many again.
    return again(state, event.now)


def _read(state: State) -> Step:
    return state._replace(phase=Phase.READING), tx.Read(*state.message.graph.head, ENDS)


def _read_again(state: State, event: tx.Refused | tx.Missing) -> Step:
    return _read(state)


def _head_found(state: State, event: tx.Found) -> Step:
    message, now = state.message, event.now
    if event.entity is None:
        return _not_there(state, now)
    head = head_row(message.graph.graph_id, event.entity)
    state = state._replace(head=head)
    if head.graph.epoch != message.graph.epoch:
        return _other_epoch(state, head)
    if head.status is GraphStatus.ABANDONED:
        return _remove(state)
    if head.status is GraphStatus.PREPARED:
        return _prepared(state, head, now)
    if head.status.ended:
        return send(state, [repairs.of_parent(message, head.parent)] if head.parent else [], "over")
    if head.status is GraphStatus.CANCELLING:
        return _cancelled(state, *cancelling.started(message.graph.graph_id))
    return _survey(state)


# -- what others left that died ----------------------------------------------------------------------------------------


def _not_there(state: State, now: float) -> Step:
    message = state.message
    if message.until == FINISHED or message.graph.epoch or state.head is not None:
        return settle(state, "gone")
    if now < message.until:
        return again(state, now)
    head = HeadRow(
        graph=message.graph,
        status=GraphStatus.ABANDONED,
        blocks=message.blocks,
        nodes=0,
        callback=None,
        queue=origin_of(state.delivery.queue),
        published_at=now,
        build="",
        finished_at=now,
    )
    return state._replace(phase=Phase.FENCING), tx.Write((head_inserted(head),))


def _prepared(state: State, head: HeadRow, now: float) -> Step:
    if now < state.message.until or head.parent is None:
        return again(state, now)
    where = head.parent.graph.node(head.parent.number)
    return state._replace(phase=Phase.ASKING), tx.Read(*where, ("status", "subgraph"))


def _asked(state: State, event: tx.Found) -> Step:
    head = head_of(state)
    if event.entity is not None and head.parent is not None:
        row = node_row(event.entity, head.parent.number)
        if repairs.waits_for(row, head):
            return again(state, event.now, [repairs.of_parent(state.message, head.parent)])
    abandoned = head_changed(head, status=str(GraphStatus.ABANDONED), finished_at=event.now)
    return state._replace(phase=Phase.FENCING), tx.Write((abandoned,))


def _fenced(state: State, event: tx.Written) -> Step:
    return _remove(state)


def _remove(state: State) -> Step:
    # There are no rows but those of nodes: what lies beside the head is written with it, or later.
    return _removed(state, *removing.started(state.message.graph, state.message.blocks))


def _removed(state: State, going: removing.State, effect: tx.TableEffect | None) -> Step:
    if effect is None:
        return settle(state, GraphStatus.ABANDONED)
    return state._replace(phase=Phase.REMOVING, within=going), effect


def _other_epoch(state: State, head: HeadRow) -> Step:
    message = state.message
    if head.graph.epoch != message.graph.epoch - 1 or message.until == FINISHED:
        return settle(state, "outdated")
    return _reopened(state, *reopening.started(message.graph.graph_id, leaving=head.graph.epoch))


def _reopened(state: State, going: reopening.State, effect: fx.Effect | tx.TableEffect) -> Step:
    if isinstance(effect, fx.Settle):
        return _read(state._replace(within=None))
    if going.phase is reopening.Phase.REFUSED:
        return settle(state, "outdated")
    return state._replace(phase=Phase.REOPENING, within=going), effect


def _cancelled(state: State, going: cancelling.State, effect: fx.Effect | tx.TableEffect) -> Step:
    if not isinstance(effect, fx.Settle):
        return state._replace(phase=Phase.CANCELLING, within=going), effect
    state = state._replace(within=None)
    return _survey(state) if effect.ending == GraphStatus.CANCELLING else _read(state)


# -- what a running graph has lost -------------------------------------------------------------------------------------


def _survey(state: State) -> Step:
    graph = state.message.graph
    this_epoch = (Where("epoch", "eq", graph.epoch),)
    return state._replace(phase=Phase.SURVEYING), tx.Query(*graph.ends, where=this_epoch, select=ENDS)


def _surveyed(state: State, event: tx.Queried) -> Step:
    found = head_partition(state.message.graph, event.entities)
    if found.head is None or found.head.status.ended:
        return _read(state)
    state = state._replace(head=found.head, found=found)
    if len(found.ends) >= found.head.blocks:
        return again(state, event.now, repairs.of_end(state.message, found.head, found, event.now))
    wholly = {end.block for end in found.ends if not any(end.counts[1:])}
    blocks = tuple(block for block in range(found.head.blocks) if block not in wholly)
    return _look(state._replace(blocks=blocks))


def _look(state: State) -> Step:
    where = state.message.graph.nodes(state.blocks[0])
    query = tx.Query(*where, where=advance.NOT_SUCCEEDED, select=WATCHED)
    return state._replace(phase=Phase.LOOKING), query


def _looked(state: State, event: tx.Queried) -> Step:
    block, *rest = state.blocks
    seen = (*state.seen, (block, readiness.seen_in(event.entities, block)))
    state = state._replace(blocks=tuple(rest), seen=seen)
    return _look(state) if rest else _repair(state, event.now)


def _repair(state: State, now: float) -> Step:
    head, message = head_of(state), state.message
    said = {end.block for end in state.found.ends}
    settled = [block for block, nodes in state.seen if block not in said and all(one.status.ended for one in nodes)]
    nodes = [one for _, nodes in state.seen for one in nodes]
    if head.status is GraphStatus.CANCELLING:  # nobody starts any more
        nodes = [one for one in nodes if one.status is not NodeStatus.PENDING]
    lost = readiness.lost(nodes, settled, now, next_look(message, now))
    state = state._replace(seen=(), to_send=tuple(repairs.of_nodes(message, head, lost, now)))
    if not lost.unneeded:
        return again(state, now)
    return _skipped(state, *advance.resumed(message.graph, repairs.visits(lost.unneeded), now))


def _skipped(state: State, going: advance.State, effect: tx.TableEffect | None) -> Step:
    if effect is not None:
        return state._replace(phase=Phase.SKIPPING, within=going), effect
    return again(state._replace(within=None), going.now, advance.messages(going, home=head_of(state).queue))


# -- the end -----------------------------------------------------------------------------------------------------------


def _sent(state: State, event: fx.Sent) -> Step:
    return settle(state, state.ending)


def _not_accepted(state: State, event: fx.NotAccepted) -> Step:
    return hold(state, f"what follows could not be sent: {event.error}")


def _undeliverable(state: State, event: fx.Undeliverable) -> Step:
    messages = [*event.left]
    for message, why in event.messages:
        instead = node_messages.not_deliverable(message, why, state.delivery, state.rules, event.now)
        if instead is None or message.queue == instead.queue:
            return hold(state, f"what follows could not be sent: {why}")
        messages.append(instead)
    return send(state, messages, state.ending)


_Decide: TypeAlias = Callable[[State, Any], Step]

_WITHIN: Final[Mapping[Phase, _Decide]] = {
    Phase.REMOVING: lambda state, event: _removed(state, *removing.step(state.within, event)),
    Phase.REOPENING: lambda state, event: _reopened(state, *reopening.step(state.within, event)),
    Phase.CANCELLING: lambda state, event: _cancelled(state, *cancelling.step(state.within, event)),
    Phase.SKIPPING: lambda state, event: _skipped(state, *advance.step(state.within, event)),
}

TRANSITIONS: Final[Mapping[tuple[Phase, type], _Decide]] = {
    (Phase.NEW, fx.Delivered): _delivered,
    (Phase.NEW, fx.SetAside): _set_aside,
    (Phase.READING, tx.Found): _head_found,
    (Phase.FENCING, tx.Written): _fenced,
    (Phase.FENCING, tx.Refused): _read_again,
    (Phase.FENCING, tx.Missing): _read_again,
    (Phase.ASKING, tx.Found): _asked,
    (Phase.SURVEYING, tx.Queried): _surveyed,
    (Phase.LOOKING, tx.Queried): _looked,
    (Phase.SENDING, fx.Sent): _sent,
    (Phase.SENDING, fx.NotAccepted): _not_accepted,
    (Phase.SENDING, fx.Undeliverable): _undeliverable,
}
