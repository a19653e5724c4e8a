"""How does a long-running process work a queue? N tasks at once, locks renewed, and a clean end.

A worker never reserves more than it can run. No error of a backend ends it: it says what happened, waits and goes on.
Stopping takes nothing more, lets what runs finish within the grace period, interrupts the rest and hands it back; that
uses up no attempt.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from .errors import Held, LockLost
from .messages import DEAD_LETTER_SUFFIX, Delivery
from .ports import Inbox
from .runner import Runner
from .shell import Shell

log = logging.getLogger("boilermaker_fn.worker")

#: Longest wait for a message, in seconds.
_WAIT: Final = 1.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0
#: How often in the duration of a lock it is renewed.
_RENEWALS: Final = 3

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


Handle: TypeAlias = Callable[[Delivery], Awaitable[str]]


class Worker:
    """Runs the tasks of all queues of an app, `concurrency` of each queue at once.

    It also records the failure of messages that the broker gave up. `grace` is in seconds.
    """

    def __init__(self, shell: Shell, *, concurrency: int, grace: float) -> None:
        if not isinstance(concurrency, int) or concurrency < 1:
            raise ValueError(f"concurrency is {concurrency!r}: it must be a whole number, 1 or more")
        if not isinstance(grace, int | float) or not grace >= 0:
            raise ValueError(f"grace is {grace!r}: it must be a number of seconds, 0 or more")
        self._shell = shell
        self._concurrency = concurrency
        self._grace = grace
        self._running: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._runner: Runner | None = None

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT, then stop. A second signal interrupts at once.

        Raises RuntimeError where signals cannot be handled.
        """
        loop = asyncio.get_running_loop()
        try:
            for number in _SIGNALS:
                loop.add_signal_handler(number, self._signalled, number)
        except (NotImplementedError, RuntimeError, ValueError) as error:
            raise RuntimeError(
                "a worker that runs until a signal comes needs Unix and the main thread: use `async with app` elsewhere"
            ) from error
        try:
            await self.start()
            await self._stopping.wait()
            await self.stop()
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    async def start(self) -> None:
        """Start to take messages, in the background. Raises RuntimeError when it was started before."""
        if self._loops:
            raise RuntimeError("this worker was started before: make a new one with app.worker()")
        engine, self._runner = self._shell.wiring.engine, self._shell.runner()
        queues = self._shell.queues
        log.info("working %s on %s, %d tasks at once", ", ".join(queues), engine.name, self._concurrency)
        for queue in queues:
            self._spawn(self._serve(engine.inbox(queue), self._runner.handle, self._concurrency), f"serve {queue}")
            # Recording what the broker gave up runs no user code: one at a time is enough, and takes no place away.
            self._spawn(self._serve(engine.inbox(queue + DEAD_LETTER_SUFFIX), self._runner.reap, 1), f"reap {queue}")

    async def stop(self) -> None:
        """Take nothing more, finish what runs within the grace period, hand back the rest."""
        self._stopping.set()
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        if self._running:
            log.info("stopping: %d tasks have %g s to finish", len(self._running), self._grace)
            await asyncio.wait(self._running, timeout=self._grace)
        await self._interrupt()
        if self._runner is not None:
            self._runner.close()
        log.info("stopped")

    def _signalled(self, number: int) -> None:
        if self._stopping.is_set():
            log.warning("%s again: interrupting %d tasks", signal.Signals(number).name, len(self._running))
            self._grace = 0.0
            for task in self._running:
                task.cancel()
        self._stopping.set()

    async def _interrupt(self) -> None:
        interrupted = list(self._running)
        for task in interrupted:
            task.cancel()
        if interrupted:
            await asyncio.wait(interrupted, timeout=_LONGEST_PAUSE)
        for task in self._running:
            log.error("%s does not let itself be interrupted; its message comes again when its lock expires", task)

    def _spawn(self, work: Awaitable[None], name: str) -> None:
        self._loops.append(asyncio.ensure_future(work))
        self._loops[-1].set_name(name)

    async def _serve(self, inbox: Inbox, handle: Handle, places: int) -> None:
        slots, pause = _Slots(places), _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                await self._take(inbox, handle, slots)
                pause = _FIRST_PAUSE
            except Exception as error:  # a backend that fails must not end the worker
                log.warning("cannot receive, next try in %g s: %s: %s", pause, type(error).__name__, error)
                await _wait_for(self._stopping, pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    async def _take(self, inbox: Inbox, handle: Handle, slots: _Slots) -> None:
        """Reserve the places that are free, receive at most as many messages, and start them."""
        places = await slots.some_within(_WAIT)
        if not places:
            return
        taken = 0
        try:
            for delivery in await inbox.receive(places, _WAIT):
                self._start(inbox, delivery, handle, slots)
                taken += 1
        finally:
            slots.give_back(places - taken)

    def _start(self, inbox: Inbox, delivery: Delivery, handle: Handle, slots: _Slots) -> None:
        task = asyncio.ensure_future(self._process(inbox, delivery, handle))
        self._running.add(task)
        task.add_done_callback(lambda done: self._done(done, slots))

    def _done(self, task: asyncio.Task[None], slots: _Slots) -> None:
        self._running.discard(task)
        slots.give_back(1)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a message was not settled; it comes again when its lock expires", exc_info=error)

    async def _process(self, inbox: Inbox, delivery: Delivery, handle: Handle) -> None:
        renewal = _Renewal(inbox, delivery)
        try:
            await handle(delivery)
        except asyncio.CancelledError:
            await _released(inbox, delivery)
            raise
        except Exception as error:
            if not isinstance(error, Held):
                log.exception("message %s goes back to the queue", delivery.message_id)
            try:
                # It comes again at once, from a dead-letter sub-queue without end.
                await _wait_for(self._stopping, min(delivery.delivery_count, _LONGEST_PAUSE))
            finally:
                await _released(inbox, delivery)
        else:
            await _completed(inbox, delivery)
        finally:
            renewal.stop()


async def _completed(inbox: Inbox, delivery: Delivery) -> None:
    try:
        await inbox.complete(delivery)
    except LockLost as error:
        log.warning("done, but %s", error)


async def _released(inbox: Inbox, delivery: Delivery) -> None:
    try:
        await inbox.release(delivery)
    except LockLost as error:
        log.warning("not handed back: %s", error)


class _Renewal:
    """Keeps the lock of a message until it is stopped, or the lock is lost. Short tasks cost a timer, and no task."""

    def __init__(self, inbox: Inbox, delivery: Delivery) -> None:
        self._inbox = inbox
        self._delivery = delivery
        self._renewing: asyncio.Task[None] | None = None
        self._timer = self._later()

    def stop(self) -> None:
        self._timer.cancel()
        if self._renewing is not None:
            self._renewing.cancel()

    def _later(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._inbox.lock_duration / _RENEWALS, self._due)

    def _due(self) -> None:
        self._renewing = asyncio.ensure_future(self._renew())

    async def _renew(self) -> None:
        try:
            await self._inbox.renew(self._delivery)
        except LockLost as error:
            log.warning("while it runs: %s", error)
            return
        except Exception as error:  # the next try comes before the lock ends
            log.warning("message %s: its lock was not renewed: %s", self._delivery.message_id, error)
        self._timer = self._later()


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


class _Slots:
    """Places for tasks: like a semaphore of which several can be taken at once."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._freed = asyncio.Event()

    async def some_within(self, seconds: float) -> int:
        """Take all places that are free; wait up to `seconds` for the first one. How many that were."""
        if not self._free:
            self._freed.clear()
            await _wait_for(self._freed, seconds)
        taken, self._free = self._free, 0
        return taken

    def give_back(self, count: int) -> None:
        """Free places."""
        self._free += count
        if self._free:
            self._freed.set()
