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
from .messages import GRAPH_BODY, Delivery, Message
from .outcomes import Grown
from .registry import Registration
from .rules import Rules
from .telemetry.observer import Observer

if TYPE_CHECKING:
    from .performing import Answer
    from .ports import Transport
    from .results import ResultStore

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
        self._on_rows: tuple[type, ...] = ()
        self._perform: dict[type, Callable[[Any, Delivery], Any]] = {
            fx.Run: self._run,
            fx.ReadRow: self._read,
            fx.WriteRow: self._write,
            fx.Send: self._send,
        }

    async def handle(self, delivery: Delivery) -> str:
        """Run the task of a delivery; returns in a word what became of it. Raises Held when it must not be settled."""
        return await self._take(delivery, fx.Delivered(self._clock()))

    async def reap(self, delivery: Delivery) -> str:
        """Record the failure of a task whose message the broker gave up; runs no user code. Raises Held."""
        return await self._take(delivery, fx.SetAside(self._clock()))

    def close(self) -> None:
        """Kill child processes."""
        self._execution.close()

    async def _take(self, delivery: Delivery, event: fx.Delivered | fx.SetAside) -> str:
        if not delivery.body.startswith(GRAPH_BODY):
            return await self._drive(step, State(self._rules, delivery), event)
        # Whoever runs no graphs does not load them.
        from .graph_progress.opening import opened
        from .performing import PERFORMED

        if not self._on_rows:
            self._on_rows = PERFORMED
            self._perform |= dict.fromkeys(PERFORMED, self._on_table)
        return await self._drive(*opened(self._rules, delivery), event)

    async def _drive(self, step: Callable[[Any, Any], Any], state: Any, event: Any) -> str:
        state, effect = step(state, event)
        while state.task is None and isinstance(effect, self._on_rows):
            event = await self._on_table(effect, state.delivery)  # which task it is stands in a row
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

    async def _on_table(self, effect: Any, _: Delivery) -> Answer:
        from .performing import performed

        if self._results is None:
            raise TypeError("a graph goes forward without a store")
        answer = await performed(effect, self._results.table, self._clock)
        if type(answer) is fx.StoreDown:
            self._observer.store_down(answer.error)
        return answer

    async def _run(self, effect: fx.Run, _: Delivery) -> fx.Event:
        task = effect.task
        started_at = self._clock()
        self._observer.started(task)
        outcome = await self._execution.run(self._functions[task.function_name], task)
        now = self._clock()
        if type(outcome) is Grown:
            from .graph_publishing import planned

            outcome = planned(outcome, self._functions, self._rules.message_limit, now)
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
