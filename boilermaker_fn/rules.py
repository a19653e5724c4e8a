"""What is the same for all deliveries of an app, and what follows from it for a task?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from .retries import RetryPolicy
from .task.task import Task


class Registered(Protocol):
    """What the core needs to know of a registered function."""

    @property
    def policy(self) -> RetryPolicy:
        """When a task of this function is tried again, unless the task says otherwise."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
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


def policy_of(rules: Rules, task: Task) -> RetryPolicy:
    """The policy that counts: the task's own, else the one its function is registered with."""
    return task.policy if task.policy is not None else rules.functions[task.function_name].policy
