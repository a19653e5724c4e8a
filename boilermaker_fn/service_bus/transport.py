"""How are messages sent to Service Bus? Checked, sorted by queue, and put into the queue's outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ..errors import NotSent
from ..messages import MAX_MESSAGE_BYTES, Message, refusal

if TYPE_CHECKING:
    from ..per_loop import PerLoop
    from .namespace import Namespace

#: What AMQP puts around body and properties, in bytes: the id (up to 512), the times, the sections' heads.
_ENVELOPE: Final = 1024


class ServiceBusTransport:
    """Sends into the queues of one namespace. Safe for concurrent use."""

    def __init__(self, namespaces: PerLoop[Namespace]) -> None:
        self._namespaces = namespaces

    @property
    def max_message_bytes(self) -> int:
        """Body and properties, in bytes: what fits in every tier."""
        return MAX_MESSAGE_BYTES - _ENVELOPE

    async def send(self, messages: Sequence[Message], *, numbered: bool = False) -> Mapping[str, int]:
        """Send them, with what others send to the same queues at the same time.

        Service Bus tells the number of a scheduled message only, and only by an operation of its own, which counts
        ten-fold against the limit of the namespace: `numbered` asks for it. Raises NotSent; a cause that is a
        QueueUnavailable says what to do. What passes by itself (throttling, a lost connection) is waited out for half
        a minute. If this is cancelled the messages may be sent or not.
        """
        failures: list[tuple[str, BaseException]] = []
        fitting: dict[str, list[Message]] = {}
        for message in messages:
            if (problem := refusal(message, self.max_message_bytes)) is None:
                fitting.setdefault(message.queue, []).append(message)
            else:
                failures.append((message.message_id, ValueError(problem)))
        numbers: dict[str, int] = {}
        if fitting:
            namespace = self._namespaces.current()
            sending = [namespace.outbox(queue).send(some, numbered=numbered) for queue, some in fitting.items()]
            for receipt in [await sending[0]] if len(sending) == 1 else await asyncio.gather(*sending):
                failures += receipt.failures
                numbers |= receipt.numbers
        if failures:
            raise NotSent(failures)
        return numbers
