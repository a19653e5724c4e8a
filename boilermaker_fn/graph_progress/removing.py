"""How do the rows of a graph go away? A machine within others: block by block, and safe to repeat.

`step(state, event) -> (state, effect)`; no effect: all are gone. The head stays: it says what became of the graph.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from .. import table_effects as tx
from ..entities import ANY_ETAG, MAX_OPERATIONS, Delete, Entity
from .keys import GraphKey

# All row keys of a block: nodes, arrivals at them, parts of large results.
_ALL: Final = ("", "~")
_ANY_PROPERTY: Final = ("status",)


class State(NamedTuple):
    """Where removing stands: at `block` of `blocks`, of which rows are `left`; None before they were looked for."""

    graph: GraphKey
    blocks: int
    block: int = 0
    left: tuple[str, ...] | None = None


Step: TypeAlias = tuple[State, tx.TableEffect | None]


def started(graph: GraphKey, blocks: int) -> Step:
    """Remove the blocks of one epoch of a graph."""
    return _look(State(graph, blocks))


def step(state: State, event: tx.TableEvent) -> Step:
    """What was found, or was removed; the next state, and what to do next."""
    if isinstance(event, tx.Queried):
        return _remove(state, tuple(entity.row for entity in event.entities))
    if isinstance(event, tx.Written) and state.left is not None:
        return _remove(state, state.left[MAX_OPERATIONS:])
    return _look(state)  # somebody else removes them too: what is left?


def _look(state: State) -> Step:
    if state.block == state.blocks:
        return state, None
    partition = state.graph.block_partition(state.block)
    return state._replace(left=None), tx.Query(partition, *_ALL, select=_ANY_PROPERTY)


def _remove(state: State, left: tuple[str, ...]) -> Step:
    if not left:
        return _look(state._replace(block=state.block + 1))
    partition = state.graph.block_partition(state.block)
    some = (Delete(Entity(partition, row, etag=ANY_ETAG)) for row in left[:MAX_OPERATIONS])
    return state._replace(left=left), tx.Write(tuple(some))
