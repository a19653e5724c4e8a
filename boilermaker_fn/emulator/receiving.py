"""How do messages of a queue come to a client, and what does it settle them with?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from .amqp.composites import encode_performative
from .amqp.performatives import Accepted, Modified, Rejected, Released
from .amqp.values import Value
from .backlog import Backlog
from .broker import token_of
from .links import OutgoingLink
from .refusals import NOT_ALLOWED, NOT_IMPLEMENTED, Refused, error_of, rejected
from .wire_messages import delivered, property_values, tag_of

if TYPE_CHECKING:
    from .host import Host


class _Disposal(NamedTuple):
    delivery_id: int
    token: UUID
    state: Value
    settled: bool


class QueueOutlet:
    """Gives a client messages of a queue while it has credit and reads; `locked` False hands them over for good."""

    def __init__(self, host: Host, link: OutgoingLink, queue: str, *, locked: bool) -> None:
        self._host = host
        self._link = link
        self._queue = queue
        self._locked = locked
        self._bell = asyncio.Event()
        self._disposals = Backlog[_Disposal](host.tasks, self._settle)
        self._pump = host.tasks.start(self._deliver_or_detach())

    def flowed(self) -> None:
        """Look again whether something can be sent."""
        self._bell.set()

    def disposed(self, delivery_id: int, token: UUID, state: Value, *, settled: bool) -> None:
        """Settle some time soon."""
        self._disposals.put(_Disposal(delivery_id, token, state, settled))

    def closed(self) -> None:
        """Stop delivering. What was settled is done still."""
        self._pump.cancel()

    async def _deliver_or_detach(self) -> None:
        try:
            await self._deliver()
        except Exception as error:  # whatever it is, the client must hear of it
            self._link.detach(error_of(error))

    async def _deliver(self) -> None:
        link = self._link
        with self._host.broker.listen(self._queue) as self._bell:
            while True:
                self._bell.clear()
                due = None
                if count := link.room():
                    found = await self._host.broker.receive(self._queue, count, locked=self._locked)
                    for delivery in found:
                        token = token_of(delivery) if self._locked else None
                        link.deliver(tag_of(delivery), delivered(delivery, locked=self._locked), token)
                    if len(found) == count:
                        continue
                    due = await self._host.broker.next_due(self._queue)
                # Rung meanwhile: credit may be new, and there may be something to spend it on.
                if link.drain and not self._bell.is_set() and (count or not link.credit):
                    link.drained()
                await self._rung(due)

    async def _rung(self, due: float | None) -> None:
        """Wait until something may have changed, or for the time `due`, when there was credit to use."""
        if due is None:
            await self._bell.wait()
            return
        alarm = asyncio.get_running_loop().call_later(max(due - self._host.clock(), 0), self._bell.set)
        try:
            await self._bell.wait()
        finally:
            alarm.cancel()

    async def _settle(self, disposals: list[_Disposal]) -> None:
        if len(disposals) == 1:
            outcomes = [await self._outcome(disposals[0])]
        else:
            outcomes = await asyncio.gather(*map(self._outcome, disposals))
        if self._link.closed:
            return
        told: dict[bytes, list[int]] = {}
        for disposal, outcome in zip(disposals, outcomes, strict=True):
            if not disposal.settled:
                told.setdefault(outcome, []).append(disposal.delivery_id)
        for outcome, delivery_ids in told.items():
            self._link.session.settle(sorted(delivery_ids), outcome, receiver=False)

    async def _outcome(self, disposal: _Disposal) -> bytes:
        """What to echo: what the client said, when it was done, else why not."""
        try:
            await self._applied(disposal)
        except Exception as error:  # whatever it is, the client must hear of it
            return rejected(error_of(error))
        return _ECHOES[type(disposal.state)]

    async def _applied(self, disposal: _Disposal) -> None:
        broker, queue, token = self._host.broker, self._queue, disposal.token
        match disposal.state:
            case Accepted():
                await broker.complete(queue, token)
            case Released():
                await broker.release(queue, token)
            case Modified(undeliverable_here=True):
                raise Refused(NOT_IMPLEMENTED, "deferral was asked for: the emulator has none; the lock stays")
            case Modified():
                await broker.abandon(queue, token, property_values(disposal.state.message_annotations))
            case Rejected():
                info = None if disposal.state.error is None else disposal.state.error.info
                await broker.dead_letter(queue, token, property_values(info))
            case _:
                raise Refused(NOT_ALLOWED, f"a delivery cannot be settled with {disposal.state!r}")


# Rejected without its error: an error in the echo says that dead-lettering failed.
_ECHOES: Final = {
    type(outcome): encode_performative(outcome)
    for outcome in (Accepted(), Released(), Modified(delivery_failed=True), Rejected())
}
