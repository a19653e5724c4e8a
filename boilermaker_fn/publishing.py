"""How does a task get into a queue? Checked whole, sized, then sent; or nothing is sent and the caller is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from .envelopes import outgoing
from .errors import ArgumentError, BoilermakerAppException, NotSent, PublishError, TaskTooLarge
from .json_values import JsonValue, problem_with_reference
from .messages import NO_PROPERTIES
from .task.task import Task

if TYPE_CHECKING:
    from .messages import Message, Properties
    from .ports import Transport
    from .registry import Registration, Registry
    from .telemetry.tracing import OpenTelemetry

#: Kept free in a message for what an envelope gains on its way (attempts, a policy, counters), in bytes.
HEADROOM: Final = 8 * 1024

#: How long sending waits before it is tried for the second time, in seconds; then twice as long, and so on.
FIRST_PAUSE: Final = 0.2


class Publishing:
    """Sends tasks. `queue` is where tasks go that name none; `clock` gives seconds since the epoch."""

    def __init__(
        self,
        registry: Registry,
        transport: Transport,
        *,
        queue: str,
        clock: Callable[[], float],
        tracing: OpenTelemetry | None,
    ) -> None:
        self._registry = registry
        self._transport = transport
        self._queue = queue
        self._clock = clock
        self._tracing = tracing

    async def publish(self, tasks: Sequence[Task], attempts: int = 1) -> None:
        """Send all tasks in as few operations as possible; sending is tried `attempts` times.

        Raises ArgumentError or TaskTooLarge before anything is sent, PublishError naming what was not accepted.
        """
        now = self._clock()  # one for all: what is due at the same time is scheduled by one operation
        with self._spans(tasks) as contexts:
            messages = [self._message(task, context, now) for task, context in zip(tasks, contexts, strict=True)]
            ids = {message.message_id: task.task_id for message, task in zip(messages, tasks, strict=True)}
            numbers = await self._send(messages, ids, attempts)
        for message, task in zip(messages, tasks, strict=True):
            _mark_published(task)
            task.mark_published(numbers.get(message.message_id))

    def _spans(self, tasks: Sequence[Task]) -> AbstractContextManager[Sequence[Properties]]:
        if self._tracing is None:
            return nullcontext([NO_PROPERTIES] * len(tasks))
        return self._tracing.publishing(tasks)

    def _message(self, task: Task, properties: Properties, now: float) -> Message:
        if task.is_prototype:
            raise BoilermakerAppException(f"{task!r} never got an id of its own: make it with app.create_task()")
        ready = prepared(task, self._registry)
        message = outgoing(ready, now=now, queue=self._queue, properties=properties)
        limit = self._transport.max_message_bytes - HEADROOM
        if len(message.body) > limit:
            raise TaskTooLarge(task.task_id, task.function_name, len(message.body), limit)
        return message

    async def _send(self, messages: list[Message], ids: Mapping[str, str], attempts: int) -> Mapping[str, int]:
        errors: list[BaseException] = []
        # What is due later can be cancelled by its number; what is due now nobody could cancel.
        numbered = any(message.not_before is not None for message in messages)
        for tried in range(attempts):
            if tried:
                import asyncio  # see handle.py

                await asyncio.sleep(FIRST_PAUSE * 2.0 ** (tried - 1))
            try:
                return await self._transport.send(messages, numbered=numbered)
            except NotSent as error:
                errors += [cause for _, cause in error.failures]
                messages = error.of(messages)
        not_sent = [ids[message.message_id] for message in messages]
        raise PublishError(not_sent, [i for i in ids.values() if i not in set(not_sent)], errors)


def prepared(task: Task, registry: Mapping[str, Registration]) -> Task:
    """A copy of the task, and of all that follows it, whose arguments are checked and JSON data.

    Raises ArgumentError naming function and parameter, or saying that what follows a task leads back to it. Functions
    that are not registered here are taken on trust.
    """
    _refuse_loops(task)
    try:
        return _prepared(task, registry)
    except RecursionError:
        raise ArgumentError(task.function_name, None, f"the handlers of task {task.task_id} nest too deep") from None


def prepared_alone(
    task: Task, registry: Mapping[str, Registration], unknown: frozenset[int | str] = frozenset()
) -> Task:
    """A copy of the task, without what follows it, whose arguments are checked and JSON data.

    Those at the positions or keywords `unknown` are left alone. Raises ArgumentError.
    """
    return task.model_copy(update={"payload": _payload(task, registry, unknown)})


def _refuse_loops(task: Task) -> None:
    above: set[int] = set()
    done: set[int] = set()
    stack = [(task, False)]
    while stack:
        one, leaving = stack.pop()
        if leaving:
            above.remove(id(one))
            done.add(id(one))
        elif id(one) in above:
            raise ArgumentError(
                one.function_name, None, f"what follows task {one.task_id} leads back to it: it would never end"
            )
        elif id(one) not in done:
            _refuse_repetition(one)
            above.add(id(one))
            stack += [(one, True), *((following, False) for following in _following(one))]


def _refuse_repetition(task: Task) -> None:
    """The second of two links with one id would pass for the first one come again, and the rest would never be sent."""
    known: set[str] = set()
    for link in (task, *task.chain):
        if link.task_id in known:
            raise ArgumentError(
                link.function_name, None, f"task {link.task_id} is twice in one chain: make a task for each link"
            )
        known.add(link.task_id)


def _following(task: Task) -> list[Task]:
    candidates = (task.on_success, task.on_failure, *task.chain, task.chain_on_failure)
    return [candidate for candidate in candidates if candidate is not None]


def _prepared(task: Task, registry: Mapping[str, Registration]) -> Task:
    # `a >> b >> c ...` can be longer than Python's stack is deep.
    links: list[Task] = []
    link: Task | None = task
    while link is not None:
        links.append(link)
        link = link.on_success
    following: Task | None = None
    for link in reversed(links):
        following = _prepared_one(link, following, registry)
    return following if following is not None else task


def _prepared_one(task: Task, on_success: Task | None, registry: Mapping[str, Registration]) -> Task:
    changes: dict[str, Any] = {"payload": _payload(task, registry)}
    if on_success is not None:
        changes["on_success"] = on_success
    if task.on_failure is not None:
        changes["on_failure"] = _prepared(task.on_failure, registry)
    if task.chain:
        changes["chain"] = [_prepared(link, registry) for link in task.chain]
    if task.chain_on_failure is not None:
        changes["chain_on_failure"] = _prepared(task.chain_on_failure, registry)
    return task.model_copy(update=changes)


def _payload(
    task: Task, registry: Mapping[str, Registration], unknown: frozenset[int | str] = frozenset()
) -> dict[str, Any]:
    args, kwargs = task.payload.get("args") or [], task.payload.get("kwargs") or {}
    registration = registry.get(task.function_name)
    if registration is None:
        return _unchecked(task, args, kwargs)
    return registration.signature.payload(args, kwargs, unknown)


def _unchecked(task: Task, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    try:
        return {
            "args": [_ANY.jsonable(value) for value in args],
            "kwargs": {name: _ANY.jsonable(value) for name, value in kwargs.items()},
        }
    except (TypeError, ValueError) as error:
        problem = problem_with_reference([args, kwargs]) or f"cannot travel as JSON: {error}"
        raise ArgumentError(task.function_name, None, problem) from None


def _mark_published(task: Task) -> None:
    pending = [task]
    while pending:
        one = pending.pop()
        one.mark_published()
        pending += _following(one)


_ANY: Final = JsonValue()
