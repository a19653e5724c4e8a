"""Which links can be attached, and what is behind them? Queues, their management, and where tokens are put."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..messages import DEAD_LETTER_SUFFIX
from .addresses import Address, Kind, parsed
from .amqp.performatives import RECEIVER, SETTLED, Attach, Source, Target
from .amqp.values import Described, UInt, ULong
from .links import IncomingLink, Link, OutgoingLink
from .receiving import QueueOutlet
from .refusals import NOT_ALLOWED, NOT_IMPLEMENTED, Refused
from .requests import AnswerOutlet, RequestIntake
from .sending import QueueIntake

if TYPE_CHECKING:
    from .session import Session

#: The largest message of the standard tier, in bytes; a batch is one message too.
MAX_MESSAGE_SIZE: Final = 262_144

_SESSION_FILTER: Final = "com.microsoft:session-filter"


def attached(session: Session, attach: Attach) -> IncomingLink | OutgoingLink:
    """Answer an attach with a link. Raises Refused, UnknownQueue."""
    return _outgoing(session, attach) if attach.role == RECEIVER else _incoming(session, attach)


def refusal(attach: Attach) -> Attach:
    """The answer to an attach that is refused: without source and target; a detach with the error must follow."""
    return _answer(attach)._replace(source=None, target=None)


def _answer(attach: Attach) -> Attach:
    return Attach(
        attach.name,
        attach.handle,
        not attach.role,
        snd_settle_mode=attach.snd_settle_mode,
        rcv_settle_mode=attach.rcv_settle_mode,
        source=attach.source if isinstance(attach.source, Source) else None,
        target=attach.target if isinstance(attach.target, Target) else None,
        initial_delivery_count=UInt(0) if attach.role == RECEIVER else None,
        max_message_size=ULong(MAX_MESSAGE_SIZE),
    )


def _incoming(session: Session, attach: Attach) -> IncomingLink:
    if isinstance(attach.target, Described):
        raise Refused(NOT_IMPLEMENTED, "the emulator has no transactions")
    address = _known(session, None if attach.target is None else attach.target.address)
    if address.kind is Kind.QUEUE and address.queue.endswith(DEAD_LETTER_SUFFIX):
        raise Refused(NOT_ALLOWED, f"{address.queue!r} cannot be sent to: dead-letter the message, or abandon it")
    first = int(attach.initial_delivery_count or 0)
    link = IncomingLink(session, attach.name, int(attach.handle), MAX_MESSAGE_SIZE, first)
    session.send(_answer(attach))
    host = session.connection.host
    if address.kind is Kind.QUEUE:
        link.intake = QueueIntake(host, link, address.queue)
    else:
        link.intake = RequestIntake(host, link, address)
    link.grant()
    _watch(link, address)
    return link


def _outgoing(session: Session, attach: Attach) -> OutgoingLink:
    source = attach.source or Source()
    address = _known(session, source.address)
    if _SESSION_FILTER in (source.filter or {}):
        raise Refused(NOT_IMPLEMENTED, f"sessions of {address.queue!r} were asked for: the emulator has none")
    target = attach.target.address if isinstance(attach.target, Target) else None
    link = OutgoingLink(session, attach.name, int(attach.handle), target)
    session.send(_answer(attach))
    if address.kind is Kind.QUEUE:
        locked = attach.snd_settle_mode != SETTLED
        link.outlet = QueueOutlet(session.connection.host, link, address.queue, locked=locked)
    else:
        link.outlet = AnswerOutlet(link, address)
    _watch(link, address)
    return link


def _watch(link: Link, address: Address) -> None:
    if address.kind is not Kind.CBS:
        link.of_queue = True
        link.session.connection.watch_idle(link)


def _known(session: Session, address: object) -> Address:
    """The address, of a queue that there is."""
    found = parsed(address)
    if found.kind is not Kind.CBS:
        session.connection.host.broker.rules(found.queue)
    return found
