"""What the doctor says of a table: from Azurite, and from a server that answers as Azure does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.data.tables.aio import TableServiceClient

from boilermaker_fn.cli.doctor import tables
from boilermaker_fn.cli.doctor.findings import Level
from boilermaker_fn.result_rows import partitions
from boilermaker_fn.tables.account import Account
from tests.azurite import ACCOUNT, KEY, a_table_name, connection_string
from tests.doctor.administration import Identity


def account(text: str, table: str) -> Account:
    return Account(None, table, None, text)


async def test_a_table_that_can_be_read_and_written(azurite: int) -> None:
    text, name = connection_string(azurite), a_table_name()
    async with TableServiceClient.from_connection_string(text) as service:
        await service.create_table(name)
        finding = await tables.examined(account(text, name), None)
        assert finding.level is Level.OK
        assert finding.found == f"{name!r} at http://127.0.0.1:{azurite}/{ACCOUNT} can be read and written"
        assert [row async for row in service.get_table_client(name).list_entities()] == []
    assert tables.service_url(account(text, name)) == f"http://127.0.0.1:{azurite}"


async def test_a_table_that_is_not_there_yet(azurite: int) -> None:
    name = a_table_name()
    finding = await tables.examined(account(connection_string(azurite), name), None)
    assert finding.level is Level.WARNING
    assert "is not there yet" in finding.found
    assert finding.remedy.startswith("nothing, if the name is right")
    async with TableServiceClient.from_connection_string(connection_string(azurite)) as service:
        assert name not in [table.name async for table in service.list_tables()]


@pytest.mark.filterwarnings("ignore:Testing an element's truth value:DeprecationWarning")  # the SDK, of Azurite's XML
async def test_a_wrong_key(azurite: int) -> None:
    text = connection_string(azurite, "d3Jvbmc=")
    finding = await tables.examined(account(text, "boilermaker"), None)
    assert finding.level is Level.PROBLEM
    assert finding.found.startswith("reading in 'boilermaker' at")
    assert "give the right connection string" in finding.remedy
    assert "d3Jvbmc=" not in repr(finding)


async def test_a_port_on_which_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    finding = await tables.examined(account(connection_string(port), "boilermaker"), None)
    assert finding.level is Level.PROBLEM
    assert KEY not in repr(finding)
    assert finding.remedy.startswith("start Azurite")


async def test_an_account_that_does_not_resolve() -> None:
    finding = await tables.examined(Account("https://shop.table.invalid", "boilermaker", Identity(), None), None)
    assert finding.level is Level.PROBLEM
    assert "does not resolve" in finding.remedy


@asynccontextmanager
async def refusing(method: bytes) -> AsyncIterator[str]:
    """A table service that refuses one method as Azure does without a role, and has no rows."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                refused = head.startswith(method)
                code = "AuthorizationPermissionMismatch" if refused else "ResourceNotFound"
                body = f'{{"odata.error":{{"code":"{code}","message":{{"lang":"en-US","value":"no"}}}}}}'
                status = "403 Forbidden" if refused else "404 Not Found"
                text = (
                    f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
                )
                writer.write(text.encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    async with server:
        yield connection_string(server.sockets[0].getsockname()[1])


@pytest.mark.parametrize(("method", "doing"), [(b"GET", "reading"), (b"POST", "writing")])
async def test_no_rights(method: bytes, doing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with refusing(method) as text:
        connect = Account.connect

        def as_an_identity(self: Account) -> object:
            made = connect(self)
            made.client.credential = Identity()  # tokens are sent over https only: it has signed with the key
            return made

        monkeypatch.setattr(Account, "connect", as_an_identity)
        finding = await tables.examined(account(text, "boilermaker"), "1234")
    assert finding.level is Level.PROBLEM
    assert finding.found.startswith(f"{doing} in 'boilermaker' at http://127.0.0.1:")
    assert "AuthorizationPermissionMismatch" in finding.found
    assert (
        'az role assignment create --assignee-object-id 1234 --role "Storage Table Data Contributor" --scope '
        f"$(az storage account show --name {ACCOUNT} --query id --output tsv)"
    ) in finding.remedy


class Nobody(Identity):
    """Somebody without a token."""

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        raise ClientAuthenticationError("nobody is signed in")


async def test_no_identity() -> None:
    finding = await tables.examined(Account("https://shop.table.invalid", "boilermaker", Nobody(), None), None)
    assert finding.level is Level.PROBLEM
    assert "nobody is signed in" in finding.found
    assert "sign in (az login)" in finding.remedy
    assert "role" not in finding.remedy


async def test_none() -> None:
    finding = tables.none_configured()
    assert finding.level is Level.WARNING
    assert "TABLE_STORAGE_URL" in finding.remedy


def test_the_row_of_the_probe_is_in_a_partition_of_its_own() -> None:
    assert tables._PARTITION not in partitions()
