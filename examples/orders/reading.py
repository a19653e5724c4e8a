"""Which orders are in the file? Every row comes out: as an order, or as a bad row that says what is wrong."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from .models import BadRow, Order

ORDERS = Path(__file__).with_name("orders.csv")


def read(path: Path = ORDERS) -> Iterator[tuple[int, Order | BadRow]]:
    """All rows with their line in the file. The first row with an id is the order, later ones are duplicates."""
    lines: dict[str, int] = {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        for cells in rows:
            line = rows.line_num
            row = _read_row(header, line, cells)
            if isinstance(row, Order) and (first := lines.setdefault(row.order_id, line)) != line:
                row = BadRow(line=line, cells=cells, problem=f"order_id: {row.order_id} is on line {first} already")
            yield line, row


def _read_row(header: Sequence[str], line: int, cells: list[str]) -> Order | BadRow:
    if len(cells) != len(header):
        return BadRow(line=line, cells=cells, problem=f"{len(cells)} cells instead of {len(header)}")
    try:
        return Order.model_validate(dict(zip(header, cells, strict=True)))
    except ValidationError as error:
        return BadRow(line=line, cells=cells, problem="; ".join(map(_problem, error.errors(include_url=False))))


def _problem(error: ErrorDetails) -> str:
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']} (got {error['input']!r})"
