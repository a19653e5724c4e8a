"""`boilermaker-fn result`: the value of a task, or why it has none."""

from __future__ import annotations

import asyncio

import click

from ..app import Boilermaker
from .ending import ended, show_ending
from .places import app_option, checked_id, json_option, place


@click.command()
@click.argument("task_id", callback=checked_id)
@click.option(
    "--wait", type=click.FloatRange(min=0), default=0.0, metavar="S", help="Wait for it to end, at most S seconds."
)
@app_option
@json_option
def result(task_id: str, wait: float, app: Boilermaker | None, as_json: bool) -> None:
    """Print the value of a task, as JSON.

    If it failed, its error's type, message and traceback go to standard error, and the exit code is 1. If it has not
    ended, the exit code is 3.
    """
    asyncio.run(_result(task_id, wait, app, as_json))


async def _result(task_id: str, wait: float, app: Boilermaker | None, as_json: bool) -> None:
    async with place(app) as here:
        info = await ended(here, task_id, wait)
    show_ending(info, as_json=as_json)
