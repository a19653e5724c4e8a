"""`boilermaker-fn worker`: run an app's tasks in this process."""

from __future__ import annotations

import asyncio

import click

from ..app import Boilermaker
from .apps import loaded


@click.command()
@click.argument("app", callback=loaded)
@click.option(
    "--concurrency", type=click.IntRange(min=1), default=16, show_default=True, help="How many tasks run at once."
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=25.0,
    show_default=True,
    help="Seconds that running tasks have to finish when the worker is stopped.",
)
def worker(app: Boilermaker, concurrency: int, grace: float) -> None:
    """Run the tasks of APP until SIGTERM or Ctrl-C.

    Then nothing more is taken, what runs may finish within the grace period, and the rest goes back to the queue with
    no attempt used up. A second signal interrupts at once. Logs go to standard error.
    """
    asyncio.run(app.run(concurrency=concurrency, grace=grace))
