"""Who performs what the core decides? The runner: it feeds a delivery's events in and does each effect that comes out.

It decides nothing. When it returns, the delivery may be settled; when it raises Held, the message must go back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from . import effects as fx
from .delivery import State, step
from .errors import Held, NotSent, StoreUnavailable
from .execution import Execution
from .messages import Delivery, Message
from .registry import Registration
from .results import ResultStore
from .rules import Rules
from .telemetry.observer import Observer

if TYPE_CHECKING:
    from .ports import Transport

# How long sending is tried again before the message goes back, in seconds: 2, 4, 8 ... with the delivery count. It goes
# back at once to somebody else, and without growing patience a short outage would use up the count.
_MOST_PATIENCE: Final = 30.0
_FIRST_PAUSE: Final = 0.2


class Runner:
    """Takes deliveries to their end. `clock` gives seconds since the epoch, `chance` numbers from 0 to 1."""

    def __init__(
        self,
        *,
        rules: Rules,
        functions: Mapping[str, Registration],
        execution: Execution,
        transport: Transport,
        results: ResultStore | None,
        clock: Callable[[], float],
        chance: Callable[[], float],
        observer: Observer,
    ) -> None:
        self._rules = rules
        self._functions = functions
        self._execution = execution
        self._transport = transport
        self._results = results
        self._clock = clock
        self._chance = chance
        self._observer = observer
        self._perform: dict[type, Callable[[Any, Delivery], Any]] = {
            fx.Run: self._run,
            fx.ReadRow: self._read,
            fx.WriteRow: self._write,
            fx.Send: self._send,
        }

    async def handle(self, delivery: Delivery) -> str:
        """Run the task of a delivery; returns in a word what became of it. Raises Held when it must not be settled."""
        return await self._drive(State(self._rules, delivery), fx.Delivered(self._clock()))

    async def reap(self, delivery: Delivery) -> str:
        """Record the failure of a task whose message the broker gave up; runs no user code. Raises Held."""
        return await self._drive(State(self._rules, delivery), fx.SetAside(self._clock()))

    def close(self) -> None:
        """Kill child processes."""
        self._execution.close()

    async def _drive(self, state: State, event: fx.Event) -> str:
        state, effect = step(state, event)
        with self._observer.delivery(state.delivery, state.task):
            while True:
                if type(effect) is fx.Settle:
                    self._observer.settled(state.delivery, state.task, effect.ending)
                    return effect.ending
                if type(effect) is fx.Hold:
                    self._observer.held(effect.why)
                    raise Held(state.delivery.message_id, effect.why)
                event = await self._perform[type(effect)](effect, state.delivery)
                state, effect = step(state, event)

    async def _run(self, effect: fx.Run, _: Delivery) -> fx.Event:
        task = effect.task
        started_at = self._clock()
        self._observer.started(task)
        outcome = await self._execution.run(self._functions[task.function_name], task)
        now = self._clock()
        self._observer.ran(task, outcome, now - started_at)
        return fx.Ran(outcome, started_at, now, self._chance())

    async def _read(self, effect: fx.ReadRow, _: Delivery) -> fx.Event:
        if self._results is None:
            raise TypeError("rows are read without a store")
        try:
            row = await self._results.read(effect.task_id)
        except StoreUnavailable as error:
            self._observer.store_down(str(error))
            return fx.StoreDown(str(error), self._clock())
        return fx.RowRead(row, self._clock())

    async def _write(self, effect: fx.WriteRow, _: Delivery) -> fx.Event:
        if self._results is None:
            raise TypeError("rows are written without a store")
        try:
            winner = await self._results.insert(effect.row)
        except StoreUnavailable as error:
            self._observer.store_down(str(error))
            return fx.StoreDown(str(error), self._clock())
        return fx.RowWritten(winner, self._clock())

    async def _send(self, effect: fx.Send, delivery: Delivery) -> fx.Event:
        messages: Sequence[Message] = self._observer.carried(effect.messages)
        patience = min(2.0 ** min(delivery.delivery_count, 8), _MOST_PATIENCE)
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._transport.send(messages)
            except NotSent as error:
                if for_good := error.for_good:
                    left = error.of(messages)
                    hopeless = tuple((m, for_good[m.message_id]) for m in left if m.message_id in for_good)
                    rest = tuple(m for m in left if m.message_id not in for_good)
                    return fx.Undeliverable(hopeless, rest, self._clock())
                if patience <= 0:
                    return fx.NotAccepted(str(error))
                messages = error.of(messages)
            else:
                return fx.Sent()
            await asyncio.sleep(pause * (0.5 + self._chance() / 2))
            patience, pause = patience - pause, pause * 2
