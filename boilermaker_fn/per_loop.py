"""Who shares a client? All that runs in one event loop: sockets and locks belong to the loop they began in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One `T` for each event loop, made when it is first asked for there. A loop that is gone takes its own along."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()

    def current(self) -> T:
        """That of the running loop."""
        loop = asyncio.get_running_loop()
        found = self._by_loop.get(loop)
        if found is None:
            found = self._by_loop[loop] = self._make()
        return found

    def taken(self) -> T | None:
        """That of the running loop, to be closed: the next one who asks gets a new one. None if there is none."""
        return self._by_loop.pop(asyncio.get_running_loop(), None)
