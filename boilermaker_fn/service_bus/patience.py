"""How long is an operation tried again? Until a deadline, with growing pauses; what does not pass fails at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from .failures import FAILURES, explained

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """With a queue of the namespace `host`. The SDK's own retries are switched off, so that there is one loop.

    `chance` gives numbers from 0 to 1, which spread the pauses.
    """

    queue: str
    host: str
    chance: Callable[[], float]

    async def until(self, deadline: float, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` returns; it begins its last try before `deadline` (time of the loop).

        After a first failure it tries again at once, whatever the time: a link may have broken while nobody looked.
        Raises QueueUnavailable.
        """
        pause = 0.0
        while True:
            try:
                return await attempt()
            except FAILURES as error:
                failure = explained(error, self.queue, self.host)
                if not failure.passing or (pause and asyncio.get_running_loop().time() + pause >= deadline):
                    raise failure from error
            await asyncio.sleep(pause * (0.5 + self.chance() / 2))
            pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
