"""What is the same for all deliveries of an app, and what follows from it for a task?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from .retries import RetryPolicy
from .task.task import Task


class Registered(Protocol):
    """What the core needs to know of a registered function: the options that a task may leave open."""

    @property
    def policy(self) -> RetryPolicy:
        """When a task of this function is tried again."""
        ...

    @property
    def acks_late(self) -> bool:
        """Whether it may run twice."""
        ...

    @property
    def should_dead_letter(self) -> bool:
        """Whether its failure leaves a dead letter."""
        ...

    @property
    def keep_result(self) -> bool:
        """Whether its result is kept."""
        ...

    @property
    def timeout(self) -> float | None:
        """How many seconds an attempt may take."""
        ...

    @property
    def on_loop(self) -> bool:
        """Whether it runs on the event loop; what does not can wait for a thread or a process before it starts."""
        ...

    @property
    def expires(self) -> float | None:
        """Seconds after it became due, after which it is no longer worth starting."""
        ...


class Rules(NamedTuple):
    """What is the same for all deliveries of an app.

    `functions` are those registered here, `keeps_rows` says whether there is a store, `message_limit` is the size of
    the largest message in bytes.
    """

    functions: Mapping[str, Registered]
    dead_letter_queue: str
    keeps_rows: bool
    message_limit: int


def keeps_row(rules: Rules, task: Task) -> bool:
    """Whether a terminal row is kept for this task."""
    return rules.keeps_rows and (
        task.keep_result
        or task.on_success is not None
        or task.on_failure is not None
        or bool(task.chain)
        or task.chain_on_failure is not None
    )


def as_registered(rules: Rules, task: Task) -> Task:
    """The task; if it was published by name, with what it left open as its function is registered here."""
    registered = rules.functions.get(task.function_name) if task.by_name else None
    if registered is None:
        return task
    changes: dict[str, Any] = {
        "acks_late": registered.acks_late,
        "should_dead_letter": registered.should_dead_letter,
        "keep_result": registered.keep_result,
    }
    if task.expires is None and registered.expires is not None and task.published_at is not None:
        due = max(task.published_at + task.delay, task.eta.timestamp() if task.eta is not None else 0)
        changes["expires_at"] = due + registered.expires
    return task.model_copy(update=changes)


def policy_of(rules: Rules, task: Task) -> RetryPolicy:
    """The policy that counts: the task's own, else the one its function is registered with."""
    return task.policy if task.policy is not None else rules.functions[task.function_name].policy
