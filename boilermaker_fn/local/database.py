"""How do event loops share one SQLite connection?

With a file, one thread drains all work that is waiting and does it in one transaction (group commit): a hundred small
writes cost little more than one. Callers hear of it only after the commit. In memory, work is done at once on the
caller's thread, so that a test is deterministic. Callers may be in several loops and threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from .schema import Owner
from .transactions import Outcome, T, Transactions, Work

_MAX_BATCH: Final = 256


class _Job(NamedTuple):
    future: asyncio.Future[Any]
    work: Work[Any]
    writing: bool


_Told: TypeAlias = tuple[asyncio.Future[Any], Outcome]


class Database:
    """One SQLite file (made when it is first used, parent directory included), or memory when `path` is None.

    Only its `owner` opens a file again; work raises ConfigurationError elsewhere.
    """

    def __init__(self, path: Path | None = None, owner: Owner = Owner.ENGINE) -> None:
        self.path = path
        self.owner = owner
        self.name = f"the file {path}" if path else "memory"
        self._lock = threading.Lock()
        self._memory = Transactions(None, self.name, owner)
        weakref.finalize(self, self._memory.close)  # nobody needs to close what leaves nothing behind
        self._thread: _FileThread | None = None
        self._lost_in_fork: list[_FileThread] = []

    def read(self, work: Work[T]) -> asyncio.Future[T]:
        """Do `work`, which only reads. Raises what it raises, and StoreUnavailable."""
        return self._submit(work, writing=False)

    def write(self, work: Work[T]) -> asyncio.Future[T]:
        """Do `work`; done when it is durable. Raises what it raises, and StoreUnavailable: nothing was done then."""
        return self._submit(work, writing=True)

    async def close(self) -> None:
        """Finish what is waiting and close the file; what is used again opens it again. Memory is not cleared."""
        self._recover_from_fork()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.jobs.put(None)
            await asyncio.to_thread(thread.join)

    def _submit(self, work: Work[T], *, writing: bool) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._recover_from_fork()
        with self._lock:
            if self.path is None:
                (outcome,) = self._memory.do([work], writing=writing)
                # Told in the loop's next round: as with a file, awaiting always lets others run.
                loop.call_soon(_resolve, [(future, outcome)])
                return future
            if self._thread is None:
                self._thread = _FileThread(self.path, self.name, self.owner)
                self._thread.start()
            self._thread.jobs.put(_Job(future, work, writing))
        return future

    def _recover_from_fork(self) -> None:
        """In a forked process the thread is gone, and the connection is the parent's: leave it, even unclosed."""
        if self._thread is not None and self._thread.process != os.getpid():
            self._lost_in_fork.append(self._thread)
            self._thread = None
            self._lock = threading.Lock()


class _FileThread(threading.Thread):
    """Does all work on one file. A daemon: it never holds up the end of the program."""

    def __init__(self, path: Path, name: str, owner: Owner) -> None:
        super().__init__(name=f"SQLite {path.name}", daemon=True)
        self.process = os.getpid()
        self.jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._transactions = Transactions(path, name, owner)

    def run(self) -> None:
        last = False
        while not last:
            batch = [self.jobs.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < _MAX_BATCH:
                    batch.append(self.jobs.get_nowait())
            last = None in batch
            jobs = [job for job in batch if job is not None and not job.future.cancelled()]
            if jobs:
                writing = any(job.writing for job in jobs)
                outcomes = self._transactions.do([job.work for job in jobs], writing=writing)
                _tell([(job.future, outcome) for job, outcome in zip(jobs, outcomes, strict=True)])
        self._transactions.close()


def _tell(outcomes: Sequence[_Told]) -> None:
    """Resolve the futures in their loops, with one wake-up for each loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Told]] = {}
    for told in outcomes:
        by_loop.setdefault(told[0].get_loop(), []).append(told)
    for loop, its_outcomes in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, its_outcomes)


def _resolve(outcomes: Sequence[_Told]) -> None:
    for future, (result, error) in outcomes:
        if future.done():  # its caller was cancelled
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
