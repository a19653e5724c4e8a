"""`boilermaker-fn status`: where a task stands."""

from __future__ import annotations

import asyncio
import json
import sys

import click

from ..app import Boilermaker
from ..task.result import TaskResult
from .exits import code_of_status
from .output import print_fields, print_json
from .places import app_option, checked_id, json_option, place


@click.command()
@click.argument("task_id", callback=checked_id)
@app_option
@json_option
def status(task_id: str, app: Boilermaker | None, as_json: bool) -> None:
    """Say where a task stands, and when it got there.

    The exit code is 0 if it succeeded, 1 if it ended otherwise or is not known, 3 if it has not ended.
    """
    asyncio.run(_status(task_id, app, as_json))


async def _status(task_id: str, app: Boilermaker | None, as_json: bool) -> None:
    async with place(app) as here:
        info = await here.info(task_id)
    if as_json:
        print_json(info)
    else:
        print_fields(_fields(info))
    sys.exit(code_of_status(info.status))


def _fields(info: TaskResult) -> list[tuple[str, object]]:
    seconds = (info.finished_at - info.started).total_seconds() if info.finished_at and info.started else None
    return [
        ("task", info.task_id),
        ("status", info.status),
        ("function", info.function_name),
        ("attempts", info.attempts or None),
        ("published", info.published),
        ("started", info.started),
        ("finished", info.finished_at),
        ("seconds", None if seconds is None else f"{seconds:.3f}"),
        ("result", json.dumps(info.result, ensure_ascii=False) if info.succeeded else None),
        ("reason", info.reason),
        ("error", f"{info.error_type}: {info.errors[0]}" if info.errors else None),
    ]
