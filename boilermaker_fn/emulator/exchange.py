"""What is in a request and in its answer? An operation with arguments, and an HTTP status with a result or an error."""

from __future__ import annotations

from dataclasses import dataclass

from .amqp.messages import (
    APPLICATION_PROPERTIES,
    PROPERTIES,
    VALUE,
    encode_properties,
    encode_section,
    map_of,
    properties_of,
    sections,
    value_of,
)
from .amqp.performatives import Error
from .amqp.values import Int, Malformed, Value


@dataclass(frozen=True, slots=True)
class Request:
    """A request: what to do, with what, and how to find who asked."""

    operation: str
    properties: dict[Value, Value]
    body: Value
    message_id: Value
    reply_to: Value


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status and what goes with it."""

    status: int
    body: Value = None
    error: Error | None = None


def read(payload: bytes) -> Request:
    """The request that a message is. Raises Malformed."""
    found = {section.code: section for section in sections(payload)}
    if not {PROPERTIES, APPLICATION_PROPERTIES} <= found.keys():
        raise Malformed("a request has properties and application properties")
    properties = properties_of(payload, found[PROPERTIES])
    own = map_of(payload, found[APPLICATION_PROPERTIES])
    return Request(
        operation=str(own.get("operation")),
        properties=own,
        body=value_of(payload, found[VALUE]) if VALUE in found else None,
        message_id=properties["message_id"],
        reply_to=properties["reply_to"],
    )


def encoded(request: Request, answer: Answer) -> bytes:
    """The answer as a message. Status and condition under the names of management and of CBS: clients read either."""
    description = "OK" if answer.error is None else answer.error.description
    properties: dict[str, Value] = {
        "statusCode": Int(answer.status),
        "status-code": Int(answer.status),
        "statusDescription": description,
        "status-description": description,
    }
    if answer.error is not None:
        properties["errorCondition"] = answer.error.condition
    return b"".join(
        (
            encode_properties(correlation_id=request.message_id),
            encode_section(APPLICATION_PROPERTIES, properties),
            encode_section(VALUE, answer.body),
        )
    )
