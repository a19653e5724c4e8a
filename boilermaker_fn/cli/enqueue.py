"""`boilermaker-fn enqueue`: publish one task."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from ..app import Boilermaker
from ..errors import ArgumentError
from .apps import loaded
from .arguments import HINT, keywords_of, value_of
from .ending import ended, show_ending
from .exits import Refusal
from .output import print_json
from .places import Place, checked_id, json_option, place


@click.command()
@click.argument("app", callback=loaded)
@click.argument("task")
@click.argument("args", nargs=-1)
@click.option("--kw", multiple=True, metavar="NAME=VALUE", help="A keyword argument; can be given several times.")
@click.option("--delay", type=click.FloatRange(min=0), metavar="S", help="Run it after this many seconds.")
@click.option("--task-id", callback=checked_id, metavar="ID", help="Its id; publishing an id again runs it once.")
@click.option("--queue", metavar="Q", help="The queue to send it to, instead of the registered one.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    is_flag=False,
    flag_value=float("inf"),
    metavar="[S]",
    help="Wait for it to end, at most S seconds, and print its value. A worker must run elsewhere.",
)
@json_option
def enqueue(
    app: Boilermaker,
    task: str,
    args: tuple[str, ...],
    kw: tuple[str, ...],
    as_json: bool,
    wait: float | None,
    **to: Any,
) -> None:
    """Publish TASK of APP with ARGS, and print its id.

    An argument is read as JSON if it is JSON, else it is text: 7, true, '{"a": 1}', 2026-01-31. All are checked against
    the function before anything is sent. Put `--` before an argument that begins with a dash.
    """
    asyncio.run(_enqueue(app, task, [value_of(word) for word in args], keywords_of(kw), as_json, wait, to))


async def _enqueue(
    app: Boilermaker,
    name: str,
    args: list[Any],
    keywords: dict[str, Any],
    as_json: bool,
    wait: float | None,
    to: dict[str, Any],
) -> None:
    async with place(app) as here:
        handle = await _published(app, name, args, keywords, to)
        if wait is None:
            print_json({"task_id": handle}) if as_json else click.echo(handle)
            return
        if not as_json:
            click.echo(handle)
        show_ending(await ended(_with_queue(here, to["queue"]), handle, wait), as_json=as_json)


async def _published(app: Boilermaker, name: str, args: list[Any], keywords: dict[str, Any], to: dict[str, Any]) -> str:
    registration = app.shell.registry.get(name)
    if registration is None:
        known = ", ".join(sorted(app.shell.registry)) or "none"
        raise Refusal(f"the app has no task {name!r}; it has: {known}")
    try:
        handle = await app.options(**to).apply_async(registration.fn, *args, **keywords)
    except ArgumentError as error:
        raise Refusal(f"{error} ({HINT})" if error.parameter else str(error)) from error
    return handle.task_id


def _with_queue(here: Place, queue: str | None) -> Place:
    return here if queue is None else Place(here.wiring, (*here.queues, queue))
