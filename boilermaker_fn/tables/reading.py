"""How are rows found? By their keys, or with an OData filter whose literals have the types of the properties."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..entities import Entity, Page, Value, Where
from ..errors import LimitExceeded
from .answers import Answer, answer
from .values import PARTITION, ROW, to_entity

if TYPE_CHECKING:
    from azure.data.tables.aio import TableClient


async def read(client: TableClient, partition: str, row: str, select: Sequence[str] | None = None) -> Entity | None:
    """One row; None if there is none. Raises AzureError."""
    from azure.core.exceptions import HttpResponseError

    try:
        return to_entity(await client.get_entity(partition, row, select=_selected(select)))
    except HttpResponseError as error:
        if answer(error) in (Answer.NoRow, Answer.NoTable):
            return None
        raise


async def page(
    client: TableClient, wanted: str, select: Sequence[str] | None, limit: int, continuation: str | None
) -> Page:
    """One page of what a filter leaves; an empty one if there is no table. Raises LimitExceeded, AzureError."""
    from azure.core.exceptions import HttpResponseError

    found_by = client.query_entities(wanted, results_per_page=limit, select=_selected(select))
    pages: Any = found_by.by_page(_token(continuation))
    try:
        entities = [to_entity(found) async for found in await anext(pages)]
    except HttpResponseError as error:
        if answer(error) is Answer.NoTable:
            return Page([])
        raise
    following = pages.continuation_token
    return Page(entities, json.dumps([following[PARTITION], following[ROW]]) if following else None)


def _selected(select: Sequence[str] | None) -> list[str] | None:
    return None if select is None else [PARTITION, ROW, *select]


def _token(continuation: str | None) -> Any:
    # The SDK's is a mapping of two keys; ours is a text, that another process can go on with.
    if continuation is None:
        return None
    try:
        return dict(zip((PARTITION, ROW), json.loads(continuation), strict=True))
    except (ValueError, TypeError):
        raise LimitExceeded(
            f"continuation {continuation[:80]!r} does not come from a table in Azure: begin the query anew"
        ) from None


def filter_of(partition: str, first: str, before: str | None, where: Sequence[Where]) -> str:
    """Rows of a partition with `first <= row key < before` that meet all conditions."""
    conditions = [Where(PARTITION, "eq", partition)]
    if first:
        conditions.append(Where(ROW, "ge", first))
    if before is not None:
        conditions.append(Where(ROW, "lt", before))
    return " and ".join(f"{one.name} {one.comparison} {literal(one.value)}" for one in [*conditions, *where])


def literal(value: Value) -> str:
    """A value in a filter."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{int(value)}L"
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, datetime.datetime):
        utc = value.astimezone(datetime.UTC).replace(tzinfo=None)
        return f"datetime'{utc.isoformat(timespec='microseconds')}Z'"
    escaped = value.replace("'", "''")
    return f"'{escaped}'"
