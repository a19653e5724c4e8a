"""Who sends what, and what became of it? One call of `send`, and its messages as the SDK sends them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from azure.servicebus.amqp import AmqpAnnotatedMessage

from ..messages import Message
from .encoding import encoded

#: What the SDK raises for what AMQP cannot hold: a number beyond 64 bits, half a character.
UNENCODABLE: Final = (TypeError, ValueError, OverflowError, struct.error)

Failure: TypeAlias = tuple[str, BaseException]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a call: the messages that were not accepted, and the numbers of those scheduled."""

    failures: list[Failure] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)


class Call:
    """One call of `send`: what it sends, until when (time of the loop), and who waits for it."""

    def __init__(
        self,
        messages: Sequence[Message],
        now: float,
        numbered: bool,
        deadline: float,
        waiting: asyncio.Future[Receipt],
    ) -> None:
        self.deadline = deadline
        self.waiting = waiting
        self.receipt = Receipt()
        self.parcels: list[Parcel] = []
        for message in messages:
            delayed = message.not_before is not None and message.not_before > now
            when = message.not_before if numbered and delayed else None
            try:
                self.parcels.append(Parcel(self, message, encoded(message, now), when))
            except UNENCODABLE as error:
                self.receipt.failures.append((message.message_id, error))
        self._unaccounted = len(self.parcels)

    def account(self, parcels: Sequence[Parcel], error: BaseException | None = None) -> None:
        """These were accepted, or failed with `error`; when all are accounted for, the caller is told."""
        if error is not None:
            self.receipt.failures.extend((parcel.message.message_id, error) for parcel in parcels)
        self._unaccounted -= len(parcels)
        if not self._unaccounted and not self.waiting.done():
            self.waiting.set_result(self.receipt)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message of a call, encoded. `when` is set if it is to be scheduled by an operation that tells its number."""

    call: Call
    message: Message
    wire: AmqpAnnotatedMessage
    when: float | None
