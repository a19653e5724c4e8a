"""On what does the demo run? On the embedded engine, or on the emulator: over AMQP, as on Azure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from ...ports import Table
from ...settings import named
from ...wiring import Wiring, wired

LOCAL: Final = "local"
EMULATOR: Final = "emulator"

#: Seconds a message stays locked after a process that was killed; a run that goes on waits that long.
_LOCK: Final = 10.0


class Ground(NamedTuple):
    """What the demo stands on: its wiring, the table of its results, and where that is, for people."""

    wiring: Wiring
    table: Table
    place: str


@asynccontextmanager
async def ground(engine: str, file: Path) -> AsyncIterator[Ground]:
    """The ground on `engine`; results are kept in `file`. Closed afterwards."""
    from ...local import LocalEngine

    local = LocalEngine(file, lock_duration=_LOCK)
    table = local.table
    assert table is not None  # noqa: S101 for the type checker: an engine with results has a table
    if engine == LOCAL:
        wiring = wired(local, None)
        try:
            yield Ground(wiring, table, str(file))
        finally:
            await wiring.close()
        return
    async with _over_amqp(file, table) as (wiring, place):
        yield Ground(wiring, table, place)


@asynccontextmanager
async def _over_amqp(file: Path, table: Table) -> AsyncIterator[tuple[Wiring, str]]:
    from ...emulator import Emulator
    from ...local.queue import Rules
    from ...service_bus import AzureServiceBus

    config, queues = named(), file.with_suffix(".queues.db")
    rules = Rules(lock_duration=_LOCK)
    names = (config.service_bus_queue_name, config.dead_letter_queue)
    queues.parent.mkdir(parents=True, exist_ok=True)
    async with Emulator(dict.fromkeys(names, rules), path=queues) as emulator:
        engine = AzureServiceBus(
            None, names[0], connection_string=emulator.connection_string, dead_letter_queue_name=names[1]
        )
        wiring = wired(engine, table)
        try:
            yield wiring, f"{queues} by AMQP on port {emulator.port}, results in {file}"
        finally:
            await wiring.close()
