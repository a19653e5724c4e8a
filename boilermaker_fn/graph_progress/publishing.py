"""How does a graph come into being? A machine: `step(state, event) -> (state, effect)`.

The order is: a look whether it is there, the watchdog's message, the graph's place in the list, its blocks, its head
(with the callback), the nodes that wait for nobody. From the message on the watchdog finds out that the publisher died,
and from the head on the graph counts: whoever publishes it again goes on where the one before ended. What is refused is
there already; it is compared, and only another graph of the same id stops the machine.

It holds the rows of one block at a time. A graph of N nodes in full blocks costs a read and N/100 + 2 transactions
(more for large tasks: a transaction holds 4 MiB), one message for the watchdog, and one for each node that waits for
nobody.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from .. import effects as fx
from .. import table_effects as tx
from ..entities import Entity, Operation, in_transactions
from ..errors import IllegalTransition
from ..messages import NO_PROPERTIES, Message, Properties
from .children import due
from .heads import GraphStatus, HeadRow, Parent, head_inserted, head_row
from .keys import GraphKey
from .layout import Layout, callback_of, callback_row, roots_of, rows_of
from .listing import Listed, listed
from .messages import NodeMessage, WatchMessage, node_message, watch_message
from .rows import inserted

#: When the watchdog looks for the first time, in seconds after publishing began.
FIRST_WATCH: Final = 300.0
#: How long a publisher may take before the watchdog thinks it dead, in seconds.
PUBLISHER_TIME: Final = 900.0


class Phase(enum.StrEnum):
    """Which answer it waits for."""

    NEW = "new"
    LOOKING = "looking"
    ANNOUNCING = "announcing"
    LISTING = "listing"
    WRITING = "writing"
    COMPARING = "comparing"
    COMMITTING = "committing"
    CHECKING = "checking"
    STARTING = "starting"
    PUBLISHED = "published"
    #: It may go on another time.
    HELD = "held"
    #: It never can: another graph has this id.
    REFUSED = "refused"


class State(NamedTuple):
    """Where publishing stands. `parent` is the node that became this graph; `properties` are for the roots' messages.

    `now` is when it began (seconds since the epoch). `block` is being written, and of it the transactions `left`.
    """

    layout: Layout
    parent: Parent | None = None
    properties: Properties = NO_PROPERTIES
    phase: Phase = Phase.NEW
    now: float = 0.0
    block: int = 0
    left: tuple[tuple[Operation, ...], ...] = ()

    @property
    def graph(self) -> GraphKey:
        """The graph, in the epoch in which every graph begins."""
        return GraphKey(self.layout.plan.graph_id)


class Asked(NamedTuple):
    """Somebody wants the graph published."""

    now: float


Step: TypeAlias = tuple[State, fx.Effect | tx.TableEffect]
Event: TypeAlias = Asked | fx.Event | tx.TableEvent


def step(state: State, event: Event) -> Step:
    """What `event` leads to: the next state, and the one thing to do now."""
    decide = TRANSITIONS.get((state.phase, type(event)))
    if decide is None:
        raise IllegalTransition("publication", state.phase.name, event)
    return decide(state, event)


def _asked(state: State, event: Asked) -> Step:
    return state._replace(phase=Phase.LOOKING, now=event.now), tx.Read(*state.graph.head)


def _looked(state: State, event: tx.Found) -> Step:
    if event.entity is not None:
        return _is_there(state, event.entity, event.now)
    layout = state.layout
    watch = WatchMessage(state.graph, len(layout.blocks), until=state.now + PUBLISHER_TIME)
    message = watch_message(watch, queue=layout.queue, not_before=state.now + FIRST_WATCH)
    return state._replace(phase=Phase.ANNOUNCING), fx.Send((message,))


def _announced(state: State, event: fx.Sent) -> Step:
    parent = "" if state.parent is None else state.parent.graph.graph_id
    row = Listed(state.graph.graph_id, state.now, len(state.layout.blocks), parent)
    return state._replace(phase=Phase.LISTING), tx.Write((listed(row),))


def _listed(state: State, event: tx.Written | tx.Refused) -> Step:
    return _from_block(state, 0)


# -- blocks ------------------------------------------------------------------------------------------------------------


def _from_block(state: State, block: int) -> Step:
    if block == len(state.layout.blocks):
        return _commit(state)
    rows = rows_of(state.layout, block)
    return _write(state, block, tuple(in_transactions(inserted(state.graph, row) for row in rows)))


def _write(state: State, block: int, left: tuple[tuple[Operation, ...], ...]) -> Step:
    if not left:
        return _from_block(state, block + 1)
    return state._replace(phase=Phase.WRITING, block=block, left=left), tx.Write(left[0])


def _written(state: State, event: tx.Written) -> Step:
    return _write(state, state.block, state.left[1:])


def _refused(state: State, event: tx.Refused) -> Step:
    # Which of them are there? Whoever wrote them may have split the block at other places.
    first, last = (operation.entity for operation in (state.left[0][0], state.left[0][-1]))
    return state._replace(phase=Phase.COMPARING), tx.Query(
        first.partition, first.row, f"{last.row}~", select=("build",)
    )


def _compared(state: State, event: tx.Queried) -> Step:
    if any(entity.values.get("build") != state.layout.build for entity in event.entities):
        return _refuse(state, _OTHER)
    there = {entity.row for entity in event.entities}
    missing = tuple(operation for operation in state.left[0] if operation.entity.row not in there)
    return _write(state, state.block, (missing, *state.left[1:]) if missing else state.left[1:])


# -- the head, and who begins ------------------------------------------------------------------------------------------


def _commit(state: State) -> Step:
    graph, layout, plan = state.graph, state.layout, state.layout.plan
    head = HeadRow(
        graph=graph,
        status=_first_status(state),
        blocks=len(layout.blocks),
        nodes=len(plan.steps),
        callback=callback_of(layout),
        queue=layout.queue,
        published_at=state.now,
        build=layout.build,
        finals=layout.finals,
        many=plan.many,
        parent=state.parent,
        finished_at=0.0 if plan.steps else state.now,
    )
    callback = callback_row(layout)
    rows = [head_inserted(head)] if callback is None else [inserted(graph, callback), head_inserted(head)]
    return state._replace(phase=Phase.COMMITTING), tx.Write(tuple(rows))


def _first_status(state: State) -> GraphStatus:
    if not state.layout.plan.steps:
        return GraphStatus.SUCCEEDED  # a list can be empty of which a graph was made
    return GraphStatus.RUNNING if state.parent is None else GraphStatus.PREPARED


def _committed(state: State, event: tx.Written) -> Step:
    return _start(state, event.now)


def _commit_refused(state: State, event: tx.Refused) -> Step:
    return state._replace(phase=Phase.CHECKING), tx.Read(*state.graph.head)


def _checked(state: State, event: tx.Found) -> Step:
    if event.entity is None:
        return _hold(state, "its rows are being removed")
    return _is_there(state, event.entity, event.now)


def _is_there(state: State, entity: Entity, now: float) -> Step:
    head = head_row(state.graph.graph_id, entity)
    if head.status is GraphStatus.ABANDONED:
        return _refuse(state, _ABANDONED)
    if head.build != state.layout.build:
        return _refuse(state, _OTHER)
    if head.status.ended or head.graph != state.graph:
        return _published(state)
    # Whoever wrote the head may have died before this.
    return _start(state, now)


def _start(state: State, now: float) -> Step:
    # The graph of a node begins when that node waits for it (see growing.py).
    messages = roots(state, now) if state.parent is None else ()
    return (state._replace(phase=Phase.STARTING), fx.Send(messages)) if messages else _published(state)


def roots(state: State, now: float) -> tuple[Message, ...]:
    """The messages for the nodes that wait for nobody."""
    home, graph = state.layout.queue, state.graph
    return tuple(
        node_message(
            NodeMessage(graph, root.first),
            queue=root.queue or home,
            not_before=due(root, now),
            properties=state.properties,
        )
        for root in roots_of(state.layout)
    )


def _started(state: State, event: fx.Sent) -> Step:
    return _published(state)


def _published(state: State) -> Step:
    return state._replace(phase=Phase.PUBLISHED), fx.Settle(Phase.PUBLISHED)


# -- what stops it -----------------------------------------------------------------------------------------------------


def _refuse(state: State, why: str) -> Step:
    return state._replace(phase=Phase.REFUSED), fx.Hold(why)


def _hold(state: State, why: str) -> Step:
    return state._replace(phase=Phase.HELD), fx.Hold(why)


def _store_down(state: State, event: fx.StoreDown) -> Step:
    return _hold(state, event.error)


def _not_accepted(state: State, event: fx.NotAccepted) -> Step:
    return _hold(state, event.error)


def _undeliverable(state: State, event: fx.Undeliverable) -> Step:
    return _hold(state, "; ".join(dict.fromkeys(why for _, why in event.messages)))


_OTHER: Final = "exists already, with other tasks"
_ABANDONED: Final = "was given up, because its publisher did not finish in time"

_SENDING: Final = (Phase.ANNOUNCING, Phase.STARTING)
_AT_THE_TABLE: Final = (
    Phase.LOOKING, Phase.LISTING, Phase.WRITING, Phase.COMPARING, Phase.COMMITTING, Phase.CHECKING,
)  # fmt: skip

_Decide: TypeAlias = Callable[[State, Any], Step]

TRANSITIONS: Final[Mapping[tuple[Phase, type], _Decide]] = {
    (Phase.NEW, Asked): _asked,
    (Phase.LOOKING, tx.Found): _looked,
    (Phase.ANNOUNCING, fx.Sent): _announced,
    (Phase.LISTING, tx.Written): _listed,
    (Phase.LISTING, tx.Refused): _listed,
    (Phase.WRITING, tx.Written): _written,
    (Phase.WRITING, tx.Refused): _refused,
    (Phase.COMPARING, tx.Queried): _compared,
    (Phase.COMMITTING, tx.Written): _committed,
    (Phase.COMMITTING, tx.Refused): _commit_refused,
    (Phase.CHECKING, tx.Found): _checked,
    (Phase.STARTING, fx.Sent): _started,
    **{(phase, fx.StoreDown): _store_down for phase in _AT_THE_TABLE},
    **{(phase, fx.NotAccepted): _not_accepted for phase in _SENDING},
    **{(phase, fx.Undeliverable): _undeliverable for phase in _SENDING},
}
