"""Where do tasks live? The one place, with config.py, that chooses adapters."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigurationError
from .ids import problem_with_queue
from .ports import Engine, Table
from .results import ResultStore

if TYPE_CHECKING:
    from .config import Config

log = logging.getLogger("boilermaker_fn")


@dataclass(frozen=True, slots=True)
class Wiring:
    """What an app is connected to. `clock` gives seconds since the epoch, `chance` numbers from 0 to 1."""

    engine: Engine
    results: ResultStore | None
    queue: str
    dead_letter_queue: str
    clock: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random


def wired(engine: Engine | None, results_storage: Table | None) -> Wiring:
    """The wiring for an app: as given, else as the environment says. Raises ConfigurationError."""
    from .config import Config

    config = Config()
    problems = [
        f"{name} {problem}"
        for name, queue in (
            ("SERVICE_BUS_QUEUE_NAME", config.service_bus_queue_name),
            ("DEAD_LETTER_QUEUE_NAME", config.dead_letter_queue),
        )
        if (problem := problem_with_queue(queue))
    ]
    if problems:
        raise ConfigurationError("; ".join(problems))
    if engine is not None and not hasattr(engine, "transport"):
        raise ConfigurationError(f"{engine!r} is no engine: give Boilermaker() one, such as LocalEngine('tasks.db')")
    engine = engine or default_engine(config)
    table = results_storage or engine.table
    return Wiring(
        engine=engine,
        results=None if table is None else ResultStore(table),
        queue=config.service_bus_queue_name,
        dead_letter_queue=config.dead_letter_queue,
    )


def default_engine(config: Config) -> Engine:
    """The embedded engine, where that loses nothing. Raises ConfigurationError in the cloud."""
    from .local import LocalEngine

    if config.service_bus_namespace_url is not None:
        raise ConfigurationError(
            f"Service Bus settings are given ({config.service_bus_namespace_url!r}), and this version has only the "
            "embedded engine: unset SERVICE_BUS_NAMESPACE_URL and ServiceBusConnection, or give Boilermaker() an engine"
        )
    for name in ("website_instance_id", "container_app_name"):
        if (value := getattr(config, name)) is not None:
            raise ConfigurationError(
                f"{name.upper()}={value} says that this runs in the cloud, where the disk of the embedded engine is "
                "lost with the instance, and all tasks with it: give Boilermaker() an engine"
            )
    path: Path = config.boilermaker_local_file
    engine = LocalEngine(path)
    log.info("no Azure is configured: tasks live in %s (BOILERMAKER_LOCAL_FILE)", path.absolute())
    return engine
