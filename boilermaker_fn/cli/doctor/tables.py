"""Is the table there, and may one read and write in it? A row of the doctor's own is written and removed."""

from __future__ import annotations

import asyncio
import uuid
from typing import Final
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError
from azure.data.tables.aio import TableClient

from ...connection_strings import host_of
from ...tables.account import Account
from ...tables.answers import Answer, answer, described, remedy
from .findings import Finding, ok, problem, warning
from .roles import TABLES, account_scope, how_to_give

_CHECK: Final = "table"
_SECONDS: Final = 30.0
_PARTITION: Final = "doctor"


def service_url(account: Account) -> str:
    """The URL of the account's table service. Raises ConfigurationError."""
    parts = urlsplit(account.connect().client.url)
    return f"{parts.scheme}://{parts.netloc}"


async def examined(account: Account, principal: str | None) -> Finding:
    """What there is to say of the table; `principal` is the object id of whom this runs as, where that is known."""
    connection = account.connect()
    doing = ["reading"]
    try:
        async with asyncio.timeout(_SECONDS):
            await _tried(connection.client, doing)
    except (AzureError, TimeoutError) as error:
        return _failed(connection.client, account.name, doing[-1], error, principal)
    finally:
        await connection.close()
    return ok(_CHECK, f"{account.name} can be read and written")


def none_configured() -> Finding:
    """That results are kept nowhere."""
    return warning(
        _CHECK,
        "none is configured: results are not kept, and only duplicate detection guards callbacks",
        "set TABLE_STORAGE_URL to https://<account>.table.core.windows.net",
    )


async def _tried(client: TableClient, doing: list[str]) -> None:
    """Read, write and remove a row; `doing` gets what is being tried. Raises AzureError."""
    key = {"PartitionKey": _PARTITION, "RowKey": uuid.uuid4().hex}
    try:
        await client.get_entity(key["PartitionKey"], key["RowKey"])
    except AzureError as error:
        if answer(error) is not Answer.NoRow:
            raise
    doing.append("writing")
    await client.create_entity(key)
    doing.append("removing")
    await client.delete_entity(key)


def _failed(
    client: TableClient, name: str, doing: str, error: AzureError | TimeoutError, principal: str | None
) -> Finding:
    said = answer(error)
    found = f"{doing} in {name} fails: {described(error)}"
    if said is Answer.NoTable:
        return warning(_CHECK, f"{name} is not there yet", "nothing, if the name is right: the first write makes it")
    # Without a response it was not the service that refused: there is no token.
    if (
        said is Answer.Denied
        and getattr(error, "response", None) is not None
        and hasattr(client.credential, "get_token")
    ):
        return problem(_CHECK, found, how_to_give(TABLES, account_scope(client.account_name or ""), principal))
    if said is Answer.NotSent and host_of(client.url) in ("127.0.0.1", "localhost"):
        return problem(_CHECK, found, "start Azurite (azurite-table), or correct its port in the connection string")
    return problem(_CHECK, found, remedy(error))
