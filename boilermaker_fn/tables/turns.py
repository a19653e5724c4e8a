"""Who may ask now? A limited number at once: thousands together would all be slow, and give up together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from ..errors import StoreUnavailable

#: More than a core can keep busy with the SDK, less than the connections of a pool.
AT_ONCE: Final = 64


class Turns:
    """The turns of one event loop."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)
        self._answered = 0.0

    def answered(self) -> None:
        """The service answered somebody."""
        self._answered = asyncio.get_running_loop().time()

    @asynccontextmanager
    async def turn(self, what: str, patience: float) -> AsyncIterator[None]:
        """A block that has its turn. Raises StoreUnavailable when nobody was answered for `patience` seconds."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while True:
            end = max(begun, self._answered) + patience
            try:
                async with asyncio.timeout_at(end):
                    await self._free.acquire()
                break
            except TimeoutError:
                if max(begun, self._answered) + patience > end:
                    continue
                raise StoreUnavailable(
                    f"{what}: the {AT_ONCE} operations before this one have had no answer for {patience:g} s; nothing "
                    "was sent: try again later"
                ) from None
        try:
            yield
        finally:
            self._free.release()
