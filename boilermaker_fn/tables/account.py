"""Which storage account, and who are we there? One client, with its pool of connections, for each event loop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..connection_strings import parts_of, problem_with_port, problem_with_storage, shown, trimmed
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.data.tables.aio import TableClient

    Credential: TypeAlias = AsyncTokenCredential | Callable[[], AsyncTokenCredential]

_TABLE_NAME: Final = r"[A-Za-z][A-Za-z0-9]{2,62}"
_SECONDS_TO_CONNECT: Final = 3


class Connection:
    """A client of one table; `credential` is what is closed with it: one that was made for it."""

    def __init__(self, client: TableClient, credential: AsyncTokenCredential | None) -> None:
        self.client = client
        self._credential = credential
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @contextmanager
    def used(self) -> Iterator[TableClient]:
        """The client, which stays open until the end of the block."""
        self._users += 1
        self._unused.clear()
        try:
            yield self.client
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def close(self) -> None:
        """Close the sockets once nobody uses them: under a request they would break, and nobody knew if it was done."""
        try:
            await self._unused.wait()
        finally:
            try:
                await self.client.close()
            finally:
                if self._credential is not None:
                    await self._credential.close()


class Account:
    """An endpoint with a credential (by default the identity the code runs as), or a connection string.

    Raises ConfigurationError, which never holds a secret.
    """

    def __init__(
        self, endpoint: str | None, table: str, credential: Credential | None, connection_string: str | None
    ) -> None:
        if problem := _problem(endpoint, table, credential, connection_string):
            raise ConfigurationError(f"AzureTable: {problem}")
        self._endpoint = endpoint if endpoint is None or "://" in endpoint else f"https://{endpoint}"
        self._table = table
        self._credential = credential
        self._connection_string = connection_string

    @property
    def name(self) -> str:
        """The table and where it is, for people."""
        return f"{self._table!r} at {self._endpoint or self._place}"

    @property
    def _place(self) -> str:
        parts = parts_of(self._connection_string or "")
        return parts.get("tableendpoint") or parts.get("accountname") or "Azurite on this machine"

    def connect(self) -> Connection:
        """A connection for the running event loop; nothing is sent yet. Raises ConfigurationError."""
        from azure.data.tables.aio import TableClient

        # Trying again is ours: two loops within each other would multiply.
        options: dict[str, Any] = {"retry_total": 0, "connection_timeout": _SECONDS_TO_CONNECT}
        try:
            if self._endpoint is None:
                text = trimmed(self._connection_string or "")
                return Connection(TableClient.from_connection_string(text, self._table, **options), None)
            credential, ours = self._identity()
            client = TableClient(self._endpoint, self._table, credential=credential, **options)
            return Connection(client, credential if ours else None)
        except ValueError as error:
            raise ConfigurationError(
                f"AzureTable: {error}: give an endpoint such as https://ACCOUNT.table.core.windows.net "
                "(TABLE_STORAGE_URL)"
            ) from None

    def _identity(self) -> tuple[AsyncTokenCredential, bool]:
        """A credential for the running event loop, and whether it was made for it."""
        if self._credential is None:
            from azure.identity.aio import DefaultAzureCredential

            return DefaultAzureCredential(), True
        return (self._credential(), True) if callable(self._credential) else (self._credential, False)


def _problem(
    endpoint: str | None, table: str, credential: Credential | None, connection_string: str | None
) -> str | None:
    if not re.fullmatch(_TABLE_NAME, table):
        return f"the table's name is {table!r}; it has 3 to 63 letters and digits and begins with a letter"
    if endpoint is None and connection_string is None:
        return (
            "there is neither an endpoint (TABLE_STORAGE_URL, or AzureWebJobsStorage__accountName) nor a connection "
            "string (TABLE_STORAGE_CONNECTION_STRING, or AzureWebJobsStorage): give one of them"
        )
    if connection_string is not None and (endpoint is not None or credential is not None):
        return "a connection string says where and who: give it, or an endpoint and a credential"
    if connection_string is not None and (problem := problem_with_storage(connection_string)) is not None:
        return f"the connection string {problem}"
    if endpoint is not None and ("?" in endpoint or "@" in endpoint):
        return (
            "the endpoint holds more than an address (which is not shown): a SAS token or a key belongs in a "
            "connection string"
        )
    if endpoint is not None and (problem := problem_with_port(endpoint)) is not None:
        return f"the endpoint {problem}"
    if endpoint is not None and "://" in endpoint and not endpoint.startswith("https://"):
        return (
            f"the endpoint is {shown(endpoint)}: an identity's token is only sent over https://; for Azurite give a "
            "connection string, such as UseDevelopmentStorage=true"
        )
    return None
