"""Where do tasks live? The one place, with settings.py, that chooses adapters."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from .errors import ConfigurationError
from .ids import same_queue
from .results import ResultStore

if TYPE_CHECKING:
    from .ports import Engine, Table
    from .settings import Settings

log = logging.getLogger("boilermaker_fn")

#: Where the embedded engine keeps its file, unless BOILERMAKER_LOCAL_FILE says otherwise.
LOCAL_FILE: Final = Path(".boilermaker/local.db")


class Wiring(NamedTuple):
    """What an app is connected to. `clock` gives seconds since the epoch, `chance` numbers from 0 to 1."""

    engine: Engine
    results: ResultStore | None
    queue: str
    dead_letter_queue: str
    clock: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random

    async def close(self) -> None:
        """Let go of the connections of the running event loop."""
        try:
            await self.engine.close()
        finally:
            if self.results is not None:
                await self.results.close()


def wired(engine: Engine | None, results_storage: Table | None) -> Wiring:
    """The wiring for an app: as given, else as the environment says. Raises ConfigurationError."""
    from .settings import configured, named

    _refuse_what_is_neither(engine, results_storage)
    table = results_storage
    if engine is None:
        settings = configured()
        engine = default_engine(settings)
        table = default_table(settings) if table is None else table
    else:
        settings = named()
    queue, dead_letter_queue = queue_names(engine, settings)
    table = engine.table if table is None else table
    return Wiring(
        engine=engine,
        results=None if table is None else ResultStore(table),
        queue=queue,
        dead_letter_queue=dead_letter_queue,
    )


def queue_names(engine: Engine | None, settings: Settings) -> tuple[str, str]:
    """The queue of tasks that name none, and the one for what was given up: the engine's own, else the settings'.

    Raises ConfigurationError when they are one and the same.
    """
    queue = (None if engine is None else engine.queue) or settings.service_bus_queue_name
    aside = (None if engine is None else engine.dead_letter_queue) or settings.dead_letter_queue_of(queue)
    if same_queue(queue, aside):
        raise ConfigurationError(
            f"{queue!r} is the queue of tasks and of what was given up, which would go round for ever: name another "
            "one in DEAD_LETTER_QUEUE_NAME, or give it to the engine"
        )
    return queue, aside


def default_engine(settings: Settings) -> Engine:
    """Service Bus where it is configured, else the embedded engine."""
    if settings.uses_service_bus:
        from .service_bus import AzureServiceBus

        return AzureServiceBus.from_config(settings)
    from .local import LocalEngine

    path = settings.boilermaker_local_file or LOCAL_FILE
    log.info("no Azure is configured: tasks live in %s (BOILERMAKER_LOCAL_FILE)", path.absolute())
    return LocalEngine(path)


def default_table(settings: Settings) -> Table | None:
    """The table that keeps rows beside Service Bus; None where none is configured."""
    if not settings.uses_service_bus or (settings.table_endpoint is None and settings.table_connection_string is None):
        return None
    from .tables import AzureTable

    return AzureTable.from_config(settings)


def _refuse_what_is_neither(engine: object, results_storage: object) -> None:
    if engine is not None and not hasattr(engine, "transport"):
        raise ConfigurationError(f"{engine!r} is no engine: give Boilermaker() one, such as LocalEngine('tasks.db')")
    if results_storage is not None and not hasattr(results_storage, "query"):
        raise ConfigurationError(
            f"results_storage is {results_storage!r}, which is no table: give Boilermaker() one, such as an AzureTable"
        )
