"""How are rows kept in Azure? The port Table on Azure Table Storage, or on Azurite."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from ..per_loop import PerLoop
from .account import Account

if TYPE_CHECKING:
    from azure.data.tables.aio import TableClient

    from ..entities import Entity, Operation, Page, Where
    from ..settings import Settings
    from .account import Credential
    from .patience import Patience

T = TypeVar("T")


class AzureTable:
    """Rows in one table of a storage account; the table is made by the first write when it is missing.

    `endpoint` is the account's, such as `https://ACCOUNT.table.core.windows.net`; `credential` one of azure-identity's
    `aio`, or what makes one (it is closed then), by default a DefaultAzureCredential. Instead of both, a
    `connection_string`; that of Azurite is `UseDevelopmentStorage=true`. An operation that is throttled, or loses its
    connection, is tried again for `deadline` seconds; `chance` gives numbers from 0 to 1, for the pauses between.

    It can be used from several event loops. Raises ConfigurationError; the SDK is imported, and a connection made, on
    first use.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        table_name: str = "boilermaker",
        credential: Credential | None = None,
        *,
        connection_string: str | None = None,
        deadline: float = 10.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._account = Account(endpoint, table_name, credential, connection_string)
        self._connections = PerLoop(self._account.connect)
        self._trying = (deadline, chance)

    @classmethod
    def from_config(cls, config: Settings) -> AzureTable:
        """The table that the settings name. Raises ConfigurationError with all that is wrong with them."""
        config.checked()
        if config.table_endpoint is None:
            return cls(table_name=config.boilermaker_table_name, connection_string=config.table_connection_string)
        given = config.service_bus_credential
        # One that was given is shared with others, who may still need it when we close.
        credential = config.az_credential if given is None else given
        return cls(config.table_endpoint, config.boilermaker_table_name, credential)

    @cached_property
    def _patience(self) -> Patience:
        # Here and below: many an instance works for long, or for ever, without touching a row.
        from .patience import Patience

        return Patience(*self._trying)

    @property
    def account(self) -> Account:
        """Which storage account that is, and who the app is there."""
        return self._account

    async def close(self) -> None:
        """Let go of the connections of the running event loop when what is under way has ended, which takes seconds.

        Used again, the table connects again.
        """
        if (connection := self._connections.taken()) is not None:
            await connection.close()

    async def read(self, partition: str, row: str, select: Sequence[str] | None = None) -> Entity | None:
        """One row, or None. Raises StoreUnavailable."""
        from .reading import read

        return await self._answered(
            f"reading row {partition!r}/{row!r}", lambda client, _: read(client, partition, row, select)
        )

    async def query(
        self,
        partition: str,
        *,
        first: str = "",
        before: str | None = None,
        where: Sequence[Where] = (),
        select: Sequence[str] | None = None,
        limit: int = 1000,
        continuation: str | None = None,
    ) -> Page:
        """Rows with `first <= row key < before` that meet all conditions, by row key.

        A value of another type than the condition's does not match. Raises LimitExceeded, StoreUnavailable.
        """
        from ..entities import check_query
        from .reading import filter_of, page

        check_query(where, limit)
        wanted = filter_of(partition, first, before, where)
        return await self._answered(
            f"reading partition {partition!r}", lambda client, _: page(client, wanted, select, limit, continuation)
        )

    async def write(self, operations: Sequence[Operation]) -> list[str]:
        """All operations or none. Returns the new ETags. Raises Conflict, NotFound, LimitExceeded, StoreUnavailable.

        A write whose answer was lost is looked up in the table before it is called refused.
        """
        from ..entities import check_operations
        from .writing import write

        check_operations(operations)
        first = operations[0].entity
        return await self._answered(
            f"writing {len(operations)} row(s) from {first.partition!r}/{first.row!r} on",
            lambda client, unseen: write(client, operations, unseen),
            writes=True,
        )

    async def _answered(
        self, doing: str, ask: Callable[[TableClient, bool], Awaitable[T]], *, writes: bool = False
    ) -> T:
        async def attempt(unseen: bool) -> T:
            # Each asks for the connection anew: somebody may have closed it in between.
            with self._connections.current().used() as client:
                return await ask(client, unseen)

        return await self._patience.until_answered(f"table {self._account.name}, {doing}", attempt, writes=writes)
