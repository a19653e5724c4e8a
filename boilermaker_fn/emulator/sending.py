"""What becomes of messages that a client sends to a queue? They are kept, and only then accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..messages import Message
from .amqp.composites import encode_performative
from .amqp.performatives import Accepted
from .amqp.values import Malformed
from .backlog import Backlog
from .links import Arrival, IncomingLink
from .refusals import SERVER_BUSY, Refused, error_of, rejected
from .wire_messages import arrived, unpacked

if TYPE_CHECKING:
    from .host import Host

_ACCEPTED: Final = encode_performative(Accepted())
BUSY: Final = Refused(SERVER_BUSY, "The request was throttled: the emulator was told to be busy. Try again later.")


class QueueIntake:
    """Sends what comes on one link to one queue; all that has come meanwhile goes in one transaction."""

    def __init__(self, host: Host, link: IncomingLink, queue: str) -> None:
        self._host = host
        self._link = link
        self._queue = queue
        self._backlog = Backlog[Arrival](host.tasks, self._send)

    def arrived(self, arrival: Arrival) -> None:
        """Keep a message, or a batch of them, some time soon."""
        self._link.session.connection.output.charge(len(arrival.payload))
        self._backlog.put(arrival)

    async def _send(self, arrivals: list[Arrival]) -> None:
        good: list[Arrival] = []
        messages: list[Message] = []
        for arrival in arrivals:
            try:
                if self._host.faults.busy:
                    raise BUSY
                now = self._host.clock()
                inner = unpacked(arrival.message_format, arrival.payload)
                messages += [arrived(self._queue, one, now) for one in inner]
                good.append(arrival)
            except (Malformed, Refused) as error:
                self._link.settle([arrival], rejected(error_of(error)))
        if good:
            self._link.settle(good, await self._kept(messages))
        self._link.session.connection.output.charge(-sum(len(one.payload) for one in arrivals))
        self._link.grant(len(self._backlog))

    async def _kept(self, messages: list[Message]) -> bytes:
        try:
            await self._host.broker.send(self._queue, messages)
        except Exception as error:  # whatever it is, the client must hear of it
            return rejected(error_of(error))
        return _ACCEPTED
