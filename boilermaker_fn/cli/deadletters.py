"""`boilermaker-fn deadletters`: what was given up, and why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import click

from ..app import Boilermaker
from ..messages import DEAD_LETTER_DESCRIPTION, DEAD_LETTER_REASON, Delivery
from ..ports import Inbox
from .exits import NothingFound
from .output import print_fields, print_json, print_table
from .places import app_option, json_option, place

_PAGE = 250

queue_option = click.option(
    "--queue", metavar="Q", help='Another queue to look at; "<queue>/$deadletterqueue" is the broker\'s own.'
)


@click.group()
def deadletters() -> None:
    """Look at what was given up, and why."""


@deadletters.command("list")
@queue_option
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="How many, oldest first."
)
@app_option
@json_option
def list_(queue: str | None, limit: int, app: Boilermaker | None, as_json: bool) -> None:
    """List dead letters, oldest first; ID is what `deadletters show` takes."""
    letters, where = asyncio.run(_first(app, queue, limit + 1))
    shown, more = letters[:limit], len(letters) > limit
    if as_json:
        print_json({"queue": where, "more": more, "dead_letters": [summary_of(letter) for letter in shown]})
        return
    if not shown:
        click.echo(f"no dead letters in {where}", err=True)
        return
    print_table(
        ["ID", "FAILED AT", "REASON", "FUNCTION", "TASK", "ATTEMPT", "ERROR"],
        [list(summary_of(letter).values()) for letter in shown],
    )
    if more:
        click.echo(f"there are more than {limit} dead letters in {where}: raise --limit", err=True)


@deadletters.command("show")
@click.argument("letter", metavar="ID")
@queue_option
@app_option
@json_option
def show(letter: str, queue: str | None, app: Boilermaker | None, as_json: bool) -> None:
    """Show one dead letter whole: its properties, its traceback and its body.

    ID is the number in `deadletters list`, or the id of the task.
    """
    found = asyncio.run(_found(app, queue, letter))
    properties = dict(found.properties)
    trace, body = properties.pop("traceback", None), body_of(found)
    head = {"id": found.sequence_number, "message_id": found.message_id}
    if as_json:
        print_json({**head, "properties": properties, "traceback": trace, "body": body})
        return
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, indent=2)
    print_fields([*head.items(), *properties.items(), ("traceback", trace), ("body", text)])


def summary_of(letter: Delivery) -> dict[str, Any]:
    """What a list says of one dead letter."""
    properties = letter.properties
    return {
        "id": letter.sequence_number,
        "failed_at": str(properties.get("failed_at", ""))[:19],
        "reason": properties.get(DEAD_LETTER_REASON, ""),
        "function": properties.get("function", ""),
        "task_id": properties.get("task_id", ""),
        "attempt": properties.get("attempt", ""),
        "error": properties.get(DEAD_LETTER_DESCRIPTION, ""),
    }


def body_of(letter: Delivery) -> Any:
    """The body: JSON data if it is JSON, else text."""
    text = letter.body.decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


async def all_in(inbox: Inbox) -> AsyncIterator[Delivery]:
    """All messages of a queue, oldest first, without taking them."""
    after = 0
    while page := await inbox.peek(_PAGE, after):
        for letter in page:
            yield letter
        after = page[-1].sequence_number


async def _first(app: Boilermaker | None, queue: str | None, count: int) -> tuple[list[Delivery], str]:
    letters: list[Delivery] = []
    async with place(app) as here:
        where = queue or here.wiring.dead_letter_queue
        async for letter in all_in(here.wiring.engine.inbox(where)):
            letters.append(letter)
            if len(letters) == count:
                break
        return letters, f"{where} ({here.wiring.engine.name})"


async def _found(app: Boilermaker | None, queue: str | None, wanted: str) -> Delivery:
    async with place(app) as here:
        where = queue or here.wiring.dead_letter_queue
        inbox = here.wiring.engine.inbox(where)
        if wanted.isdecimal():
            letters = [one for one in await inbox.peek(1, int(wanted) - 1) if one.sequence_number == int(wanted)]
        else:
            letters = [one async for one in all_in(inbox) if one.properties.get("task_id") == wanted]
        if not letters:
            raise NothingFound(f"no dead letter {wanted!r} in {where} ({here.wiring.engine.name})")
        return letters[-1]
