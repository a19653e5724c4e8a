"""Where do functions run that compute? In a pool of processes that survives a child that is killed.

A function travels as `module:qualname` and its arguments as JSON data, so nothing is unpickled that came from a queue.
The pool forks from a server: a child does not inherit the threads and locks of the process that serves tasks.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .attempts import Exceptions, outcome_of_call, outcome_of_error
from .errors import TaskTimeout
from .outcomes import Outcome
from .signature import Signature
from .threads import DaemonThreads


class Processes:
    """Runs functions in child processes: as many at once as there are processors."""

    def __init__(self) -> None:
        self._pool: Any = None
        self._waiting = DaemonThreads()

    async def run(
        self,
        fn: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        retry_on: Exceptions,
        timeout: float | None,
    ) -> Outcome:
        """Run `fn` and say how that ended. After `timeout` seconds of running the child is killed."""
        call = self._started().schedule(run_here, (address_of(fn), args, kwargs, retry_on), timeout=timeout)
        try:
            outcome: Outcome = await asyncio.get_running_loop().run_in_executor(self._waiting, call.result)
        except TimeoutError:
            return outcome_of_error(TaskTimeout(timeout or 0), retry_on)
        except asyncio.CancelledError:
            call.cancel()  # kills the child, and lets the waiting thread go
            raise
        except Exception as error:  # the child died (killed, out of memory), or could not start
            return outcome_of_error(error, retry_on)
        return outcome

    def close(self) -> None:
        """Kill the children."""
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None

    def _started(self) -> Any:
        if self._pool is not None and not self._pool.active:
            # Pebble gives its pool up for good when a child dies that has nothing to do.
            self.close()
        if self._pool is None:
            import multiprocessing

            from pebble import ProcessPool

            method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
            self._pool = ProcessPool(max_workers=os.cpu_count() or 1, context=multiprocessing.get_context(method))
        return self._pool


def address_of(fn: Callable[..., Any]) -> str:
    """How another process finds the function."""
    return f"{fn.__module__}:{fn.__qualname__}"


def run_here(address: str, args: Sequence[Any], kwargs: Mapping[str, Any], retry_on: Exceptions) -> Outcome:
    """What a child does: find the function, call it, and say how that ended."""
    fn, signature = _found(address)
    return outcome_of_call(fn, signature, (), args, kwargs, retry_on)


@functools.cache
def _found(address: str) -> tuple[Callable[..., Any], Signature]:
    module, _, qualname = address.partition(":")
    fn: Any = importlib.import_module(module)
    for part in qualname.split("."):
        fn = getattr(fn, part)
    return fn, Signature(fn.__name__, fn, takes_state=False)
