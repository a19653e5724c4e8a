"""Which task keeps the event loop to itself? One that goes on for long without awaiting anything.

All tasks of a process share its loop: while one computes, sleeps or reads without `await`, no other goes on, no lock is
renewed and no host is answered. That is reported when it is over, with the name of the task and how long it took.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Generator
from types import coroutine
from typing import Any, Final, TypeAlias, TypeVar

log = logging.getLogger("boilermaker_fn")

T = TypeVar("T")

#: How long a task may go on between two awaits before that is reported, in seconds.
LIMIT: Final = 0.5

Timer: TypeAlias = Callable[[], float]


@coroutine
def watched(work: Awaitable[T], name: str, timer: Timer = time.perf_counter) -> Generator[Any, Any, T]:
    """Await `work`, and log a warning for each of its steps, from one await to the next, that takes too long."""
    values: list[T] = []
    steps: Any = _into(values, work)  # a generator, and to a type checker only something to await
    resume: Callable[[Any], Any] | None = None
    given: Any = None
    started = timer()
    try:
        # A `for` loop makes no exception when the steps end, which would cost more than all the rest.
        for waiting_for in steps:
            if (seconds := timer() - started) > LIMIT:
                _report(name, seconds)
            try:
                given = yield waiting_for
            except GeneratorExit:
                started = timer()
                steps.close()
                raise
            except BaseException as error:
                resume, given = steps.throw, error
                break
            started = timer()
            if given is not None:  # no event loop does so, but a `for` loop could not pass it on
                resume = steps.send
                break
        if resume is not None:
            yield from _stepwise(steps, resume, given, name, timer)
    finally:
        given = None  # an error would hold this frame, and this frame the error
        if resume is None and (seconds := timer() - started) > LIMIT:
            _report(name, seconds)
    return values[0]


@coroutine
def _into(values: list[Any], work: Any) -> Generator[Any, Any, None]:
    """Keep what `work` returns: a `for` loop throws it away."""
    values.append((yield from work))


def _stepwise(
    steps: Generator[Any, Any, None], resume: Callable[[Any], Any], given: Any, name: str, timer: Timer
) -> Generator[Any, Any, None]:
    """`yield from steps`, resumed in this way, with a look at the timer before and after each step."""
    while True:
        started = timer()
        try:
            waiting_for = resume(given)
        except StopIteration:
            return
        finally:
            given = None  # as above
            if (seconds := timer() - started) > LIMIT:
                _report(name, seconds)
        try:
            given = yield waiting_for
            resume = steps.send
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as error:
            resume, given = steps.throw, error


def _report(name: str, seconds: float) -> None:
    log.warning(
        "%s blocked the event loop for %.3f s, and with it all other tasks of the process: await what waits, and "
        "register what blocks as a plain def, which gets a thread, or with cpu_bound=True",
        name,
        seconds,
        extra={"blocked_seconds": round(seconds, 3)},
    )
