"""What do the publisher, the worker and the other doors of one app share? Made on first use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError
from .ids import same_queue
from .outcomes import MAP
from .registry import Registry, registered

if TYPE_CHECKING:
    from .ports import Engine, Table
    from .publishing import Publishing
    from .runner import Runner
    from .telemetry.tracing import OpenTelemetry
    from .wiring import Wiring


async def debug_task(state: Any) -> int:
    """What producers with boilermaker-servicebus send to see whether a connection lives."""
    return 0


async def map_task(state: Any, function: str, over: list[Any], more: list[Any], keywords: dict[str, Any]) -> Any:
    """What a map becomes: a graph in which `function` runs for each item of `over`."""
    from .graph.mapping import MappedGraph

    return MappedGraph(function, over, more, keywords)


class Shell:
    """Registry, wiring and tracing of one app."""

    def __init__(self, state: Any, engine: Engine | None, results_storage: Table | None, traced: bool) -> None:
        self.state = state
        self.registry = Registry(_BUILT_IN)
        self._given = (engine, results_storage)
        self._traced = traced
        self._wiring: Wiring | None = None
        self._publishing: Publishing | None = None
        self._lent = False

    @property
    def wiring(self) -> Wiring:
        """What the app is connected to. Raises ConfigurationError at first use."""
        wiring = self._wiring  # another thread may close the app meanwhile
        if wiring is None:
            from .wiring import wired

            wiring = self._wiring = wired(*self._given)
        return wiring

    @property
    def publishing(self) -> Publishing:
        """How tasks are sent."""
        publishing = self._publishing
        if publishing is None:
            from .publishing import Publishing  # here and below: whoever only runs tasks does without

            wiring = self.wiring
            publishing = self._publishing = Publishing(
                self.registry, wiring.engine.transport, queue=wiring.queue, clock=wiring.clock, tracing=self.tracing
            )
        return publishing

    @cached_property
    def tracing(self) -> OpenTelemetry | None:
        """How spans are made, if they are."""
        if not self._traced:
            return None
        from .telemetry.tracing import OpenTelemetry

        return OpenTelemetry()

    @property
    def queue_names(self) -> tuple[str, str]:
        """The default queue and the one for what was given up, without connecting. Raises ConfigurationError."""
        from .settings import named
        from .wiring import queue_names

        return queue_names(self._given[0], named())

    @contextlib.contextmanager
    def rewired(self, wiring: Wiring) -> Iterator[None]:
        """Connect the app to something else for a while; whoever lends it closes it."""
        before = self._wiring, self._publishing, self._lent
        self._wiring, self._publishing, self._lent = wiring, None, True
        try:
            yield
        finally:
            self._wiring, self._publishing, self._lent = before

    @property
    def queues(self) -> tuple[str, ...]:
        """All queues this app's tasks go to, the default one first."""
        named = (registration.queue for registration in self.registry.values())
        return tuple(dict.fromkeys([self.wiring.queue, *(queue for queue in named if queue is not None)]))

    def check_queues(self) -> None:
        """Raise ConfigurationError when a queue to be worked is the one for what was given up."""
        aside = self.wiring.dead_letter_queue
        if any(same_queue(aside, queue) for queue in self.queues):
            raise ConfigurationError(
                f"queue {aside!r} is to be worked, and to get what was given up, which would go round for ever: name "
                "another one in DEAD_LETTER_QUEUE_NAME, or in queue=..."
            )

    def runner(self, longest: float | None = None) -> Runner:
        """A runner for the current event loop. `longest` is how long an attempt may take at most, in seconds.

        Raises ConfigurationError.
        """
        from .execution import Execution
        from .rules import Rules
        from .runner import Runner
        from .telemetry.observer import Observer

        self.check_queues()
        wiring = self.wiring
        functions = self.registry.runnable
        transport = wiring.engine.transport
        return Runner(
            rules=Rules(functions, wiring.dead_letter_queue, wiring.results is not None, transport.max_message_bytes),
            functions=functions,
            execution=Execution(self.state, longest),
            transport=transport,
            results=wiring.results,
            clock=wiring.clock,
            chance=wiring.chance,
            observer=Observer(self.tracing),
        )

    async def close(self) -> None:
        """Let go of the connections of the running event loop. The app connects again when it is used again."""
        if self._lent:  # else what is published next, in a test, would go to the real queue
            return
        # The wiring stays: other event loops have connections by it, which only they can close.
        if self._wiring is not None:
            await self._wiring.close()


_BUILT_IN = (registered(debug_task, {}), registered(map_task, {"name": MAP}))
