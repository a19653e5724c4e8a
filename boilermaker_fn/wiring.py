"""Where do tasks live? The one place, with config.py, that chooses adapters."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .errors import ConfigurationError
from .ports import Engine, Table
from .results import ResultStore

if TYPE_CHECKING:
    from .config import Config

log = logging.getLogger("boilermaker_fn")

#: Where the embedded engine keeps its file, unless BOILERMAKER_LOCAL_FILE says otherwise.
LOCAL_FILE: Final = Path(".boilermaker/local.db")


@dataclass(frozen=True, slots=True)
class Wiring:
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
    from .config import configured

    if engine is not None and not hasattr(engine, "transport"):
        raise ConfigurationError(f"{engine!r} is no engine: give Boilermaker() one, such as LocalEngine('tasks.db')")
    config = configured()
    if engine is None:
        engine, table = default_engine(config), results_storage or default_table(config)
    else:
        table = results_storage
    table = table or engine.table
    queue = engine.queue or config.service_bus_queue_name
    return Wiring(
        engine=engine,
        results=None if table is None else ResultStore(table),
        queue=queue,
        dead_letter_queue=engine.dead_letter_queue or config.dead_letter_queue_name or f"{queue}-dead-letters",
    )


def default_engine(config: Config) -> Engine:
    """Service Bus where it is configured, else the embedded engine where that loses nothing.

    Raises ConfigurationError in the cloud without Service Bus.
    """
    if config.uses_service_bus:
        from .service_bus import AzureServiceBus

        return AzureServiceBus.from_config(config)
    if config.cloud is not None:
        raise ConfigurationError(
            f"{config.cloud} says that this runs in the cloud, where the disk of the embedded engine is lost with the "
            "instance, and all tasks with it: set ServiceBusConnection__fullyQualifiedNamespace (or "
            "SERVICE_BUS_NAMESPACE_URL) to the host name of a Service Bus namespace, or give Boilermaker() an engine"
        )
    from .local import LocalEngine

    path = config.boilermaker_local_file or LOCAL_FILE
    log.info("no Azure is configured: tasks live in %s (BOILERMAKER_LOCAL_FILE)", path.absolute())
    return LocalEngine(path)


def default_table(config: Config) -> Table | None:
    """The table that keeps rows beside Service Bus; None where none is configured."""
    if not config.uses_service_bus or (config.table_endpoint is None and config.table_connection_string is None):
        return None
    from .tables import AzureTable

    return AzureTable.from_config(config)
