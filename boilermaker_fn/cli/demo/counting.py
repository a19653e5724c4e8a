"""What does a graph cost? Its table operations and messages, counted where they go out: at the ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...entities import Entity, Operation, Page, Where
from ...messages import GRAPH_BODY, Message
from ...ports import Engine, Inbox, Table, Transport
from ...results import ResultStore
from ...wiring import Wiring

# All partitions that hold something of a graph begin so: heads and the list of graphs; and blocks of nodes.
_GRAPH: Final = ("graph", "nodes-")


@dataclass(slots=True)
class Operations:
    """What was done for graphs. `sent` are the ids of messages; nodes that end at the same moment send some twice."""

    reads: int = 0
    queries: int = 0
    writes: int = 0
    sent: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """All operations on the table."""
        return self.reads + self.queries + self.writes

    @property
    def messages(self) -> int:
        """How many messages the queue kept: of those with one id it keeps the first."""
        return len({*self.sent})

    @property
    def dropped(self) -> int:
        """How many it dropped as duplicates."""
        return len(self.sent) - self.messages

    def clear(self) -> None:
        """Begin at zero."""
        self.reads = self.queries = self.writes = 0
        self.sent.clear()


def counted(wiring: Wiring, table: Table, operations: Operations) -> Wiring:
    """The same wiring, with results in `table`; what is done for graphs is added to `operations`."""
    return wiring._replace(
        engine=_CountedEngine(wiring.engine, operations), results=ResultStore(_CountedTable(table, operations))
    )


class _CountedTable:
    def __init__(self, table: Table, operations: Operations) -> None:
        self._table = table
        self._operations = operations

    async def read(self, partition: str, row: str, select: Sequence[str] | None = None) -> Entity | None:
        self._operations.reads += _is_graph(partition)
        return await self._table.read(partition, row, select)

    async def query(
        self,
        partition: str,
        *,
        first: str = "",
        before: str | None = None,
        where: Sequence[Where] = (),
        select: Sequence[str] | None = None,
        limit: int = 1000,
        continuation: str | None = None,
    ) -> Page:
        self._operations.queries += _is_graph(partition)
        return await self._table.query(
            partition, first=first, before=before, where=where, select=select, limit=limit, continuation=continuation
        )

    async def write(self, operations: Sequence[Operation]) -> list[str]:
        self._operations.writes += _is_graph(operations[0].entity.partition)
        return await self._table.write(operations)

    async def close(self) -> None:
        await self._table.close()


class _CountedTransport:
    def __init__(self, transport: Transport, operations: Operations) -> None:
        self._transport = transport
        self._operations = operations

    @property
    def max_message_bytes(self) -> int:
        return self._transport.max_message_bytes

    async def send(self, messages: Sequence[Message], *, numbered: bool = False) -> Mapping[str, int]:
        self._operations.sent += [message.message_id for message in messages if message.body.startswith(GRAPH_BODY)]
        return await self._transport.send(messages, numbered=numbered)


class _CountedEngine:
    def __init__(self, engine: Engine, operations: Operations) -> None:
        self._engine = engine
        self._transport = _CountedTransport(engine.transport, operations)

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def queue(self) -> str | None:
        return self._engine.queue

    @property
    def dead_letter_queue(self) -> str | None:
        return self._engine.dead_letter_queue

    @property
    def transport(self) -> Transport:
        return self._transport

    @property
    def table(self) -> Table | None:
        return self._engine.table

    def inbox(self, queue: str) -> Inbox:
        return self._engine.inbox(queue)

    async def holds(self, queue: str, task_id: str) -> bool | None:
        return await self._engine.holds(queue, task_id)

    async def close(self) -> None:
        await self._engine.close()


def _is_graph(partition: str) -> bool:
    return partition.startswith(_GRAPH)
