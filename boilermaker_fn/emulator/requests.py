"""How are requests answered? Each comes on one link and its answer goes out on another one of the same session."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final
from uuid import UUID

from .addresses import Address, Kind
from .amqp.composites import encode_performative
from .amqp.performatives import Accepted, Error
from .amqp.values import Malformed, Value
from .backlog import Backlog
from .cbs import put_token
from .exchange import Answer, Request, encoded, read
from .links import Arrival, IncomingLink, OutgoingLink
from .management import manage
from .refusals import LIMIT_EXCEEDED, error_of, status_of

if TYPE_CHECKING:
    from .host import Host

_ACCEPTED: Final = encode_performative(Accepted())
_MAX_WAITING: Final = 1000
_TAG: Final = bytes(16)

# The link for which a client asks: a request, such as the renewal of a lock, is a sign of life from it too.
_ASSOCIATED: Final = "associated-link-name"


class AnswerOutlet:
    """Answers wait here for the client's credit."""

    def __init__(self, link: OutgoingLink, address: Address) -> None:
        self.address = address
        self._link = link
        self._waiting: deque[bytes] = deque()

    def answer(self, payload: bytes) -> None:
        """Send an answer, now or when there is credit for it."""
        if len(self._waiting) >= _MAX_WAITING:
            self._link.detach(Error(LIMIT_EXCEEDED, f"{_MAX_WAITING} answers wait for credit that is not given"))
            return
        self._waiting.append(payload)
        self.flowed()

    def flowed(self) -> None:
        """Send as many answers as there is credit for."""
        while self._waiting and self._link.room():
            self._link.deliver(_TAG, self._waiting.popleft(), None)
        if self._link.drain:
            self._link.drained()

    def disposed(self, delivery_id: int, token: UUID, state: Value, *, settled: bool) -> None:
        """Answers are settled when they are sent."""

    def closed(self) -> None:
        """Nobody wants the answers any more."""
        self._waiting.clear()


class RequestIntake:
    """Takes the requests of one link and sees that they are answered, in order."""

    def __init__(self, host: Host, link: IncomingLink, address: Address) -> None:
        self._host = host
        self._link = link
        self._address = address
        self._backlog = Backlog[Arrival](host.tasks, self._answer_all)

    def arrived(self, arrival: Arrival) -> None:
        """Answer a request some time soon."""
        self._link.session.connection.output.charge(len(arrival.payload))
        self._link.settle([arrival], _ACCEPTED)
        self._backlog.put(arrival)

    async def _answer_all(self, arrivals: list[Arrival]) -> None:
        for arrival in arrivals:
            await self._answer(arrival)
            self._link.session.connection.output.charge(-len(arrival.payload))
        self._link.grant(len(self._backlog))

    async def _answer(self, arrival: Arrival) -> None:
        try:
            request = read(arrival.payload)
        except Malformed as error:
            self._link.detach(error_of(error))
            return
        self._link.session.touch(request.properties.get(_ASSOCIATED))
        outlet = self._outlet(request.reply_to)
        if outlet is not None:
            outlet.answer(encoded(request, await self._done(request)))

    async def _done(self, request: Request) -> Answer:
        try:
            if self._address.kind is Kind.CBS:
                return put_token(self._host, request)
            return await manage(self._host, self._address.queue, request)
        except Exception as raised:  # whatever it is, the client must hear of it
            error = error_of(raised)
            return Answer(status_of(error.condition), error=error)

    def _outlet(self, reply_to: Value) -> AnswerOutlet | None:
        """The link that answers go out on: the one with the target `reply_to`, else any from the same address."""
        candidates = [
            (link, link.outlet)
            for link in self._link.session.links
            if isinstance(link, OutgoingLink)
            and isinstance(link.outlet, AnswerOutlet)
            and link.outlet.address == self._address
        ]
        named = [outlet for link, outlet in candidates if reply_to is not None and link.address == reply_to]
        return next(iter(named or [outlet for _, outlet in candidates]), None)
