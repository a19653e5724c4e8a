"""How does time pass in a test? An event loop that jumps to its next timer as soon as nothing else is left to do.

`asyncio.sleep` and `asyncio.timeout` cost nothing. Work in threads and processes, started through the loop's
executors, takes the real time it takes: the loop waits for it, and timers that come due meanwhile fire when they
really would. Work that ends before the next timer takes no time on the virtual clock, so that tests stay exact.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final, TypeAlias, TypeVar, TypeVarTuple

from ..errors import BoilermakerError

#: Real seconds that open sockets and pipes get to answer before time jumps.
_FOR_SOCKETS: Final = 0.05
#: Real seconds that other threads get to wake a loop in which nothing is left to happen.
_FOR_STRANGERS: Final = 1.0
#: What executors really take is put on the virtual clock in steps of at least so many seconds.
_GRAIN: Final = 0.1

# Before Python 3.12 joining the executor had no time limit.
_OLD: Final = sys.version_info < (3, 12)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Seconds; above the precision of a float that counts seconds since the epoch.
_TICK: Final = 1e-6

_Events: TypeAlias = list[tuple[selectors.SelectorKey, int]]
_Wait: TypeAlias = Callable[[float | None], _Events]


class Deadlock(BoilermakerError, RuntimeError):
    """A coroutine waits for what nothing will ever do."""

    def __init__(self, waiting: list[str]) -> None:
        super().__init__(
            "nothing is left that could happen: no timer, no work in a thread or process, and still waiting are "
            f"{', '.join(waiting) or 'callbacks only'}; look for an event nobody sets or a future nobody resolves"
        )
        self.waiting = waiting


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` begins at `start` (seconds) and passes without being waited for.

    Raises Deadlock out of `run_until_complete` when nothing is left that could go on. What code outside of the loop
    says by `call_soon_threadsafe` is heard at once, but not waited for.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._outside = 0
        self._really_waited = 0.0
        self._resting: list[asyncio.Future[None]] = []
        self._waits = _Selector(self._nothing_ready)
        super().__init__(self._waits)
        # A timer fires when less than this is left. With the default of a nanosecond the sum is lost in rounding when
        # times are large, and a timer that is due would never fire.
        self._clock_resolution = _TICK
        self._own_files = len(self._waits.get_map())

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    async def at_rest(self) -> None:
        """Return when everything that can happen without time passing has happened."""
        rest = self.create_future()
        self._resting.append(rest)
        await rest

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As everywhere; time does not jump until the call has ended, or whoever waits for it gives up."""
        call = super().run_in_executor(executor, func, *args)
        self._outside += 1
        call.add_done_callback(self._came_back)
        return call

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """As everywhere; its time limit (Python 3.12 and later) is real."""
        self._outside += 1
        try:
            await super().shutdown_default_executor(*(() if timeout is None or _OLD else (timeout,)))
        finally:
            self._outside -= 1

    def _came_back(self, _: object) -> None:
        self._outside -= 1

    def _nothing_ready(self, timeout: float | None, wait: _Wait) -> _Events:
        """What the selector does when no callback is ready. The next timer is due in `timeout` seconds."""
        if self._outside:
            return self._wait_for_outside(timeout, wait)
        self._really_waited = 0.0
        if self._resting:
            for rest in self._resting:
                if not rest.done():
                    rest.set_result(None)
            self._resting.clear()
            return []
        if timeout is None:
            return wait(_FOR_STRANGERS) or self._give_up()
        if len(self._waits.get_map()) > self._own_files and (events := wait(_FOR_SOCKETS)):
            return events
        self._now += timeout
        return []

    def _wait_for_outside(self, timeout: float | None, wait: _Wait) -> _Events:
        began = time.monotonic()
        events = wait(None if timeout is None else max(0.0, timeout - self._really_waited))
        self._really_waited += time.monotonic() - began
        if timeout is not None and self._really_waited >= timeout:
            self._now += timeout
            self._really_waited -= timeout
        elif self._really_waited >= _GRAIN:
            self._now += self._really_waited
            self._really_waited = 0.0
        return events

    def _give_up(self) -> _Events:
        waiting = sorted(str(task.get_coro()) for task in asyncio.all_tasks(self))
        raise Deadlock([name.removeprefix("<").split(" at 0x")[0] for name in waiting])


class _Selector(selectors.DefaultSelector):
    """Asks `nothing_ready` instead of waiting."""

    def __init__(self, nothing_ready: Callable[[float | None, _Wait], _Events]) -> None:
        super().__init__()
        self._nothing_ready = nothing_ready

    def select(self, timeout: float | None = None) -> _Events:
        """The files that are ready."""
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        return self._nothing_ready(timeout, super().select)
