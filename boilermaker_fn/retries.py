"""When is a task tried again, and after how long?

The names, the fields and their wire form (integers for delays and for the mode) are those of boilermaker-servicebus.
The delays are the documented ones: with n = 1 for the first retry, Fixed waits `delay`, Linear `delay * n`,
Exponential `delay * 2**(n - 1)`, each at most `delay_max`; Exponential is multiplied by a random factor
between 0.5 and 1 so that tasks that failed together do not come back together.
"""

from __future__ import annotations

import datetime
import enum
import random
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_MAX_TRIES = 5
MAX_REASONABLE_RETRIES = 100
MAX_BACKOFF_SECONDS = 3600

# What strangers may write into an envelope, so that ids, rows and due times made from it always fit.
MAX_COUNT = 1_000_000
MAX_SECONDS = 10 * 365 * 86_400

#: 2**n stops to matter long before it stops to be a float.
_LARGEST_EXPONENT = 64


# Limits on each member: pydantic checks those of a whole union in Python, each time a task is read.
_NotNegative = Field(ge=0, le=MAX_SECONDS)
_Seconds: TypeAlias = Annotated[int, _NotNegative] | Annotated[float, _NotNegative]


@enum.unique
class RetryMode(enum.IntEnum):
    """How delays grow. An integer on the wire."""

    Fixed = 0
    Exponential = 1
    Linear = 2


class RetryPolicy(BaseModel):
    """How often and after which delays a task is tried again.

    `max_tries` counts attempts, the first one included (so 1 and 0 mean: never again). `delay` and `delay_max` are
    seconds. `jitter` concerns Exponential only.
    """

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, frozen=True)

    max_tries: int = Field(default=DEFAULT_MAX_TRIES, ge=0, le=MAX_REASONABLE_RETRIES)
    delay: _Seconds = 0
    delay_max: _Seconds = MAX_BACKOFF_SECONDS
    retry_mode: RetryMode = RetryMode.Fixed
    jitter: bool = True

    def __eq__(self, other: object) -> bool:
        # NoRetry() and RetryPolicy.no_retry() are the same policy.
        return isinstance(other, RetryPolicy) and self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        return hash((self.max_tries, self.delay, self.delay_max, self.retry_mode, self.jitter))

    def __str__(self) -> str:
        return (
            f"RetryPolicy(max_tries={self.max_tries}, delay={self.delay}, "
            f"delay_max={self.delay_max}, retry_mode={self.retry_mode.name})"
        )

    @classmethod
    def default(cls) -> RetryPolicy:
        """Five attempts, 120 s apart."""
        return RetryPolicy(max_tries=5, delay=120, delay_max=120, retry_mode=RetryMode.Fixed)

    @classmethod
    def no_retry(cls) -> RetryPolicy:
        """One attempt."""
        return RetryPolicy(max_tries=1, delay=5, delay_max=5, retry_mode=RetryMode.Fixed)

    def get_delay_interval(self, attempts_so_far: int, chance: float | None = None) -> float:
        """Seconds to wait before the next attempt.

        `attempts_so_far` is 0 for the first retry, 1 for the second. `chance`, from 0 to 1, stands for the random
        part of Exponential (0 gives half the delay, 1 all of it); None draws one.
        """
        if self.retry_mode is RetryMode.Linear:
            return min(self.delay * (attempts_so_far + 1), self.delay_max)
        if self.retry_mode is RetryMode.Exponential:
            longest = min(self.delay * 2.0 ** min(attempts_so_far, _LARGEST_EXPONENT), self.delay_max)
            if not self.jitter:
                return longest
            drawn = random.random() if chance is None else chance  # noqa: S311 - spreads load, guards nothing
            return longest * (0.5 + drawn / 2)
        return min(self.delay, self.delay_max)


class NoRetry(RetryPolicy):
    """One attempt, as a policy: `policy=NoRetry()`."""

    model_config = ConfigDict(defer_build=True)

    def __init__(self, **data: Any) -> None:
        super().__init__(**{"max_tries": 1, "delay": 5, "delay_max": 5, "retry_mode": RetryMode.Fixed, **data})


def problem_with_policy(policy: object) -> str | None:
    """Why `policy` cannot be a task's policy, or None if it can.

    Unknown fields are kept when a message of a newer version is read; where somebody writes them they are misspelt.
    """
    if not isinstance(policy, RetryPolicy):
        return f"policy is {policy!r}, not a RetryPolicy"
    if unknown := sorted(policy.model_extra or {}):
        return f"policy has no {', '.join(map(repr, unknown))}: it has {', '.join(RetryPolicy.model_fields)}"
    return None


def exponential_without_jitter(max_retries: int, retry_delay: float) -> RetryPolicy:
    """The policy behind `max_retries=5, retry_delay=2.0`: waits of 2, 4, 8, 16 and 32 s."""
    return RetryPolicy(
        max_tries=max_retries + 1,
        delay=retry_delay,
        delay_max=max(MAX_BACKOFF_SECONDS, retry_delay),
        retry_mode=RetryMode.Exponential,
        jitter=False,
    )


class RetryAttempts(BaseModel):
    """How many attempts were made so far, and when the last one was."""

    model_config = ConfigDict(extra="allow")

    attempts: int = Field(default=0, ge=0, le=MAX_COUNT)
    last_retry: datetime.datetime

    @classmethod
    def default(cls) -> RetryAttempts:
        """No attempt yet."""
        return cls(attempts=0, last_retry=datetime.datetime.now(datetime.UTC))

    def inc(self, when: datetime.datetime) -> int:
        """Count one more attempt, made at `when`; returns the new count."""
        self.attempts += 1
        self.last_retry = when
        return self.attempts


class RetryException(Exception):
    """Raised by a task function to be tried again. Raises TypeError for a `policy` that cannot be one.

    `policy` replaces the task's policy, for this retry and all later ones. When no attempts are left the task has
    failed with the reason RetriesExhausted.
    """

    #: As a class variable too: subclasses of users do not always call `super().__init__`.
    policy: RetryPolicy | None = None

    def __init__(self, msg: str, policy: RetryPolicy | None = None) -> None:
        super().__init__(msg)
        if policy is not None and (problem := problem_with_policy(policy)):
            raise TypeError(f"{type(self).__name__}: {problem}")
        self.msg = msg
        self.policy = policy


class RetryExceptionDefault(RetryException):
    """Try again by `RetryPolicy.default()`: five attempts, 120 s apart."""

    def __init__(self, msg: str) -> None:
        super().__init__(msg, policy=RetryPolicy.default())


def _default_policy(mode: RetryMode, changes: dict[str, Any]) -> RetryPolicy:
    return RetryPolicy(**{"max_tries": 5, "delay": 30, "delay_max": 600, "retry_mode": mode, **changes})


class RetryExceptionDefaultExponential(RetryException):
    """Try again with exponential delays from 30 s up to 600 s, five attempts; keywords change the policy."""

    def __init__(self, msg: str, **kwargs: Any) -> None:
        super().__init__(msg, policy=_default_policy(RetryMode.Exponential, kwargs))


class RetryExceptionDefaultLinear(RetryException):
    """Try again with linear delays of 30, 60, 90 s up to 600 s, five attempts; keywords change the policy."""

    def __init__(self, msg: str, **kwargs: Any) -> None:
        super().__init__(msg, policy=_default_policy(RetryMode.Linear, kwargs))
