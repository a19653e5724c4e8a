"""How do log lines look, and which ids do they carry? structlog: JSON in the cloud, readable on a terminal.

This package logs through the standard library's `boilermaker_fn` logger, so it obeys whatever logging an application
has. The ids of the delivery that is being worked on are bound with structlog's contextvars: they stand in every line
that a task writes, through structlog or through `logging`, and those of concurrent tasks never mix.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import Processor

from ..messages import Delivery
from ..task.task import Task

log = logging.getLogger("boilermaker_fn")


class Bound:
    """Binds the ids of a delivery for all lines written in the block. Entered for every message, so no generator."""

    def __init__(self, delivery: Delivery, task: Task | None) -> None:
        ids: dict[str, object] = {"message_id": delivery.message_id}
        if task is not None:
            ids |= {"task_id": task.task_id, "function": task.function_name, "attempt": task.attempt}
            if task.graph_id is not None:
                ids["graph_id"] = task.graph_id
        self._ids = ids

    def __enter__(self) -> None:
        self._tokens = structlog.contextvars.bind_contextvars(**self._ids)

    def __exit__(self, *error: object) -> None:
        structlog.contextvars.reset_contextvars(**self._tokens)


def configure(*, json: bool | None = None, level: int | str = logging.INFO, stream: TextIO | None = None) -> None:
    """Write all log lines of the process, ours and the standard library's, through structlog to `stream` (stderr).

    `json` None means: readable on a terminal, JSON anywhere else. Azure's SDKs, which at `INFO` tell of every request
    and every step of a connection, are heard from `WARNING` on, unless `level` is below `INFO`. Call it once, at start.
    """
    stream = stream or sys.stderr
    if stream is None:  # a program without a console
        return
    as_json = not stream.isatty() if json is None else json
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_route_to_handlers(_rendering(as_json, stream)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("azure").setLevel(logging.WARNING if root.level == logging.INFO else logging.NOTSET)


def configure_if_nobody_has(level: int | str = logging.INFO) -> None:
    """Configure, unless the application has set up logging by itself."""
    if not logging.getLogger().handlers:
        configure(level=level)


def configure_within_host() -> None:
    """Write lines as JSON through the handlers that a host has put on the root logger; its levels stay what they are.

    Handlers with a formatter of their own are left alone, and so is everything if the application has configured
    structlog by itself.
    """
    handlers = logging.getLogger().handlers
    if structlog.is_configured() or not handlers:
        return
    formatter = _route_to_handlers(_rendering(as_json=True, stream=sys.stderr))
    for handler in handlers:
        if handler.formatter is None:
            handler.setFormatter(formatter)


def _route_to_handlers(rendering: list[Processor]) -> structlog.stdlib.ProcessorFormatter:
    """Let structlog write through the standard library; returns the formatter for its handlers."""
    shared = _shared_processors()
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=rendering)


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _rendering(as_json: bool, stream: TextIO) -> list[Processor]:
    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if as_json:
        return [drop, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    return [drop, structlog.dev.ConsoleRenderer(colors=stream.isatty())]
