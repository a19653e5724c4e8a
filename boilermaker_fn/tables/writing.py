"""How are rows written? All or none; and a write whose answer was lost is looked up before it is called refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ..entities import ANY_ETAG, Delete, Insert, Merge, Operation, Replace
from ..errors import Conflict, NotFound
from .answers import Answer, answer, code_of
from .reading import read
from .values import holds, to_properties

if TYPE_CHECKING:
    from azure.core.exceptions import HttpResponseError
    from azure.data.tables.aio import TableClient

    Step: TypeAlias = tuple[str, Mapping[str, Any], Mapping[str, Any]]

_NO_ECHO = {"response_preference": "return-no-content"}


async def write(client: TableClient, operations: Sequence[Operation], unseen: bool) -> list[str]:
    """The new ETags. `unseen` says that an earlier try may have been done. Raises Conflict, NotFound, AzureError.

    A missing table is made; the error that says so is raised, for the write to be tried again.
    """
    from azure.core.exceptions import HttpResponseError

    try:
        return await _send(client, operations)
    except HttpResponseError as error:
        if answer(error) is Answer.NoTable:
            await _create_table(client)
        refusal = _refusal(error, operations)
        if refusal is None:
            raise
        if unseen and (etags := await _etags_if_done(client, operations)) is not None:
            return etags
        raise refusal from None


async def _send(client: TableClient, operations: Sequence[Operation]) -> list[str]:
    steps = [_step(operation) for operation in operations]
    if len(operations) == 1:
        # As a plain request, which costs half of what a transaction does here. Not so a Replace or Delete: their
        # PUT and DELETE are repeated by aiohttp itself when a kept connection turns out to be closed, and the refusal
        # of the second would hide the success of the first; and the SDK's delete_entity() is silent about no row.
        _, properties, options = steps[0]
        if isinstance(operations[0], Insert):
            return [await _insert(client, properties, options)]
        if isinstance(operations[0], Merge):
            return [(await client.update_entity(properties, **options))["etag"]]
    parts = await client.submit_transaction(steps)
    return ["" if isinstance(one, Delete) else part["etag"] for one, part in zip(operations, parts, strict=True)]


async def _insert(client: TableClient, properties: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    from azure.core.exceptions import AzureError

    try:
        written = await client.create_entity(properties, **options)
    except AttributeError as error:
        # The SDK stumbles over errors that have no response, such as an answer that breaks off.
        if isinstance(error.__context__, AzureError):
            raise error.__context__ from None
        raise
    return str(written["etag"])


def _step(operation: Operation) -> Step:
    from azure.core import MatchConditions
    from azure.data.tables import UpdateMode

    properties = to_properties(operation.entity)
    if isinstance(operation, Insert):
        return "create", properties, _NO_ECHO
    condition: dict[str, Any] = {}
    if operation.entity.etag != ANY_ETAG:
        condition = {"etag": operation.entity.etag, "match_condition": MatchConditions.IfNotModified}
    if isinstance(operation, Delete):
        return "delete", properties, condition
    mode = UpdateMode.REPLACE if isinstance(operation, Replace) else UpdateMode.MERGE
    return "update", properties, {"mode": mode, **condition}


async def _create_table(client: TableClient) -> None:
    from azure.core.exceptions import ResourceExistsError

    try:
        await client.create_table()
    except ResourceExistsError as error:
        if code_of(error) != "TableAlreadyExists":
            raise


def _refusal(error: HttpResponseError, operations: Sequence[Operation]) -> Conflict | NotFound | None:
    index = getattr(error, "index", 0)
    entity = operations[index if index < len(operations) else 0].entity
    said = answer(error)
    if said is Answer.Changed:
        return Conflict(entity.partition, entity.row)
    return NotFound(entity.partition, entity.row) if said is Answer.NoRow else None


async def _etags_if_done(client: TableClient, operations: Sequence[Operation]) -> list[str] | None:
    """The ETags of rows that are all as the operations leave them; None if one of them is not."""
    etags = []
    for operation in operations:
        found = await read(client, operation.entity.partition, operation.entity.row)
        if isinstance(operation, Delete):
            if found is not None:
                return None
            etags.append("")
        elif found is None or not holds(found, operation):
            return None
        else:
            etags.append(found.etag)
    return etags
