"""How does a task become a message, and a message a task? Pure: the time is an argument."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from .errors import ArgumentError
from .messages import NO_PROPERTIES, Message, Properties, attempt_id
from .task.task import VERSION, Task


class Unreadable(NamedTuple):
    """A body that is no envelope, and why."""

    problem: str


class Newer(NamedTuple):
    """An envelope of a newer major version: a newer deployment may understand it."""

    version: int


def decode(body: bytes) -> Task | Unreadable | Newer:
    """The task in a message body."""
    try:
        task = Task.model_validate_json(body)
    except ValidationError as error:
        return _decoded_otherwise(body, error)
    return Newer(task.version) if task.version > VERSION else task


def encode(task: Task) -> bytes:
    """The task as a message body; `on_success` links are laid out flat, so that no length of chain nests too deep."""
    try:
        return flat(task).model_dump_json().encode()
    except (PydanticSerializationError, UnicodeEncodeError, RecursionError) as error:
        raise ArgumentError(task.function_name, None, f"cannot be written as JSON: {error}") from error


def flat(task: Task) -> Task:
    """The same task with `a >> b >> c` turned into the flat list `chain`.

    The walk stops at a link that has a chain of its own: it stays the last one and goes on by itself.
    """
    if task.on_success is None or task.chain or task.on_success.on_success is None:
        return task
    links = []
    link: Task | None = task.on_success
    seen = {id(task)}
    while link is not None:
        if id(link) in seen:
            raise ArgumentError(
                task.function_name, None, f"on_success leads back to task {link.task_id}: a chain must end"
            )
        seen.add(id(link))
        following = None if link.chain else link.on_success
        links.append(link if following is None else link.model_copy(update={"on_success": None}))
        link = following
    return task.model_copy(update={"on_success": None, "chain": links})


def outgoing(task: Task, *, now: float, queue: str, properties: Properties = NO_PROPERTIES) -> Message:
    """The message that asks for the first attempt of `task`; it goes to `queue` unless the task names its own."""
    due = now + task.delay
    if task.eta is not None:
        due = max(due, task.eta.timestamp())
    expires_at = due + task.expires if task.expires is not None else None
    stamped = task.model_copy(update={"published_at": now, "expires_at": expires_at})
    return Message(
        queue=task.queue or queue,
        message_id=attempt_id(task.task_id, task.generation, task.attempts.attempts),
        body=encode(stamped),
        not_before=due if due > now else None,
        properties=properties,
    )


def _decoded_otherwise(body: bytes, error: ValidationError) -> Task | Unreadable | Newer:
    try:
        envelope: Any = json.loads(body)
    except (ValueError, RecursionError):
        return Unreadable(_summary(error))
    version = envelope.get("version") if isinstance(envelope, dict) else None
    if isinstance(version, int) and version > VERSION:
        return Newer(version)
    return _decoded_deep(envelope, error)


def _decoded_deep(envelope: Any, error: ValidationError) -> Task | Unreadable:
    """Pydantic writes JSON that nests deeper than the 200 levels it reads: handlers of handlers, or deep arguments."""
    if "recursion limit" not in str(error):
        return Unreadable(_summary(error))
    try:
        task = Task.model_validate(envelope)
        encode(task)  # what Python's parser lets through must be fit to be sent again
    except (ValidationError, ArgumentError, RecursionError):
        return Unreadable(_summary(error))
    return task


def _summary(error: ValidationError) -> str:
    problems = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors(include_url=False)[:5]]
    return f"not a task envelope ({error.error_count()} problems): {'; '.join(problems)}"
