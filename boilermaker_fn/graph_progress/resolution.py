"""Which values are the results of nodes? A machine within others: it reads what the inputs of a node, or a graph's
finals, name.

One read for a single result, one query for all that are wanted of a block. A result that is too large for its row
lies in rows of its own; that of a node that became a graph is that graph's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from .. import table_effects as tx
from .heads import head_row
from .inputs import Input, decoded_runs
from .keys import GraphKey, block_of
from .rows import RESULT, NodeRow, NodeStatus, joined, node_row, nodes_in


class Source(NamedTuple):
    """A node whose result is wanted."""

    graph: GraphKey
    number: int


class Text(NamedTuple):
    """A result as JSON, and which task and function returned it."""

    data: bytes
    task_id: str = ""
    function: str = ""


class OfGraph(NamedTuple):
    """The result of a node that became a graph: those of other nodes, as a list if `many`."""

    sources: tuple[Source, ...]
    many: bool


class Nodes(NamedTuple):
    """To be read: results of nodes of one block."""

    graph: GraphKey
    numbers: tuple[int, ...]


class Chunks(NamedTuple):
    """To be read: the parts of one large result. Whoever copied its row to a later epoch left them where they were.

    `text` is the result without its data.
    """

    source: Source
    written_in: GraphKey
    written_by: str
    text: Text


class Finals(NamedTuple):
    """To be read: which nodes' results are those of the graph that a node became."""

    source: Source
    graph_id: str


Wanted: TypeAlias = Nodes | Chunks | Finals


def _data(text: Text) -> Any:
    return json.loads(text.data or b"null")


class State(NamedTuple):
    """What is still to be read, and what was found: JSON. `lost` is somebody who has no result."""

    wanted: tuple[Wanted, ...]
    found: tuple[tuple[Source, Text | OfGraph], ...] = ()
    lost: Source | None = None


Step: TypeAlias = tuple[State, tx.TableEffect | None]


def started(graph: GraphKey, numbers: Iterable[int]) -> Step:
    """Read the results of nodes of one graph."""
    return _next(State(_by_block(Source(graph, number) for number in numbers)))


def step(state: State, event: tx.TableEvent) -> Step:
    """What was read; the next state and what to read next, None when all is there or something is `lost`."""
    wanted, rest = state.wanted[0], state.wanted[1:]
    state = state._replace(wanted=rest)
    if isinstance(wanted, Nodes):
        return _next(_with_nodes(state, wanted, event))
    if isinstance(wanted, Chunks):
        entities = event.entities if isinstance(event, tx.Queried) else ()
        data = b"".join(joined(entity.values, "part") for entity in entities)
        return _next(state._replace(found=(*state.found, (wanted.source, wanted.text._replace(data=data)))))
    return _next(_with_finals(state, wanted, event))


def values_of(state: State, revived: Callable[[Text], Any] = _data) -> Mapping[Source, Any]:
    """The values that were found: as JSON data, or what `revived` makes of them."""
    found = dict(state.found)
    return {source: _value(source, found, revived) for source in found}


def arguments(inputs: Iterable[Input], graph: GraphKey, values: Mapping[Source, Any]) -> dict[int | str, Any]:
    """The value of each argument that is made of results, by its slot."""
    return {one.slot: _argument(one, graph, values) for one in inputs}


def _argument(one: Input, graph: GraphKey, values: Mapping[Source, Any]) -> Any:
    found = [values[Source(graph, number)] for number in one.numbers]
    return found if one.many else found[0]


def _value(source: Source, found: Mapping[Source, Text | OfGraph], revived: Callable[[Text], Any]) -> Any:
    value = found[source]
    if isinstance(value, Text):
        return revived(value)
    inner = [_value(one, found, revived) for one in value.sources]
    return inner if value.many else inner[0]


# -- reading -----------------------------------------------------------------------------------------------------------


def _next(state: State) -> Step:
    if not state.wanted or state.lost is not None:
        return state, None
    wanted = state.wanted[0]
    if isinstance(wanted, Nodes):
        return state, _nodes(wanted)
    if isinstance(wanted, Chunks):
        return state, tx.Query(*wanted.written_in.chunks(wanted.source.number, wanted.written_by))
    return state, tx.Read(*GraphKey(wanted.graph_id).head)


def _nodes(wanted: Nodes) -> tx.TableEffect:
    first = wanted.graph.node(min(wanted.numbers))
    if len(wanted.numbers) == 1:
        return tx.Read(*first, RESULT)
    last = wanted.graph.node(max(wanted.numbers))
    return tx.Query(first.partition, first.row, f"{last.row}~", select=RESULT)


def _by_block(sources: Iterable[Source]) -> tuple[Nodes, ...]:
    blocks: dict[tuple[GraphKey, int], dict[int, None]] = {}
    for graph, number in sources:
        blocks.setdefault((graph, block_of(number)), {})[number] = None
    return tuple(Nodes(graph, tuple(numbers)) for (graph, _), numbers in blocks.items())


def _with_nodes(state: State, wanted: Nodes, event: tx.TableEvent) -> State:
    rows = _rows(wanted, event)
    more: list[Wanted] = []
    found: list[tuple[Source, Text | OfGraph]] = []
    for number in wanted.numbers:
        row, source = rows.get(number), Source(wanted.graph, number)
        if row is None or row.status is not NodeStatus.SUCCEEDED:
            return state._replace(lost=source)
        text = Text(row.result, row.task_id, row.function)
        if row.subgraph:
            more.append(Finals(source, row.subgraph))
        elif row.chunks:
            more.append(Chunks(source, wanted.graph._replace(epoch=row.written_in), row.written_by, text))
        else:
            found.append((source, text))
    return state._replace(wanted=(*state.wanted, *more), found=(*state.found, *found))


def _rows(wanted: Nodes, event: tx.TableEvent) -> dict[int, NodeRow]:
    first = wanted.numbers[0]
    if isinstance(event, tx.Queried):
        return nodes_in(event.entities, block_of(first))
    if isinstance(event, tx.Found) and event.entity is not None:
        return {first: node_row(event.entity, first)}
    return {}


def _with_finals(state: State, wanted: Finals, event: tx.TableEvent) -> State:
    entity = event.entity if isinstance(event, tx.Found) else None
    if entity is None:
        return state._replace(lost=wanted.source)
    head = head_row(wanted.graph_id, entity)
    sources = tuple(Source(head.graph, number) for run in decoded_runs(head.finals) for number in run.numbers)
    found = (*state.found, (wanted.source, OfGraph(sources, head.many)))
    return state._replace(wanted=(*state.wanted, *_by_block(sources)), found=found)
