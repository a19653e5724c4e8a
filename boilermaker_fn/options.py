"""How is a task published? The options, checked all at once where they are given."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, fields
from typing import Any, TypedDict

from .errors import OptionError
from .ids import problem_with_id, problem_with_queue
from .retries import MAX_SECONDS, RetryPolicy, problem_with_policy
from .task.task import Task


class Options(TypedDict, total=False):
    """The options as keywords: `app.options(delay=60)`. What they mean stands at PublishOptions."""

    delay: float | None
    eta: datetime.datetime | None
    policy: RetryPolicy | None
    queue: str | None
    task_id: str | None
    timeout: float | None
    expires: float | None
    publish_attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishOptions:
    """Options of one publishing; None means: as registered.

    `delay` (seconds from now, or from when it is sent as a callback) and `eta` (an aware datetime) say when the task
    becomes due; `expires` is how many seconds after that it is no longer worth starting; `timeout` how many
    seconds an attempt may take. `queue` names another queue. A `task_id` chosen by the caller makes publishing
    idempotent. `publish_attempts` is how often sending is tried.
    """

    delay: float | None = None
    eta: datetime.datetime | None = None
    policy: RetryPolicy | None = None
    queue: str | None = None
    task_id: str | None = None
    timeout: float | None = None
    expires: float | None = None
    publish_attempts: int = 1

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise OptionError(problems)

    def applied(self, task: Task) -> Task:
        """The task with these options set on it.

        Raises AlreadyPublished if that would change what was sent, OptionError if it is no task.
        """
        if not isinstance(task, Task):
            raise OptionError([f"{task!r} is no task: make it one with app.create_task(...)"])
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or field.name == "publish_attempts":
                continue
            if getattr(task, field.name) != value:
                setattr(task, field.name, value)
        return task


def _problems(options: PublishOptions) -> list[str]:
    problems = [
        f"{name} is {value!r}: it must be a number of seconds{' above 0' if above else ', 0 or more'}"
        f"{f' (at most {MAX_SECONDS})' if isinstance(value, int | float) and value > MAX_SECONDS else ''}"
        for name, value, above in (
            ("delay", options.delay, False),
            ("timeout", options.timeout, True),
            ("expires", options.expires, True),
        )
        if value is not None and not _is_seconds(value, above=above)
    ]
    if options.eta is not None:
        problems += _problems_of_eta(options)
    if options.policy is not None and (problem := problem_with_policy(options.policy)):
        problems.append(problem)
    if options.queue is not None and (problem := problem_with_queue(options.queue)):
        problems.append(f"queue {problem}")
    if options.task_id is not None and (problem := problem_with_id(options.task_id)):
        problems.append(problem)
    attempts = options.publish_attempts
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        problems.append(f"publish_attempts is {attempts!r}: it must be a whole number, 1 or more")
    return problems


def _problems_of_eta(options: PublishOptions) -> list[str]:
    problems = []
    if not isinstance(options.eta, datetime.datetime):
        problems.append(f"eta is {options.eta!r}, not a datetime")
    elif options.eta.tzinfo is None:
        problems.append(
            f"eta is {options.eta!r} without a time zone: add tzinfo=datetime.UTC, or the zone it is meant in"
        )
    if options.delay is not None:
        problems.append("delay and eta exclude each other")
    return problems


def _is_seconds(value: Any, *, above: bool) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool) or not value <= MAX_SECONDS:
        return False
    return value > 0 if above else value >= 0
