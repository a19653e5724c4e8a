"""How does output look? Tables for people on a terminal; in a pipe one record a line, without colours or wrapping."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click
from pydantic_core import to_jsonable_python

if TYPE_CHECKING:
    from rich.console import Console

_GAP = "  "
# Columns of a table on a terminal.
_LEAST_ROOM = 24
_PADDING = 3


def console(*, stderr: bool = False) -> Console:
    """A console on standard output (or error) that colours and wraps on a terminal only, whatever FORCE_COLOR says."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, force_terminal=stream.isatty(), highlight=False, markup=False, emoji=False)


def print_json(data: Any) -> None:
    """One JSON document for programs."""
    click.echo(json.dumps(to_jsonable_python(data), ensure_ascii=False, indent=2))


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line; values of None are left out. Texts of several lines stand below their name."""
    shown = [(name, str(value)) for name, value in fields if value is not None and value != ""]
    width = max((len(name) for name, _ in shown), default=0)
    for name, text in shown:
        if "\n" in text.strip():
            click.echo(f"{name}\n{_indented(text)}")
        else:
            click.echo(f"{name:{width}}{_GAP}{one_line(text)}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
    """Rows under their columns."""
    cells = [[one_line(str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _print_for_people(columns, cells, title)
    else:
        _print_for_pipes(columns, cells, title)


def one_line(text: str) -> str:
    """The text without line breaks and without what would move a terminal's cursor."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())


def _print_for_people(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    screen = console()
    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    widths = [max(cell_len(line[index]) for line in [columns, *rows]) for index in range(len(columns))]
    for index, column in enumerate(columns):
        numbers = bool(rows) and all(row[index].isdigit() for row in rows)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    # The last column is the longest; its end can be spared, in a pipe or as JSON it is whole.
    room = max(_LEAST_ROOM, screen.width - sum(widths[:-1]) - _PADDING * len(columns))
    for row in rows:
        last = Text(row[-1])
        last.truncate(room, overflow="ellipsis")
        table.add_row(*row[:-1], last)
    screen.print(table)


def _print_for_pipes(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    if title:
        click.echo(f"\n{title}")
    lines = [list(columns), *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        click.echo(_GAP.join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines())
