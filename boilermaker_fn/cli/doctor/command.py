"""`boilermaker-fn doctor`: what is wrong with the place where tasks live, and what to do about it."""

from __future__ import annotations

import asyncio
import logging
import sys

import click

from ...app import Boilermaker
from ..exits import OK, USAGE
from ..output import one_line, print_json
from ..places import app_option, json_option
from .findings import Finding, Level, worst

_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


@click.command()
@app_option
@json_option
def doctor(app: Boilermaker | None, as_json: bool) -> None:
    """Check settings, queues, table, rights, clock and versions, and say what to do.

    It looks at what is live and disturbs nobody. With --app it knows the app's queues, time limits and retries too. The
    exit code is 0 when there is no problem, warnings or not, else 2.
    """
    from .checkup import checkup  # brings the SDKs

    # What the SDKs log of failures is among the findings.
    logging.getLogger("azure").setLevel(logging.CRITICAL + 1)
    found = asyncio.run(checkup(app))
    if as_json:
        print_json({"findings": found, "worst": worst(found)})
    else:
        _print(found)
    sys.exit(USAGE if worst(found) is Level.PROBLEM else OK)


def _print(found: list[Finding]) -> None:
    """A finding with its remedy below it on a terminal, and beside it in a pipe."""
    width = max(len(finding.check) for finding in found)
    between = f"\n{'':{len(Level.PROBLEM) + width + 4}}-> " if sys.stdout.isatty() else "  -> "
    for finding in found:
        level = click.style(f"{finding.level:{len(Level.PROBLEM)}}", fg=_COLOURS[finding.level])
        remedy = f"{between}{one_line(finding.remedy)}" if finding.remedy else ""
        click.echo(f"{level}  {finding.check:{width}}  {one_line(finding.found)}{remedy}")
    problems = sum(finding.level is Level.PROBLEM for finding in found)
    warnings = sum(finding.level is Level.WARNING for finding in found)
    click.echo(f"{_counted(problems, 'problem')}, {_counted(warnings, 'warning')}", err=True)


def _counted(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
