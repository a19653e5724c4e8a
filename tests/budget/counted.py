"""How are operations counted? At the ports: an engine in memory, and what each thing done on it has cost."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from boilermaker_fn.entities import Entity, Operation, Page
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import Message
from boilermaker_fn.ports import Inbox, Table, Transport
from tests.stage import ManualClock

BUDGET = Path(__file__).parents[2] / "docs" / "budget.md"


@dataclass
class Cost:
    """Operations on ports, in the order of the columns in the table."""

    sends: int = 0
    messages: int = 0
    reads: int = 0
    writes: int = 0

    def __sub__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def at_the_table(self) -> int:
        """Reads, queries and transactions."""
        return self.reads + self.writes

    async def of(self, work: Awaitable[Any]) -> Cost:
        """What some work adds to this."""
        before = replace(self)
        await work
        return self - before


class CountedTransport:
    """Counts what is sent."""

    def __init__(self, transport: Transport, cost: Cost) -> None:
        self._transport = transport
        self._cost = cost

    @property
    def max_message_bytes(self) -> int:
        return self._transport.max_message_bytes

    async def send(self, messages: Sequence[Message], *, numbered: bool = False) -> Mapping[str, int]:
        self._cost.sends += 1
        self._cost.messages += len(messages)
        return await self._transport.send(messages, numbered=numbered)


class CountedTable:
    """Counts what is read and written; a query is a read."""

    def __init__(self, table: Table, cost: Cost) -> None:
        self._table = table
        self._cost = cost

    async def read(self, partition: str, row: str, select: Sequence[str] | None = None) -> Entity | None:
        self._cost.reads += 1
        return await self._table.read(partition, row, select)

    async def query(self, partition: str, **conditions: Any) -> Page:
        self._cost.reads += 1
        return await self._table.query(partition, **conditions)

    async def write(self, operations: Sequence[Operation]) -> list[str]:
        self._cost.writes += 1
        return await self._table.write(operations)


class CountedEngine:
    """An engine in memory whose every operation is counted."""

    def __init__(self, clock: ManualClock, cost: Cost) -> None:
        self._engine = LocalEngine(None, clock=clock)
        assert self._engine.table is not None
        self.name = "memory"
        self.transport = CountedTransport(self._engine.transport, cost)
        self.table = CountedTable(self._engine.table, cost)

    def inbox(self, queue: str) -> Inbox:
        return self._engine.inbox(queue)

    async def holds(self, queue: str, task_id: str) -> bool:
        return await self._engine.holds(queue, task_id)

    async def close(self) -> None:
        await self._engine.close()


def budget(heading: str) -> dict[str, Cost]:
    """The table below a heading of docs/budget.md."""
    _, _, below = f"\n{BUDGET.read_text()}".partition(f"\n{heading}\n")
    section, _, _ = below.partition("\n#")
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {name: Cost(*map(int, numbers)) for name, *numbers in cells}
