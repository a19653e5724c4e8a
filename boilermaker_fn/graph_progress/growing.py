"""How does a node become a graph, and wait for its end? Both for a task that returns a graph, and for a map.

The graph's rows are written first, with a head that does not count yet; then the node's row says which graph it
waits for, under the ETag of its claim, so that of several that were made one counts; then that one begins. A message
that meets the waiting node repeats the last step: it begins the graph, or, when that has ended, ends the node.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from .. import effects as fx
from .. import follow_ups
from .. import table_effects as tx
from ..entities import Where
from ..errors import IllegalTransition
from ..graph.plan import Plan
from ..messages import origin_of
from ..outcomes import ErrorInfo, Failed, Reason
from . import advance, publishing, writing
from .block import Ready
from .children import Children
from .heads import STANDING, GraphStatus, HeadRow, Parent, head_changed, head_row, is_cancelling
from .keys import GraphKey
from .layout import laid_out
from .node_state import Phase, State, Step, cancel, end, hold, message_of, own_claim, row_of, send
from .rows import WATCHED, NodeStatus, changed, nodes_in

_PENDING_ROOTS: Final = (Where("root", "eq", True), Where("status", "eq", NodeStatus.PENDING.value))
_ENDED_BADLY: Final = {
    GraphStatus.FAILED: "failed",
    GraphStatus.ABANDONED: "was given up before it began",
}


def grow(state: State, plan: Plan, now: float) -> Step:
    """Publish the graph that the node's function returned."""
    message, row = message_of(state), row_of(state)
    key = _key(state)
    steps = tuple(one._replace(task=one.task.model_copy(update={"graph_id": key.graph_id})) for one in plan.steps)
    layout = laid_out(plan._replace(graph_id=key.graph_id, steps=steps), row.home)
    parent = Parent(message.graph, message.number, row.attempt, origin_of(state.delivery.queue))
    publication = publishing.State(layout, parent, follow_ups.trace_of(state.delivery))
    return _publish(state, *publishing.step(publication, publishing.Asked(now)))


def grown(state: State, event: Any) -> Step:
    """Go on publishing it."""
    if state.publication is None:
        raise IllegalTransition("delivery of a node", state.phase.name, event)
    return _publish(state, *publishing.step(state.publication, event))


def _key(state: State) -> GraphKey:
    """The graph that a node becomes under its claim; under another claim it is another one."""
    message, claim = message_of(state), state.claim or own_claim(state)
    name = f"{message.graph.graph_id}/{message.graph.epoch}/{message.number}/{claim}"
    return GraphKey(hashlib.sha256(name.encode()).hexdigest()[:32])


def _publish(state: State, publication: publishing.State, effect: fx.Effect | tx.TableEffect) -> Step:
    if isinstance(effect, fx.Hold):
        return hold(state, f"the graph it returned could not be published: {effect.why}")
    if not isinstance(effect, fx.Settle):
        return state._replace(phase=Phase.GROWING, publication=publication), effect
    graph, row = message_of(state).graph, row_of(state)
    values = {"status": str(NodeStatus.WAITING), "subgraph": publication.graph.graph_id}
    ready = publishing.roots(publication, publication.now)
    state = state._replace(phase=Phase.BINDING, publication=None, after=ready)
    waiting = row._replace(status=NodeStatus.WAITING, subgraph=publication.graph.graph_id)
    return state._replace(row=waiting), tx.Write((changed(graph, row.number, row.etag, **values),))


def bound(state: State, event: tx.Written) -> Step:
    """The node waits for it: it can begin."""
    return meet(state._replace(row=row_of(state)._replace(etag=event.etags[0])))


def meet(state: State) -> Step:
    """See how the graph stands that a node waits for."""
    return state._replace(phase=Phase.MEETING), tx.Read(*GraphKey(row_of(state).subgraph).head)


def met(state: State, event: tx.Found) -> Step:
    """Begin it, or go on as it has ended."""
    if event.entity is None:
        return _failed(state, "was removed", event.now)
    head = head_row(row_of(state).subgraph, event.entity)
    state = state._replace(head=head)
    if head.status is GraphStatus.PREPARED:
        return state._replace(phase=Phase.ALLOWING), tx.Read(*message_of(state).graph.head, STANDING)
    if not head.status.ended:
        return _look_for_roots(state._replace(after=()), head, 0)
    if head.status is GraphStatus.CANCELLED:
        return _failed(state, "was cancelled", event.now, Reason.Cancelled)
    if head.status is not GraphStatus.SUCCEEDED:
        return _failed(state, _ENDED_BADLY[head.status], event.now)
    row, own = row_of(state), own_claim(state)
    operations = writing.succeeded(message_of(state).graph, row, event.now, b"", own)
    ended = row._replace(status=NodeStatus.SUCCEEDED, finished_at=event.now)
    return state._replace(phase=Phase.WRITING, row=ended), tx.Write(operations)


def _failed(state: State, how: str, now: float, reason: Reason = Reason.GraphFailed) -> Step:
    problem = f"graph {row_of(state).subgraph}, which this task became, {how}"
    return end(state, Failed(reason, ErrorInfo(reason, problem)), now)


# -- its beginning -----------------------------------------------------------------------------------------------------


def allowed(state: State, event: tx.Found) -> Step:
    """Begin it, unless the graph that the node is in is being cancelled: who does that saw it before it waited."""
    if is_cancelling(event.entity):
        return cancel(state, event.now)
    begin = head_changed(_head(state), status=str(GraphStatus.RUNNING))
    return state._replace(phase=Phase.BEGINNING), tx.Write((begin,))


def begun(state: State, event: tx.Written) -> Step:
    """It counts: send those of its nodes that wait for nobody."""
    return _send_roots(state) if state.after else _look_for_roots(state, _head(state), 0)


def not_begun(state: State, event: tx.Refused) -> Step:
    """Somebody else has changed its head."""
    return meet(state)


def _look_for_roots(state: State, head: HeadRow, block: int) -> Step:
    # Whoever began it may have died before sending them.
    if block == head.blocks:
        return _send_roots(state)
    where = head.graph.nodes(block)
    looking = state._replace(phase=Phase.ROOTING, block=block)
    return looking, tx.Query(*where, where=_PENDING_ROOTS, select=WATCHED)


def rooted(state: State, event: tx.Queried) -> Step:
    """Those of one block are known."""
    head = _head(state)
    rows = nodes_in(event.entities, state.block).values()
    ready = [Ready(row.number, row.sent or Children(row.number), row.attempt, row.due) for row in rows]
    found = advance.State(head.graph, event.now, ready=tuple(ready))
    messages = advance.messages(found, home=head.queue, properties=follow_ups.trace_of(state.delivery))
    return _look_for_roots(state._replace(after=(*state.after, *messages)), head, state.block + 1)


def _send_roots(state: State) -> Step:
    return send(state, list(state.after), NodeStatus.WAITING)


def _head(state: State) -> HeadRow:
    if state.head is None:
        raise IllegalTransition("delivery of a node", state.phase.name, None)
    return state.head
