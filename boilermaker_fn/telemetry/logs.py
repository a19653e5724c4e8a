"""How do log lines look? structlog: JSON in the cloud, readable on a terminal.

This package logs through the standard library's `boilermaker_fn` logger, so it obeys whatever logging an application
has. The ids of the delivery that is being worked on are bound (bound.py): they stand in every line that a task writes,
through structlog or through `logging`, and those of concurrent tasks never mix.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

from .json_lines import JsonLines

if TYPE_CHECKING:
    from structlog.typing import Processor


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
    _route_structlog(as_json=as_json)
    handler.setFormatter(JsonLines() if as_json else _for_people(colors=stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    _hush_azure(root.level)


def configure_if_nobody_has(level: int | str = logging.INFO) -> None:
    """Configure, unless the application has set up logging by itself."""
    if not logging.getLogger().handlers:
        configure(level=level)


def configure_within_host() -> None:
    """Write lines as JSON through the handlers that a host has put on the root logger; its levels stay what they are.

    Azure's SDKs are heard from `WARNING` on, unless a level was set for them, or for all below `INFO`. Handlers with a
    formatter of their own are left alone, and so is everything else if the application has configured structlog by
    itself. An application that has not imported structlog yet does without it.
    """
    root = logging.getLogger()
    handlers = root.handlers
    if logging.getLogger("azure").level == logging.NOTSET:
        _hush_azure(root.level)
    if (structlog := sys.modules.get("structlog")) is not None:
        if structlog.is_configured() or not handlers:
            return
        _route_structlog(as_json=True)
    for handler in handlers:
        if handler.formatter is None:
            handler.setFormatter(JsonLines())


def _hush_azure(level: int) -> None:
    """At INFO its SDKs tell of every request and of every step of a connection, and each line is paid for."""
    logging.getLogger("azure").setLevel(logging.WARNING if level == logging.INFO else logging.NOTSET)


def _route_structlog(*, as_json: bool) -> None:
    """Let structlog write through the standard library, whose handlers get its fields as the message."""
    import structlog

    tracebacks = [structlog.processors.format_exc_info] if as_json else []
    handed_over = structlog.stdlib.ProcessorFormatter.wrap_for_formatter
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_fields(), *tracebacks, handed_over],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _fields() -> list[Processor]:
    import structlog

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _for_people(*, colors: bool) -> logging.Formatter:
    import structlog

    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_fields(), processors=[drop, structlog.dev.ConsoleRenderer(colors=colors)]
    )
