"""How is a link for sending always ready? It is opened on first use, kept, and replaced before a caller waits for it.

The service detaches a link after ten idle minutes, and connections break. Whoever sends on such a link loses seconds.
So a link that was idle for some minutes is replaced in the background, and so is one that is seen to be broken. A
process that was frozen meanwhile (a laptop, an instance of a Function App) goes by the wall clock when it sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from azure.servicebus.aio import ServiceBusSender

from .failures import HARMLESS
from .links import Opened, opened

log = logging.getLogger("boilermaker_fn.service_bus")

#: What a link is used for. Scheduling goes over a link of its own, which is detached when it is idle, on its own.
Use: TypeAlias = Literal["send", "schedule"]


@dataclass(frozen=True, slots=True)
class Upkeep:
    """When links are looked after, in seconds: how often they are looked at, and how long one may be idle.

    After `stale` nobody trusts a link any more that could not be replaced; the service detaches it after 600.
    """

    look: float = 5.0
    idle: float = 240.0
    stale: float = 540.0


class SenderLink:
    """The link for one queue in one event loop. `make` makes a sender that is not open yet."""

    def __init__(self, make: Callable[[], ServiceBusSender], upkeep: Upkeep) -> None:
        self._make = make
        self._upkeep = upkeep
        self._lock = asyncio.Lock()
        self._sender: Opened[ServiceBusSender] | None = None
        self._used_at: dict[Use, float] = {}
        self._replacing: asyncio.Task[Opened[ServiceBusSender]] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def exclusive(self, use: Use) -> AsyncIterator[ServiceBusSender]:
        """An open sender, for one user at a time. It is given up when the block raises, unless that is harmless."""
        async with self._lock:
            sender = await self._ready()
            try:
                yield sender.link
            except BaseException as error:
                if not isinstance(error, HARMLESS):
                    self._give_up(sender)
                raise
            finally:
                self._used_at[use] = time.time()

    async def close(self) -> None:
        """Detach and disconnect; used again, it opens again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._replacing is not None:
            self._replacing.cancel()
            await asyncio.wait([self._replacing])
        async with self._lock:
            self._give_up(self._sender)
        await asyncio.gather(*self._closing)

    async def _ready(self) -> Opened[ServiceBusSender]:
        if not self._usable() and self._replacing is not None:
            await asyncio.wait([self._replacing])
        if not self._usable():
            self._give_up(self._sender)
        if self._sender is not None:
            return self._sender
        sender = self._adopted(await opened(self._make()))
        if self._timer is None:
            self._look_later()
        return sender

    def _adopted(self, sender: Opened[ServiceBusSender]) -> Opened[ServiceBusSender]:
        self._give_up(self._sender)
        self._sender = sender
        self._used_at = {"send": time.time()}
        return sender

    def _usable(self) -> bool:
        return self._sender is not None and self._idle() < self._upkeep.stale and self._sender.attached

    def _idle(self) -> float:
        # Not the loop's clock: that one stands still while the machine sleeps.
        return max(time.time() - min(self._used_at.values()), 0.0)

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(
            self._upkeep.look,
            self._look,
            context=contextvars.Context(),  # not that of the task which happened to open the link
        )

    def _look(self) -> None:
        self._timer = None
        if self._sender is None:
            return  # whoever opens the next one will look after it
        self._look_later()
        if self._replacing is None and (self._idle() >= self._upkeep.idle or not self._sender.attached):
            self._replacing = asyncio.ensure_future(opened(self._make()))
            self._replacing.add_done_callback(self._replaced)

    def _replaced(self, opening: asyncio.Task[Opened[ServiceBusSender]]) -> None:
        self._replacing = None
        if opening.cancelled():
            return
        if (error := opening.exception()) is not None:
            log.info("the idle link for sending could not be replaced, next try in %g s: %s", self._upkeep.look, error)
            return
        self._adopted(opening.result())

    def _give_up(self, sender: Opened[ServiceBusSender] | None) -> None:
        if sender is not None and sender is self._sender:
            self._sender = None
            task = asyncio.ensure_future(self._closed(sender))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _closed(self, sender: Opened[ServiceBusSender]) -> None:
        async with self._lock:  # who still sends on it, holds this
            pass
        await sender.close()
