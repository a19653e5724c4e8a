"""How is a task function run once? On the loop, in a thread or in a process; always with an outcome, never an error.

Only an interruption from outside (this attempt's asyncio task is being cancelled) is told apart from an error: it ends
with Interrupted, and the attempt does not count.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from .attempts import outcome_of_call, outcome_of_error, outcome_of_value
from .blocking import watched
from .errors import TaskTimeout
from .outcomes import Interrupted, Outcome
from .registry import Kind, Registration
from .task.task import Task

if TYPE_CHECKING:
    from .processes import Processes
    from .threads import DaemonThreads

log = logging.getLogger("boilermaker_fn")

#: How many blocking functions run at once in one process.
MAX_THREADS: Final = 32


class _NoPlace(Exception):
    """All threads, or all processes, stayed taken for too long."""


class Execution:
    """Runs attempts. `state` is the first argument of every function but those in processes. One per event loop.

    `longest` is how long an attempt may take whatever else is said, in seconds; None where nobody is in a hurry.
    """

    def __init__(self, state: Any, longest: float | None = None) -> None:
        self._state = state
        self._longest = longest
        self._processes: Processes | None = None
        self._free_threads = asyncio.Semaphore(MAX_THREADS)
        self._free_processes = asyncio.Semaphore(os.cpu_count() or 1)

    async def run(self, registration: Registration, task: Task) -> Outcome:
        """Run one attempt of `task`."""
        timeout = task.timeout if task.timeout is not None else registration.timeout
        if self._longest is not None:
            timeout = _shorter(timeout, self._longest)
        try:
            if registration.kind is Kind.LOOP:
                return await self._on_loop(registration, task, timeout)
            if registration.kind is Kind.THREAD:
                return await self._in_thread(registration, task, timeout)
            return await self._in_process(registration, task, timeout)
        except _NoPlace:
            log.warning("%s goes back: %g s without a free place to run", registration.name, (self._longest or 0) / 2)
            return Interrupted()
        except asyncio.CancelledError as error:
            if _being_cancelled():
                return Interrupted()
            return outcome_of_error(error, registration.retry_on)  # the function raised it by itself

    @cached_property
    def _threads(self) -> DaemonThreads:
        from .threads import DaemonThreads  # many an app has no blocking function

        return DaemonThreads()

    def close(self) -> None:
        """Kill child processes. Threads end with the process."""
        if self._processes is not None:
            self._processes.close()

    async def _on_loop(self, registration: Registration, task: Task, timeout: float | None) -> Outcome:
        signature = registration.signature
        try:
            args, kwargs = signature.revive(*_arguments(task))
            call = watched(registration.fn(self._state, *args, **kwargs), registration.name)
            value = await (call if timeout is None else _limited(call, timeout))
        except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
            raise  # these come from outside
        except BaseException as error:
            return outcome_of_error(error, registration.retry_on)
        return outcome_of_value(value, signature)

    async def _in_thread(self, registration: Registration, task: Task, timeout: float | None) -> Outcome:
        if self._free_threads.locked():
            log.warning("%s waits for a thread: all %d are taken", registration.name, MAX_THREADS)
        timeout = await self._place(self._free_threads, timeout)
        context, leading = contextvars.copy_context(), (self._state,)
        args, kwargs = _arguments(task)
        fn, signature, retry_on = registration.fn, registration.signature, registration.retry_on

        def run() -> Outcome:
            return context.run(outcome_of_call, fn, signature, leading, args, kwargs, retry_on)

        try:
            call = asyncio.get_running_loop().run_in_executor(self._threads, run)
        except RuntimeError:  # the system gives no more threads: not the task's fault, so its message goes back
            self._free_threads.release()
            raise
        # A thread cannot be killed: its place stays taken until it ends, however long after its time limit.
        call.add_done_callback(lambda _: self._free_threads.release())
        done, _ = await asyncio.wait({call}, timeout=timeout)
        if not done:
            log.warning("%s ran out of time; its thread goes on and keeps its place until it ends", registration.name)
            return outcome_of_error(TaskTimeout(timeout or 0), registration.retry_on)
        return call.result()

    async def _in_process(self, registration: Registration, task: Task, timeout: float | None) -> Outcome:
        timeout = await self._place(self._free_processes, timeout)
        try:
            if self._processes is None:
                from .processes import Processes

                self._processes = Processes()
            args, kwargs = _arguments(task)
            return await self._processes.run(registration.fn, args, kwargs, registration.retry_on, timeout)
        finally:
            self._free_processes.release()

    async def _place(self, places: asyncio.Semaphore, timeout: float | None) -> float | None:
        """Wait for a place and take it; returns the time limit from then on. Raises _NoPlace.

        Waiting is not running: a task's own time starts when it has its place. Where there is a longest time, waiting
        is a part of that one, at most half of it, so that whatever starts has the other half.
        """
        clock = asyncio.get_running_loop().time
        since = clock()
        try:
            async with asyncio.timeout(None if self._longest is None else self._longest / 2):
                await places.acquire()
        except TimeoutError:
            raise _NoPlace from None
        return timeout if self._longest is None else _shorter(timeout, self._longest - (clock() - since))


def _shorter(timeout: float | None, longest: float) -> float:
    return longest if timeout is None else min(timeout, longest)


async def _limited(call: Any, timeout: float) -> Any:
    limit = asyncio.timeout(timeout)
    try:
        async with limit:
            return await call
    except TimeoutError as error:
        if limit.expired():
            raise TaskTimeout(timeout) from error
        raise


def _arguments(task: Task) -> tuple[list[Any], dict[str, Any]]:
    payload = task.payload
    return payload.get("args") or [], payload.get("kwargs") or {}


def _being_cancelled() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0
