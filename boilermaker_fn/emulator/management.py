"""What can be asked of a queue's management? What Service Bus answers there, except for sessions and deferral."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

from ..messages import DEAD_LETTER_DESCRIPTION, DEAD_LETTER_REASON, Properties
from .amqp.values import Array, Malformed, Timestamp, Value
from .exchange import Answer, Request
from .refusals import ARGUMENT_ERROR, NOT_IMPLEMENTED, Refused
from .sending import BUSY
from .wire_messages import arrived, peeked, property_values

if TYPE_CHECKING:
    from .host import Host

_Operation: TypeAlias = "Callable[[Host, str, dict[Value, Value]], Awaitable[Answer]]"

_PREFIX: Final = "com.microsoft:"
_LONG: Final = 0x81
_TIMESTAMP: Final = 0x83

# An answer with peeked messages is as large as a message may be.
_MAX_PEEKED: Final = 250
_MAX_PEEKED_BYTES: Final = 256 * 1024


async def manage(host: Host, queue: str, request: Request) -> Answer:
    """Do what is asked for. Raises Refused, Malformed, and what the broker raises."""
    operation = _OPERATIONS.get(request.operation.removeprefix(_PREFIX))
    if operation is None:
        raise Refused(
            NOT_IMPLEMENTED,
            f"the emulator does not do {request.operation!r} (sessions, deferral and rules are left out); it does: "
            + ", ".join(sorted(_OPERATIONS)),
        )
    if not isinstance(request.body, dict):
        raise Malformed(f"the body of {request.operation} is a map")
    return await operation(host, queue, request.body)


async def _schedule(host: Host, queue: str, body: dict[Value, Value]) -> Answer:
    if host.faults.busy:
        raise BUSY
    now = host.clock()
    messages = []
    for entry in _list(body, "messages"):
        data = entry.get("message") if isinstance(entry, dict) else None
        if not isinstance(data, bytes):
            raise Malformed("each of the messages to schedule is a map with the message as bytes")
        messages.append(arrived(queue, data, now))
    numbers = await host.broker.schedule(queue, messages)
    return Answer(200, {"sequence-numbers": Array(_LONG, numbers)})


async def _cancel(host: Host, queue: str, body: dict[Value, Value]) -> Answer:
    await host.broker.cancel(queue, _typed(body, "sequence-numbers", int))
    return Answer(200)


async def _renew(host: Host, queue: str, body: dict[Value, Value]) -> Answer:
    ends = [await host.broker.renew(queue, token) for token in _typed(body, "lock-tokens", UUID)]
    return Answer(200, {"expirations": Array(_TIMESTAMP, [Timestamp.of(end) for end in ends])})


async def _peek(host: Host, queue: str, body: dict[Value, Value]) -> Answer:
    first, count = body.get("from-sequence-number", 0), body.get("message-count", 1)
    if not isinstance(first, int) or not isinstance(count, int) or count < 1:
        raise Refused(ARGUMENT_ERROR, f"cannot look at {count!r} messages from number {first!r} on")
    seen: list[Value] = []
    size = 0
    for delivery in await host.broker.peek(queue, min(count, _MAX_PEEKED), first):
        payload = peeked(delivery)
        size += len(payload)
        if seen and size > _MAX_PEEKED_BYTES:
            break
        seen.append({"message": payload})
    return Answer(200, {"messages": seen}) if seen else Answer(204)


async def _settle(host: Host, queue: str, body: dict[Value, Value]) -> Answer:
    status = body.get("disposition-status")
    if status not in ("completed", "abandoned", "suspended"):
        raise Refused(NOT_IMPLEMENTED, f"the emulator does not settle as {status!r}; deferral is left out")
    changes = property_values(body.get("properties-to-modify"))
    for token in _typed(body, "lock-tokens", UUID):
        if status == "completed":
            await host.broker.complete(queue, token)
        elif status == "abandoned":
            await host.broker.abandon(queue, token, changes)
        else:
            await host.broker.dead_letter(queue, token, {**changes, **_reasons(body)})
    return Answer(200)


def _reasons(body: dict[Value, Value]) -> Properties:
    return property_values(
        {
            DEAD_LETTER_REASON: body.get("deadletter-reason") or None,
            DEAD_LETTER_DESCRIPTION: body.get("deadletter-description") or None,
        }
    )


def _list(body: dict[Value, Value], name: str) -> list[Value]:
    values = body.get(name)
    if isinstance(values, Array):
        return list(values.values)
    if isinstance(values, list):
        return values
    raise Malformed(f"{name!r} is a list or an array")


def _typed(body: dict[Value, Value], name: str, kind: type) -> list[Value]:
    values = _list(body, name)
    if not values or not all(isinstance(value, kind) for value in values):
        raise Malformed(f"{name!r} holds at least one value, each a {kind.__name__}")
    return values


_OPERATIONS: Final[dict[str, _Operation]] = {
    "schedule-message": _schedule,
    "cancel-scheduled-message": _cancel,
    "renew-lock": _renew,
    "peek-message": _peek,
    "update-disposition": _settle,
}
