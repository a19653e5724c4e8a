"""What can go wrong, and where? Ports that die, refuse, lie and dawdle before and after everything they do."""

from __future__ import annotations

import asyncio
import enum
import logging
import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from boilermaker_fn.entities import Entity, Operation
from boilermaker_fn.errors import NotSent, StoreUnavailable
from boilermaker_fn.messages import Message
from boilermaker_fn.ports import Table, Transport

#: What happens in a simulation, for whoever replays one.
log = logging.getLogger("boilermaker_fn.simulation")


class Crash(GeneratorExit):
    """The process dies here: nothing is settled, released or cleaned up any more.

    A GeneratorExit, because any other error out of a task function is that attempt's outcome.
    """


class Fault(enum.Enum):
    """What can happen at a boundary."""

    CRASH = "the process dies"
    INTERRUPTION = "the host stops"
    PAUSE = "the lock expires, and a zombie goes on"
    REFUSAL = "the service says no: before, it has done nothing, after, it has done it all the same"


class Faults(Protocol):
    """Decides what happens at a boundary. `can_refuse`: a service is asked there, or has just answered."""

    def strike(self, where: str, can_refuse: bool) -> tuple[Fault, float] | None:
        """The fault, and for a pause its length in seconds."""
        ...


class NoFaults:
    """All goes well."""

    def strike(self, where: str, can_refuse: bool) -> tuple[Fault, float] | None:
        """Nothing happens."""
        return None


class RandomFaults:
    """A few faults, anywhere."""

    def __init__(self, chance: random.Random, number: int, likelihood: float, lock_duration: float) -> None:
        self._chance = chance
        self._left = number
        self._likelihood = likelihood
        self._pauses = (0.0, lock_duration / 2, lock_duration, 2.5 * lock_duration)

    def strike(self, where: str, can_refuse: bool) -> tuple[Fault, float] | None:
        """Perhaps a fault."""
        if not self._left or self._chance.random() > self._likelihood:
            return None
        self._left -= 1
        kinds = (*_EVERYWHERE, Fault.REFUSAL, Fault.REFUSAL) if can_refuse else _EVERYWHERE
        return self._chance.choice(kinds), self._chance.choice(self._pauses)


class OneFault:
    """One fault at one boundary, counted from 0; `met` tells which boundaries there were."""

    def __init__(self, fault: Fault, at: int, pause: float) -> None:
        self._fault = fault
        self._at = at
        self._pause = pause
        self.met: list[str] = []

    def strike(self, where: str, can_refuse: bool) -> tuple[Fault, float] | None:
        """The fault, at its boundary."""
        self.met.append(where)
        if len(self.met) - 1 != self._at or (self._fault is Fault.REFUSAL and not can_refuse):
            return None
        return self._fault, self._pause


_EVERYWHERE = (Fault.CRASH, Fault.CRASH, Fault.INTERRUPTION, Fault.PAUSE, Fault.PAUSE)


async def boundary(faults: Faults, where: str, *, can_refuse: bool = False) -> float | None:
    """Pass a boundary, or not. Returns for how many seconds the service refuses; None if it does not."""
    struck = faults.strike(where, can_refuse)
    if struck is None:
        return None
    fault, pause = struck
    log.info("%s %s, for %g s", fault.name, where, pause)
    if fault is Fault.CRASH:
        raise Crash(where)
    if fault is Fault.PAUSE:
        await asyncio.sleep(pause)
    elif fault is Fault.INTERRUPTION:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        await asyncio.sleep(0)
    return pause if fault is Fault.REFUSAL else None


class FaultyTransport:
    """A transport behind a bad line. A refusal concerns each message of a call, or some of them, and may last."""

    max_message_bytes = 256 * 1024

    def __init__(self, transport: Transport, faults: Faults, chance: random.Random) -> None:
        self._transport = transport
        self._faults = faults
        self._chance = chance
        self._down_until = 0.0

    async def send(self, messages: Sequence[Message], *, numbered: bool = False) -> Mapping[str, int]:
        """Send, perhaps. Raises NotSent."""
        refused: list[Message] = []
        if asyncio.get_running_loop().time() < self._down_until:
            refused = list(messages)
        elif await self._refuses("before send"):
            refused = self._chance.sample(messages, self._chance.randint(1, len(messages)))
        accepted = [message for message in messages if message not in refused]
        numbers = await self._transport.send(accepted, numbered=numbered)
        if not refused and await self._refuses("after send"):
            refused = list(messages)
        if refused:
            raise NotSent([(message.message_id, ConnectionError("lost")) for message in refused])
        return numbers

    async def _refuses(self, where: str) -> bool:
        seconds = await boundary(self._faults, where, can_refuse=True)
        if seconds is not None:
            self._down_until = asyncio.get_running_loop().time() + seconds
        return seconds is not None


class FaultyTable:
    """A table behind a bad line; between `down_from` and `down_until` (seconds) it does not answer at all."""

    def __init__(self, table: Table, faults: Faults, clock: Any, down: tuple[float, float]) -> None:
        self._table = table
        self._faults = faults
        self._clock = clock
        self._down = down

    async def read(self, partition: str, row: str, select: Sequence[str] | None = None) -> Entity | None:
        """Read, perhaps. Raises StoreUnavailable."""
        await self._ask("before read")
        entity = await self._table.read(partition, row, select)
        await self._ask("after read")
        return entity

    async def query(self, partition: str, **conditions: Any) -> Any:
        """Nobody asks during a delivery."""
        raise NotImplementedError(partition)

    async def write(self, operations: Sequence[Operation]) -> list[str]:
        """Write, perhaps. Raises StoreUnavailable, Conflict."""
        await self._ask("before write")
        etags = await self._table.write(operations)
        await self._ask("after write")
        return etags

    async def _ask(self, where: str) -> None:
        refused = await boundary(self._faults, where, can_refuse=True)
        first, last = self._down
        if refused is not None or first <= self._clock() < last:
            raise StoreUnavailable(f"no answer {where}")
