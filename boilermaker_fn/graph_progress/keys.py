"""Where are the rows of a graph? One partition for its head, one for each block of nodes.

A node's number is its block times 100 plus its place in the block, so blocks need not be full. Each epoch (see
reopening.py) has partitions of its own: whoever still works for an earlier one changes nothing of a later one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

#: Nodes in one block: what one transaction of Azure Table Storage can write.
BLOCK: Final = 100
#: The number of the all-failed callback. It lies beside the head, so that both can end in one transaction.
CALLBACK: Final = -1

HEAD: Final = "head"
#: The range of row keys that the nodes of a block lie in.
NODES: Final = ("node-", "node-~")

# As keys of a block outside the range of its nodes.
_ARRIVAL: Final = "arrival"
_CHUNK: Final = "chunk"


class Address(NamedTuple):
    """A row: its partition and its row key."""

    partition: str
    row: str


class Range(NamedTuple):
    """Row keys of one partition: `first <= key < before`."""

    partition: str
    first: str
    before: str


class GraphKey(NamedTuple):
    """One epoch of one graph."""

    graph_id: str
    epoch: int = 0

    @property
    def head_partition(self) -> str:
        """The partition of the head, of the ends of blocks, and of the callback; one for all epochs."""
        return f"graph-{self.graph_id}"

    def block_partition(self, block: int) -> str:
        """The partition of a block; whatever ids are like, none of a head."""
        return f"nodes-{self.graph_id}-{self.epoch}-{block}"

    @property
    def head(self) -> Address:
        """The head row."""
        return Address(self.head_partition, HEAD)

    def node(self, number: int) -> Address:
        """The row of a node."""
        if number == CALLBACK:
            return Address(self.head_partition, f"callback-{self.epoch:04}")
        return Address(self.block_partition(block_of(number)), f"node-{place_of(number):02}")

    def nodes(self, block: int) -> Range:
        """The nodes of a block."""
        return Range(self.block_partition(block), *NODES)

    def end(self, block: int) -> Address:
        """The row that says that all nodes of a block have ended."""
        return Address(self.head_partition, f"end-{self.epoch:04}-{block:06}")

    @property
    def ends(self) -> Range:
        """All ends, the callback and the head of all epochs: a condition on `epoch` finds those of this one."""
        return Range(self.head_partition, "callback-", f"{HEAD}~")

    def arrival(self, child: int, block: int) -> Address:
        """The row that says that what `child` waits for in `block` has come."""
        return Address(self.block_partition(block_of(child)), f"{_ARRIVAL}-{place_of(child):02}-{block:06}")

    def arrivals(self, child: int) -> Range:
        """All arrivals at a child."""
        first = f"{_ARRIVAL}-{place_of(child):02}-"
        return Range(self.block_partition(block_of(child)), first, f"{first}~")

    def chunk(self, number: int, claim: str, index: int) -> Address:
        """A part of a large result, written under a claim."""
        return Address(self.node(number).partition, f"{_chunk(number, claim)}{index:04}")

    def chunks(self, number: int, claim: str) -> Range:
        """All parts of a large result that were written under a claim."""
        first = _chunk(number, claim)
        return Range(self.node(number).partition, first, f"{first}~")


def block_of(number: int) -> int:
    """The block of a node."""
    return number // BLOCK


def place_of(number: int) -> int:
    """The place of a node in its block, 0 to 99."""
    return number % BLOCK


def number_at(block: int, row: str) -> int:
    """The number of the node with this row key in this block."""
    return block * BLOCK + int(row.removeprefix(NODES[0]))


def _chunk(number: int, claim: str) -> str:
    return f"{_CHUNK}-{place_of(number):02}-{claim}-"
