"""How did a task end? Waits for it if wanted, and shows the value, or what went wrong."""

from __future__ import annotations

import contextlib
import json
import math
import sys

import click

from ..errors import ResultTimeout, TaskFailed
from ..task.result import TaskResult
from .exits import FAILED, NOT_ENDED, OK, code_of_status
from .output import print_json
from .places import Place


async def ended(here: Place, task_id: str, wait: float) -> TaskResult:
    """What is known of a task once it has ended, or after `wait` seconds (infinite: as long as it takes)."""
    info = await here.info(task_id)
    if info.finished or not wait:
        return info
    # Whatever comes of waiting is read below.
    with contextlib.suppress(ResultTimeout, TaskFailed):
        await here.handle(task_id).result(None if math.isinf(wait) else wait)
    return await here.info(task_id)


def show_ending(info: TaskResult, *, as_json: bool) -> None:
    """Print the value as JSON, or what went wrong to standard error; then exit with the code that says it."""
    code = code_of_status(info.status)
    if as_json:
        print_json(info)
    elif code == OK:
        click.echo(json.dumps(info.result, ensure_ascii=False, indent=2))
    elif code == NOT_ENDED:
        click.echo(f"task {info.task_id} has not ended yet: it is queued or running; ask again, or --wait", err=True)
    elif code == FAILED:
        click.echo(_failure(info), err=True)
    sys.exit(code)


def _failure(info: TaskResult) -> str:
    message = info.errors[0] if info.errors else ""
    tries = f"{info.attempts} attempt{'' if info.attempts == 1 else 's'}"
    head = f"task {info.task_id} ({info.function_name}) {info.status} after {tries}: {info.reason}"
    trace = f"\n\n{info.formatted_exception.rstrip()}" if info.formatted_exception else ""
    return f"{head}\n{info.error_type}: {message}{trace}"
