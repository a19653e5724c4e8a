"""How long is something tried again? With growing pauses until a deadline; then it is said why."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

from ..errors import BoilermakerError, LimitExceeded, StoreUnavailable
from ..per_loop import PerLoop
from .answers import Answer, answer, described, remedy
from .turns import Turns

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError

T = TypeVar("T")

log = logging.getLogger("boilermaker_fn")

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
# A query that scans may take the service 5 s.
_ATTEMPT: Final = 6.0
_WORTH_TRYING_AGAIN: Final = (Answer.NotSent, Answer.Unknown, Answer.NoTable)


class Patience:
    """`seconds` are those of one operation, all tries together; `chance` gives numbers from 0 to 1."""

    def __init__(self, seconds: float, chance: Callable[[], float]) -> None:
        self._seconds = seconds
        self._chance = chance
        self._turns = PerLoop(Turns)

    async def until_answered(self, what: str, attempt: Callable[[bool], Awaitable[T]], *, writes: bool) -> T:
        """What `attempt` returns in the end. It is told whether an earlier one may have been done without our knowing.

        Raises StoreUnavailable, LimitExceeded.
        """
        turns = self._turns.current()
        async with turns.turn(what, self._seconds):
            return await self._tried(what, attempt, turns, writes)

    async def _tried(self, what: str, attempt: Callable[[bool], Awaitable[T]], turns: Turns, writes: bool) -> T:
        from azure.core.exceptions import AzureError

        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        unseen = False
        reason: AzureError | TimeoutError | None = None
        for tries in itertools.count(1):
            try:
                async with asyncio.timeout_at(min(end, loop.time() + _ATTEMPT)):
                    found = await attempt(unseen)
            except BoilermakerError:  # about the rows
                turns.answered()
                raise
            except (AzureError, TimeoutError) as error:
                said = answer(error)
                unseen = unseen or said is Answer.Unknown
                # The deadline can come within a try; what the others met says more.
                reason = reason if reason is not None and isinstance(error, TimeoutError) else error
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (tries - 1)) * (0.5 + self._chance() / 2)
                if said not in _WORTH_TRYING_AGAIN or loop.time() + pause >= end:
                    raise _given_up(what, reason, tries, unseen and writes) from error
                log.info("%s: %s; trying again in %.2f s", what, described(error), pause)
            else:
                turns.answered()
                return found
            await asyncio.sleep(pause)
        raise AssertionError("counting never ends")


def _given_up(
    what: str, error: AzureError | TimeoutError, tries: int, unseen: bool
) -> StoreUnavailable | LimitExceeded:
    if answer(error) is Answer.TooMuch:
        return LimitExceeded(f"{what}: the service refuses it: {described(error)}; nothing was written")
    doubt = "; whether it was done is not known" if unseen else ""
    times = "once" if tries == 1 else f"{tries} times"
    return StoreUnavailable(f"{what}: {described(error)} (tried {times}{doubt}): {remedy(error)}")
