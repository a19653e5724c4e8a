"""What does the engine need from the outside? Three protocols, as small as they can be, and who holds them together.

`contract` tests run one suite over every implementation of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from .entities import Entity, Operation, Page, Where
from .messages import Delivery, Message


class Transport(Protocol):
    """Sends messages."""

    @property
    def max_message_bytes(self) -> int:
        """The largest message the service takes, body and properties, in bytes."""
        ...

    async def send(self, messages: Sequence[Message], *, numbered: bool = False) -> Mapping[str, int]:
        """Send all messages, in as few operations as possible; returns when they are durable.

        Returns sequence numbers by message id, of those messages of which the service tells it. Where the service
        tells it of scheduled messages only when it is asked to, `numbered` asks; that can cost more.

        Raises NotSent naming the messages that were not accepted; the others were. A duplicate (same id inside the
        queue's window) counts as accepted.
        """
        ...


class Inbox(Protocol):
    """Receives from one queue by peek-lock. The Function App does not use it: there, the host receives."""

    @property
    def lock_duration(self) -> float:
        """How long a delivery stays locked without renewal, in seconds."""
        ...

    async def receive(self, count: int, wait: float) -> list[Delivery]:
        """Lock up to `count` messages. Waits up to `wait` seconds for the first one, never for more.

        A receive that is cancelled gives back what it has locked.
        """
        ...

    async def renew(self, delivery: Delivery) -> float:
        """Prolong the lock by the lock duration from now; returns its new end. Raises LockLost."""
        ...

    async def complete(self, delivery: Delivery) -> None:
        """Settle: the message is gone. Raises LockLost."""
        ...

    async def release(self, delivery: Delivery) -> None:
        """Hand back: the message can be delivered again at once. Raises LockLost."""
        ...

    async def peek(self, count: int, after: int = 0) -> list[Delivery]:
        """Look at up to `count` messages with a sequence number above `after`, in that order, without locking."""
        ...


class Table(Protocol):
    """Keeps rows, with the semantics of Azure Table Storage and no more (see entities.py).

    Every method raises StoreUnavailable when the store does not answer within a short deadline of retrying.
    """

    async def read(self, partition: str, row: str, select: Sequence[str] | None = None) -> Entity | None:
        """One row, or None. `select` names the properties wanted; None means all."""
        ...

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
        """Rows of one partition with `first <= row key < before` that meet all conditions, by row key.

        At most `limit` (1 to 1000) a page; pass a page's `continuation` to go on.
        """
        ...

    async def write(self, operations: Sequence[Operation]) -> list[str]:
        """All operations or none, in one partition. Returns the new ETags ("" for a deletion).

        Raises Conflict (row exists, or its ETag is another), NotFound (row to change does not exist), LimitExceeded.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; a table that is used again connects again."""
        ...


class Engine(Protocol):
    """A place where tasks live: how to send, receive and keep rows there."""

    @property
    def name(self) -> str:
        """Where that is, for people: a file, a namespace."""
        ...

    @property
    def queue(self) -> str | None:
        """The queue that tasks go to which name none; None: the one in the settings."""
        ...

    @property
    def dead_letter_queue(self) -> str | None:
        """The queue for what was given up; None: the one in the settings."""
        ...

    @property
    def transport(self) -> Transport:
        """How to send there."""
        ...

    @property
    def table(self) -> Table | None:
        """Where results are kept, if the engine has a table of its own."""
        ...

    def inbox(self, queue: str) -> Inbox:
        """The inbox of a queue. For what the broker set aside, add `messages.DEAD_LETTER_SUFFIX` to the name."""
        ...

    async def holds(self, queue: str, task_id: str) -> bool | None:
        """Whether a message of this task is in the queue; None where the engine cannot know."""
        ...

    async def close(self) -> None:
        """Send what is buffered and let go of connections."""
        ...
