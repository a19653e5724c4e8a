"""How are the queue's operations offered as the ports Transport and Inbox?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ..errors import NotSent, StoreUnavailable
from ..messages import DEAD_LETTER_SUFFIX, MAX_MESSAGE_BYTES, Delivery, Message, refusal
from . import queue as state
from . import settling
from .database import Database
from .queue import Received, Rules
from .wakeups import Wakeups

# Other processes cannot wake us: we look, the more seldom the longer nothing came.
_FIRST_POLL: Final = 0.01
_LAST_POLL: Final = 0.1
_SHORTEST_PAUSE: Final = 0.001


class LocalTransport:
    """Sends into the queues of one database."""

    def __init__(self, database: Database, wakeups: Wakeups, clock: Callable[[], float], rules: Rules) -> None:
        self._database = database
        self._wakeups = wakeups
        self._clock = clock
        self._rules = rules

    @property
    def max_message_bytes(self) -> int:
        """Body and properties, in bytes."""
        return MAX_MESSAGE_BYTES

    async def send(self, messages: Sequence[Message], *, numbered: bool = False) -> Mapping[str, int]:
        """Send all that fit, in one transaction; tells the numbers of all that are no duplicates. Raises NotSent."""
        failures: list[tuple[str, BaseException]] = []
        fitting = []
        numbers: Mapping[str, int] = {}
        for message in messages:
            problem = refusal(message)
            if problem is None:
                fitting.append(message)
            else:
                failures.append((message.message_id, ValueError(problem)))
        if fitting:
            try:
                numbers = await self._database.write(
                    lambda connection: state.enqueue(connection, self._clock(), fitting, self._rules)
                )
            except StoreUnavailable as error:
                failures += [(message.message_id, error) for message in fitting]
            else:
                self._wakeups.ring({message.queue for message in fitting})
        if failures:
            raise NotSent(failures)
        return numbers


class LocalInbox:
    """Receives from one queue of a database."""

    def __init__(
        self, database: Database, wakeups: Wakeups, clock: Callable[[], float], rules: Rules, queue: str
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._clock = clock
        self._rules = rules
        self._queue = queue

    @property
    def lock_duration(self) -> float:
        """Seconds."""
        return self._rules.lock_duration

    async def receive(self, count: int, wait: float) -> list[Delivery]:
        """Lock up to `count` messages. Waits up to `wait` seconds for the first one. Raises StoreUnavailable."""
        now = asyncio.get_running_loop().time
        end = now() + wait
        with self._wakeups.listen(self._queue) as woken:
            while True:
                woken.clear()
                deliveries = await self._take(count)
                if deliveries or now() >= end:
                    return deliveries
                await self._wait_for_more(woken, end)

    async def renew(self, delivery: Delivery) -> float:
        """Prolong the lock; returns its new end. Raises LockLost, StoreUnavailable."""
        return await self._database.write(
            lambda connection: settling.renew(connection, self._clock(), delivery, self._rules)
        )

    async def complete(self, delivery: Delivery) -> None:
        """Remove the message. Raises LockLost, StoreUnavailable."""
        await self._database.write(lambda connection: settling.complete(connection, self._clock(), delivery))

    async def release(self, delivery: Delivery) -> None:
        """Put the message back where it was. Raises LockLost, StoreUnavailable."""
        await self._database.write(lambda connection: settling.release(connection, self._clock(), delivery))
        self._wakeups.ring([self._queue])

    async def peek(self, count: int, after: int = 0) -> list[Delivery]:
        """Look at messages in any state, scheduled and locked ones too. Raises StoreUnavailable."""
        return await self._database.read(lambda connection: state.peek(connection, self._queue, count, after))

    async def _take(self, count: int) -> list[Delivery]:
        taking = self._database.write(
            lambda connection: state.receive(connection, self._clock(), self._queue, count, self._rules)
        )
        try:
            received = await asyncio.shield(taking)
        except asyncio.CancelledError:
            await self._give_back(taking)
            raise
        if received.set_aside:
            self._wakeups.ring([self._queue + DEAD_LETTER_SUFFIX])
        return received.deliveries

    async def _wait_for_more(self, woken: asyncio.Event, end: float) -> None:
        """Until a receive may find something, at the latest until `end` (time of the loop)."""
        loop_time = asyncio.get_running_loop().time
        poll = _FIRST_POLL
        while not woken.is_set() and (left := end - loop_time()) > 0:
            due = await self._database.read(lambda connection: state.next_due(connection, self._queue))
            pause = left if due is None else due - self._clock()
            if pause <= 0:
                return
            if self._database.path is not None:
                pause = min(pause, poll)
                poll = min(2 * poll, _LAST_POLL)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, max(pause, _SHORTEST_PAUSE))):
                    await woken.wait()

    async def _give_back(self, taking: asyncio.Future[Received]) -> None:
        """Put back what was received for a caller that was cancelled meanwhile."""
        with contextlib.suppress(StoreUnavailable):  # the locks expire
            if deliveries := (await taking).deliveries:
                await self._database.write(lambda connection: settling.take_back(connection, self._clock(), deliveries))
                self._wakeups.ring([self._queue])
