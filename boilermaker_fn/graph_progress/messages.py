"""What travels through the queue for a graph? Small messages that point at rows: run this node, watch this graph.

The Task itself stays in the node's row, so a message costs its sender no read.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple, TypeAlias

from ..messages import GRAPH_BODY, NO_PROPERTIES, Message, Properties
from .keys import GraphKey

#: Raised when an older reader could misunderstand a newer message.
VERSION: Final = 1


class NodeMessage(NamedTuple):
    """Run an attempt of a node. A repair has a generation above 0, so that its ids are new."""

    graph: GraphKey
    number: int
    attempt: int = 1
    generation: int = 0


class WatchMessage(NamedTuple):
    """Look after a graph for the `round`-th time.

    It is sent before the rows are written, so it says what there is to clean up: `blocks`, and `until` when the
    publisher has time to finish (seconds since the epoch).
    """

    graph: GraphKey
    blocks: int
    until: float
    round: int = 1


class Newer(NamedTuple):
    """A message of a newer major version: a newer deployment may understand it."""

    version: int


class Unreadable(NamedTuple):
    """A body that begins like one of ours and is none, and why."""

    problem: str


GraphMessage: TypeAlias = NodeMessage | WatchMessage


def is_for_graph(body: bytes) -> bool:
    """Whether a message body is one of a graph's."""
    return body.startswith(GRAPH_BODY)


def decoded(body: bytes) -> GraphMessage | Newer | Unreadable:
    """The message in a body for which `is_for_graph` is true."""
    try:
        content: dict[str, Any] = json.loads(body)
        version = int(content.get("version", VERSION))
        if version > VERSION:
            return Newer(version)
        return _decoded(content)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        return Unreadable(f"no message of a graph: {type(error).__name__}: {error}")


def _decoded(content: dict[str, Any]) -> GraphMessage:
    graph = GraphKey(str(content["graph"]), int(content["epoch"]))
    if "node" in content:
        return NodeMessage(graph, int(content["node"]), int(content["attempt"]), int(content["generation"]))
    return WatchMessage(graph, int(content["blocks"]), float(content["until"]), int(content["round"]))


def node_message(
    message: NodeMessage,
    *,
    queue: str,
    not_before: float | None = None,
    suffix: str = "",
    properties: Properties = NO_PROPERTIES,
) -> Message:
    """The message to send. The same node, attempt and generation have the same id; a `suffix` makes another one."""
    graph = message.graph
    return Message(
        queue,
        message_id=f"{node_id(message)}{suffix}",
        body=_body(graph, version=VERSION, node=message.number, attempt=message.attempt, generation=message.generation),
        not_before=not_before,
        properties=properties,
    )


def watch_message(message: WatchMessage, *, queue: str, not_before: float) -> Message:
    """The message to send: the round is in its id."""
    graph = message.graph
    return Message(
        queue,
        message_id=f"{graph.graph_id}/{graph.epoch}/w{message.round}",
        body=_body(graph, version=VERSION, blocks=message.blocks, until=message.until, round=message.round),
        not_before=not_before,
    )


def node_id(message: NodeMessage) -> str:
    """The id of the message for an attempt of a node."""
    graph = message.graph
    return f"{graph.graph_id}/{graph.epoch}/{message.number}/{message.generation}/{message.attempt}"


def _body(graph: GraphKey, **content: Any) -> bytes:
    return json.dumps({"graph": graph.graph_id, "epoch": graph.epoch, **content}, separators=(",", ":")).encode()
