"""What does an app need of its queues? Which they are, how long its tasks wait between attempts, how long they run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ...app import Boilermaker
from ...follow_ups import LONGEST_POSTPONEMENT
from ...host_settings import HostSettings
from ...registry import Registration
from ...retries import RetryPolicy


@dataclass(frozen=True, slots=True)
class Needs:
    """What the options of queues are compared with.

    `longest_delay` is between two attempts, `longest_lock` while one runs and its lock is renewed; both in seconds.
    """

    queues: tuple[str, ...]
    dead_letter_queue: str
    longest_delay: float
    longest_lock: float


def needs_of(app: Boilermaker | None, names: tuple[str, str], host: HostSettings | None) -> Needs:
    """What `app`, or any app on the queues `names` (of tasks, of what was given up), needs of them."""
    registered = [] if app is None else list(app.shell.registry.values())
    queues = (names[0], *(one.queue for one in registered if one.queue is not None))
    return Needs(
        queues=tuple(dict.fromkeys(queues)),
        dead_letter_queue=names[1],
        longest_delay=max(LONGEST_POSTPONEMENT, *map(longest_delay, _policies(registered))),
        longest_lock=_longest_lock(registered, host),
    )


def longest_delay(policy: RetryPolicy) -> float:
    """The longest that `policy` waits between two attempts, in seconds."""
    if policy.max_tries <= 1:
        return 0.0
    return policy.get_delay_interval(policy.max_tries - 2, chance=1.0)


def _policies(registered: Iterable[Registration]) -> list[RetryPolicy]:
    return [RetryPolicy.default(), *(one.policy for one in registered)]


def _longest_lock(registered: Iterable[Registration], host: HostSettings | None) -> float:
    """In Functions the host ends the renewal of locks, elsewhere the timeout of a task ends the task."""
    if host is not None and math.isfinite(host.lock_renewal):
        return host.lock_renewal
    return max((one.timeout for one in registered if one.timeout is not None), default=0.0)
