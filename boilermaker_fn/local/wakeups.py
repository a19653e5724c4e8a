"""Who in this process waits for a queue, and how does a sender wake them?

Waiting receivers may be in several event loops and threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterable, Iterator


class Wakeups:
    """For each queue, the events of those who wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, dict[asyncio.Event, asyncio.AbstractEventLoop]] = {}

    @contextlib.contextmanager
    def listen(self, queue: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the queue may have something new, while the block lasts."""
        event = asyncio.Event()
        with self._lock:
            self._waiting.setdefault(queue, {})[event] = asyncio.get_running_loop()
        try:
            yield event
        finally:
            with self._lock:
                del self._waiting[queue][event]
                if not self._waiting[queue]:
                    del self._waiting[queue]

    def ring(self, queues: Iterable[str]) -> None:
        """Wake all who wait for one of `queues`. All, because one that is woken may be on its way out."""
        with self._lock:
            waiting = [pair for queue in queues for pair in self._waiting.get(queue, {}).items()]
        here = asyncio.get_running_loop()
        for event, loop in waiting:
            if loop is here:
                event.set()
                continue
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(event.set)
