"""What stands in a node's row? Its task, where it stands, who runs it, what it led to, and who waits for it.

A row is written whole when its graph is published and then changed in a few properties only. Once `status` is an
ended one, it never changes again.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, NamedTuple

from ..entities import MAX_PROPERTY_BYTES, Entity, Insert, Merge, Value
from ..errors import StoreUnavailable
from ..outcomes import ErrorInfo
from .children import Children, decoded, encoded
from .keys import GraphKey, number_at

#: How many properties of 64 KiB what may fill: 14 of them leave a row room for an error's text.
_PIECES: Final[Mapping[str, int]] = {"task": 4, "children": 4, "inputs": 2, "result": 4, "part": 14, "finals": 8}


class NodeStatus(enum.StrEnum):
    """Where a node stands."""

    PENDING = "pending"
    STARTED = "started"
    #: Its function returned a graph, and it waits for that one's end.
    WAITING = "waiting"
    SUCCEEDED = "success"
    FAILED = "failure"
    #: It cannot run any more, or was cancelled (`reason` says that).
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        """Whether it never changes again."""
        return self in _ENDED


_ENDED = frozenset({NodeStatus.SUCCEEDED, NodeStatus.FAILED, NodeStatus.SKIPPED})


class Claim(NamedTuple):
    """Who runs a node: the message, by its sequence number, and which of its deliveries."""

    sequence_number: int
    delivery: int

    def __str__(self) -> str:
        return f"{self.sequence_number}.{self.delivery}"

    @classmethod
    def read(cls, text: str) -> Claim | None:
        """The claim in a text; None for an empty one."""
        sequence_number, _, delivery = text.partition(".")
        return cls(int(sequence_number), int(delivery)) if text else None


class NodeRow(NamedTuple):
    """A node. Times are seconds since the epoch, 0 where there is none yet.

    `due` is when a retry is; `claimed_until` when others may take the claim over. `guarded` is one of those that a
    handler waits for, None for other nodes; `root` says that it waits for nobody; `size` is the number of nodes in its
    block. `home` is the queue for those whose task names none; `sent` is how this one is sent, None if there and at
    once. `task_id` and `function` stand in the `task` too; here they can be read without it. `inputs` are arguments
    that are results (JSON, see inputs.py). `policy` is that of the last retry, as JSON. A result of more than a few
    properties lies in `chunks` rows, written in the epoch `written_in` under the claim `written_by`; that of a node
    that became a graph is that graph's, `subgraph`.
    """

    number: int
    status: NodeStatus = NodeStatus.PENDING
    attempt: int = 1
    epoch: int = 0
    due: float = 0.0
    claim: Claim | None = None
    claimed_until: float = 0.0
    root: bool = False
    guarded: int | None = None
    size: int = 1
    home: str = ""
    sent: Children | None = None
    task_id: str = ""
    function: str = ""
    task: bytes = b""
    children: tuple[Children, ...] = ()
    inputs: bytes = b""
    policy: str = ""
    result: bytes = b""
    chunks: int = 0
    written_by: str = ""
    written_in: int = 0
    subgraph: str = ""
    reason: str = ""
    error: ErrorInfo | None = None
    started_at: float = 0.0
    finished_at: float = 0.0
    build: str = ""
    etag: str = ""


def inserted(graph: GraphKey, row: NodeRow) -> Insert:
    """The operation that writes a node for the first time."""
    values: dict[str, Value] = {
        "status": str(row.status),
        "attempt": row.attempt,
        "epoch": row.epoch,
        "size": row.size,
        "home": row.home,
        "task_id": row.task_id,
        "function": row.function,
        "build": row.build,
        **chunked("task", row.task),
        **chunked("children", encoded(row.children) if row.children else b""),
        **chunked("inputs", row.inputs),
    }
    if row.root:
        values["root"] = True
    if row.sent is not None:
        values["sent"] = encoded([row.sent])
    if row.guarded is not None:
        values["guarded"] = row.guarded
    return Insert(Entity(*graph.node(row.number), values))


def changed(graph: GraphKey, number: int, etag: str, **values: Value) -> Merge:
    """The operation that changes some properties of a node, if its ETag is still this one."""
    return Merge(Entity(*graph.node(number), values, etag))


def ended_as(status: NodeStatus, now: float, **values: Value) -> dict[str, Value]:
    """The properties of a node that ends now."""
    return {"status": str(status), "finished_at": now, **values}


def failure_values(reason: str, error: ErrorInfo) -> dict[str, Value]:
    """The properties that say why a node failed."""
    return {
        "reason": reason,
        "error_type": error.type,
        "message": error.message,
        "traceback": error.traceback,
    }


def node_row(entity: Entity, number: int) -> NodeRow:
    """The node in a row, or in the part of it that was selected.

    Raises StoreUnavailable for one that cannot be read: what leads to it is put off, not lost.
    """
    values = entity.values
    reason, guarded = _text(values, "reason"), values.get("guarded")
    try:
        return NodeRow(
            number=number,
            status=NodeStatus(_text(values, "status")),
            attempt=whole(values, "attempt", 1),
            epoch=whole(values, "epoch"),
            due=seconds(values, "due"),
            claim=Claim.read(_text(values, "claim")),
            claimed_until=seconds(values, "claimed_until"),
            root=values.get("root") is True,
            guarded=guarded if isinstance(guarded, int) else None,
            size=whole(values, "size", 1),
            home=_text(values, "home"),
            sent=_sent(values.get("sent")),
            task_id=_text(values, "task_id"),
            function=_text(values, "function"),
            task=joined(values, "task"),
            children=decoded(joined(values, "children")),
            inputs=joined(values, "inputs"),
            policy=_text(values, "policy"),
            result=joined(values, "result"),
            chunks=whole(values, "chunks"),
            written_by=_text(values, "written_by"),
            written_in=whole(values, "written_in"),
            subgraph=_text(values, "subgraph"),
            reason=reason,
            error=_error(values) if reason else None,
            started_at=seconds(values, "started_at"),
            finished_at=seconds(values, "finished_at"),
            build=_text(values, "build"),
            etag=entity.etag,
        )
    except (ValueError, TypeError) as error:
        raise _unreadable(entity, error) from None


def nodes_in(entities: tuple[Entity, ...], block: int) -> dict[int, NodeRow]:
    """The nodes among the rows of a block, by number."""
    numbers = [number_at(block, entity.row) for entity in entities]
    return {number: node_row(entity, number) for number, entity in zip(numbers, entities, strict=True)}


class Looked:
    """The nodes of a block that have not succeeded, of which what BARRIER names was selected.

    Every node that ends looks at its whole block, and few of the others matter to it: those are read when they are
    asked for. Raises StoreUnavailable as `node_row` does.
    """

    def __init__(self, entities: tuple[Entity, ...], block: int) -> None:
        self._entities = {number_at(block, entity.row): entity for entity in entities}
        self._read: dict[int, NodeRow] = {}
        self.statuses = {number: _status(entity) for number, entity in self._entities.items()}

    def get(self, number: int) -> NodeRow | None:
        """A node; None if it has succeeded, or lies elsewhere."""
        entity = self._entities.get(number)
        if entity is None:
            return None
        if number not in self._read:
            self._read[number] = node_row(entity, number)
        return self._read[number]


def _status(entity: Entity) -> NodeStatus:
    status = _STATUSES.get(entity.values.get("status"))
    if status is None:
        raise _unreadable(entity, ValueError("status"))
    return status


_STATUSES: Final[Mapping[object, NodeStatus]] = {status.value: status for status in NodeStatus}


def chunked(name: str, data: bytes) -> dict[str, Value]:
    """Data as properties: `name0`, `name1` ... Raises ValueError when it is more than a row should hold."""
    pieces = [data[start : start + MAX_PROPERTY_BYTES] for start in range(0, len(data), MAX_PROPERTY_BYTES)]
    if len(pieces) > _PIECES[name]:
        raise ValueError(f"{name} has {len(data)} bytes, a row holds {room_for(name)}")
    return {f"{name}{index}": piece for index, piece in enumerate(pieces)}


def room_for(name: str) -> int:
    """How many bytes of it a row holds."""
    return _PIECES[name] * MAX_PROPERTY_BYTES


def names_of(name: str) -> tuple[str, ...]:
    """The properties that data of this name can fill."""
    return tuple(f"{name}{index}" for index in range(_PIECES[name]))


def joined(values: Mapping[str, Value], name: str) -> bytes:
    """The data that `chunked` laid out."""
    piece = values.get(f"{name}0")
    pieces: list[bytes] = []
    while isinstance(piece, bytes):
        pieces.append(piece)
        piece = values.get(f"{name}{len(pieces)}")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def whole(values: Mapping[str, Value], name: str, default: int = 0) -> int:
    """A number among the properties."""
    value = values.get(name, default)
    return value if isinstance(value, int) else default


def seconds(values: Mapping[str, Value], name: str) -> float:
    """A time among the properties; 0 if there is none."""
    value = values.get(name, 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


def _text(values: Mapping[str, Value], name: str) -> str:
    value = values.get(name, "")
    return value if isinstance(value, str) else ""


def _sent(data: object) -> Children | None:
    return next(iter(decoded(data)), None) if isinstance(data, bytes) else None


def _unreadable(entity: Entity, error: Exception) -> StoreUnavailable:
    return StoreUnavailable(
        f"row {entity.partition!r}/{entity.row!r} of a graph cannot be read ({error}): deploy the version that wrote it"
    )


def _error(values: Mapping[str, Value]) -> ErrorInfo:
    return ErrorInfo(_text(values, "error_type"), _text(values, "message"), _text(values, "traceback"))


#: What the barrier needs of those in a block that have not succeeded.
BARRIER: Final = ("status", "attempt", "due", "reason", "size", *names_of("children"))
#: What the watchdog needs beside that.
WATCHED: Final = (*BARRIER, "claimed_until", "root", "guarded", "subgraph", "sent")
#: What resolving an argument needs.
RESULT: Final = ("status", "task_id", "function", "chunks", "written_by", "written_in", "subgraph", *names_of("result"))
