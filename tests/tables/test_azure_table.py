"""Is a table in Azure there when it can be, and is it said clearly when it cannot?"""

from __future__ import annotations

import asyncio
import datetime
import uuid

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.data.tables.aio import TableClient, TableServiceClient

from boilermaker_fn import Boilermaker
from boilermaker_fn.config import Config
from boilermaker_fn.entities import Delete, Entity, Insert, Merge, Replace, Where
from boilermaker_fn.errors import ConfigurationError, LimitExceeded, NotFound, StoreUnavailable, TaskFailed
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.result_rows import partition_of
from boilermaker_fn.results import ResultStore
from boilermaker_fn.tables import AzureTable
from boilermaker_fn.task.result import TaskStatus, TerminalRow
from tests.azurite import connection_string
from tests.tables.proxy import answers, cuts_before, halves, hangs, speaks_html

BUSY = answers(503, "ServerBusy")


def row(key="r", values=None, etag="", partition="p"):
    return Entity(partition, key, values or {}, etag)


# What passes is waited for


PASSING = {
    "busy": BUSY,
    "throttled": answers(429, "TooManyRequests"),
    "internal": answers(500, "InternalError"),
    "timeout": answers(500, "OperationTimedOut"),
    "gateway": speaks_html(502),
    "table being deleted": answers(409, "TableBeingDeleted"),
    "cut": cuts_before,
    "cut within the answer": halves,
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
async def test_reading_is_tried_again(table, direct, proxy, fault):
    (etag,) = await direct.write([Insert(row(values={"n": 1}))])
    proxy.faults = [fault] * 3
    assert await table.read("p", "r") == row(values={"n": 1}, etag=etag)
    proxy.faults = [fault] * 3
    assert (await table.query("p")).entities == [row(values={"n": 1}, etag=etag)]


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
async def test_writing_is_tried_again(table, direct, proxy, fault):
    proxy.faults = [fault] * 3
    (etag,) = await table.write([Insert(row(values={"n": 1}))])
    assert await direct.read("p", "r") == row(values={"n": 1}, etag=etag)


# What does not pass is said


@pytest.fixture
async def impatient(proxy, name):
    table = AzureTable(table_name=name, connection_string=connection_string(proxy.port), deadline=0.3)
    yield table
    await table.close()


USES = {
    "read": lambda table: table.read("p", "r"),
    "query": lambda table: table.query("p"),
    "insert": lambda table: table.write([Insert(row())]),
    "merge": lambda table: table.write([Merge(row(etag="*"))]),
    "transaction": lambda table: table.write([Insert(row()), Insert(row("s"))]),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("fault", [BUSY, cuts_before, hangs])
async def test_after_the_deadline_the_store_is_unavailable(impatient, direct, proxy, use, fault):
    await direct.write([Insert(row("other"))])
    proxy.for_ever = fault
    with pytest.raises(StoreUnavailable) as caught:
        await use(impatient)
    assert f"http://127.0.0.1:{proxy.port}" in str(caught.value)
    assert "try again later" in str(caught.value)
    assert [entity.row for entity in (await direct.query("p")).entities] == ["other"]


async def test_a_write_nobody_knows_of_is_said_to_be_one(impatient, proxy):
    proxy.for_ever = BUSY
    with pytest.raises(StoreUnavailable, match=r"writing .* \[ServerBusy\] \(tried \d+ times; whether .* is not known"):
        await impatient.write([Insert(row())])


async def test_what_was_refused_at_the_door_was_not_done(proxy, name):
    table = AzureTable(table_name=name, connection_string=connection_string(proxy.port), deadline=1, chance=lambda: 1)
    proxy.for_ever = answers(429, "TooManyRequests")
    with pytest.raises(StoreUnavailable, match=r"\(tried \d+ times\)"):
        await table.write([Insert(row())])
    await table.close()


async def test_reading_leaves_no_doubt(impatient, proxy):
    proxy.for_ever = BUSY
    with pytest.raises(StoreUnavailable) as caught:
        await impatient.read("p", "r")
    assert "not known" not in str(caught.value)


@pytest.mark.parametrize("code", ["AuthorizationPermissionMismatch", "AuthenticationFailed", "AuthorizationFailure"])
async def test_who_has_no_rights_is_told_which_role_is_needed(table, proxy, code):
    proxy.for_ever = answers(403, code)
    for use in USES.values():
        proxy.requests.clear()
        with pytest.raises(StoreUnavailable, match=f"{code}.*'Storage Table Data Contributor'"):
            await use(table)
        assert len(proxy.requests) == 1


@pytest.mark.filterwarnings("ignore:Testing an element's truth value")  # the SDK, when it reads an error in XML
async def test_a_wrong_key(azurite, name):
    table = AzureTable(table_name=name, connection_string=connection_string(azurite, "d3Jvbmc="))
    with pytest.raises(StoreUnavailable, match="right connection string") as caught:
        await table.write([Insert(row())])
    assert "d3Jvbmc=" not in str(caught.value)
    await table.close()


async def test_there_is_no_identity(name):
    class Nobody:
        async def get_token(self, *scopes, **options):
            raise ClientAuthenticationError("Nobody failed to retrieve a token.\nIt tried for long.")

        async def close(self):
            pass

    table = AzureTable("https://127.0.0.1:1", name, Nobody())
    with pytest.raises(StoreUnavailable, match=r"Nobody failed to retrieve a token\. \(tried once\): .*az login"):
        await table.read("p", "r")
    await table.close()


async def test_a_host_that_does_not_resolve(name):
    text = "AccountName=nobody;AccountKey=a2V5;TableEndpoint=http://nobody.table.invalid"
    table = AzureTable(table_name=name, connection_string=text, deadline=0.3)
    with pytest.raises(StoreUnavailable, match=r"nobody\.table\.invalid.*does not resolve.*TABLE_STORAGE_URL"):
        await table.write([Insert(row())])
    await table.close()


async def test_nobody_listens(name):
    table = AzureTable(table_name=name, connection_string=connection_string(1), deadline=0.3)
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1"):
        await table.read("p", "r")
    await table.close()


@pytest.mark.parametrize("status", [404, 405, 302])
async def test_what_is_no_table_service(table, proxy, status):
    proxy.for_ever = speaks_html(status)
    for use in USES.values():
        with pytest.raises(StoreUnavailable, match="endpoint is that of a table service"):
            await use(table)


@pytest.mark.parametrize(("status", "code"), [(400, "EntityTooLarge"), (413, "RequestBodyTooLarge")])
async def test_a_limit_that_only_the_service_knows(table, proxy, status, code):
    proxy.for_ever = answers(status, code)
    with pytest.raises(LimitExceeded, match=code):
        await table.write([Insert(row())])
    assert len(proxy.requests) == 1


# The table itself


async def tables_in(port):
    async with TableServiceClient.from_connection_string(connection_string(port)) as service:
        return {item.name async for item in service.list_tables()}


async def test_reading_makes_no_table(direct, azurite, name):
    assert await direct.read("p", "r") is None
    assert (await direct.query("p")).entities == []
    assert name not in await tables_in(azurite)


async def test_the_first_writes_make_the_table_whoever_comes_first(azurite, name):
    tables = [AzureTable(table_name=name, connection_string=connection_string(azurite)) for _ in range(4)]
    writes = [table.write([Insert(row(f"{number}{i}"))]) for number, table in enumerate(tables) for i in range(5)]
    await asyncio.gather(*writes)
    assert len((await tables[0].query("p")).entities) == 20
    await asyncio.gather(*(table.close() for table in tables))


@pytest.mark.parametrize("operation", [Replace, Merge, Delete])
async def test_in_a_missing_table_there_is_nothing_to_change(direct, operation):
    with pytest.raises(NotFound):
        await direct.write([operation(row(etag="*"))])


# Loops, connections


async def test_two_event_loops_have_connections_of_their_own(direct):
    await direct.write([Insert(row("here"))])

    async def elsewhere():
        await direct.write([Insert(row("there"))])
        await direct.close()

    await asyncio.to_thread(asyncio.run, elsewhere())
    assert [entity.row for entity in (await direct.query("p")).entities] == ["here", "there"]


async def test_a_closed_table_connects_again(direct):
    await direct.close()
    await direct.write([Insert(row())])
    await direct.close()
    await direct.close()
    assert await direct.read("p", "r") is not None


async def test_what_is_under_way_when_a_table_is_closed_is_finished(direct):
    async def one(number: int) -> None:
        for turn in range(5):
            await direct.write([Insert(row(f"{number}-{turn}"))])
            assert await direct.read("p", f"{number}-{turn}") is not None

    working = asyncio.gather(*(one(number) for number in range(10)))
    while not working.done():
        await direct.close()
        await asyncio.sleep(0.01)
    await working
    assert len((await direct.query("p")).entities) == 50


async def test_closing_can_be_interrupted(table, direct, proxy):
    await direct.write([Insert(row())])
    proxy.faults = [hangs]
    reading = asyncio.ensure_future(table.read("p", "r"))
    while not proxy.requests:
        await asyncio.sleep(0.01)
    closing = asyncio.ensure_future(table.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await table.read("p", "r") is not None  # over a new connection


async def test_a_page_goes_on_in_another_process(azurite, name, direct):
    await direct.write([Insert(row(f"it's {number}", {"n": number})) for number in range(5)])
    page = await direct.query("p", where=[Where("n", "gt", 0)], limit=2)
    other = AzureTable(table_name=name, connection_string=connection_string(azurite))
    rest = await other.query("p", where=[Where("n", "gt", 0)], continuation=page.continuation)
    assert [entity.row for entity in [*page.entities, *rest.entities]] == ["it's 1", "it's 2", "it's 3", "it's 4"]
    await other.close()


async def test_a_page_of_another_store(direct):
    for continuation in ("row-17", "[1]", "7"):
        with pytest.raises(LimitExceeded, match="begin the query anew"):
            await direct.query("p", continuation=continuation)


async def test_a_page_of_nothing_that_goes_on(table, direct, proxy):
    """Azure ends a page when it has looked for long; Azurite never does."""
    await direct.write([Insert(row(key)) for key in "ab"])

    async def without_rows(proxy, request, body):
        response = await proxy.passed_on(request, body)
        response.body = b'{"value":[]}'
        return response

    proxy.faults = [without_rows]
    page = await table.query("p", limit=1)
    assert page.entities == []
    assert page.continuation is not None
    rest = await table.query("p", continuation=page.continuation)
    assert [entity.row for entity in rest.entities] == ["b"]


async def test_rows_that_others_wrote_can_be_read(azurite, name, direct):
    await direct.write([Insert(row("ours"))])
    values = {
        "small": 7,
        "guid": uuid.UUID(int=5),
        "flag": True,
        "half": (0.5, "Edm.Double"),
        "yes": (True, "Edm.Boolean"),
    }
    async with TableClient.from_connection_string(connection_string(azurite), name) as client:
        await client.create_entity({"PartitionKey": "p", "RowKey": "theirs", **values})
    found = await direct.read("p", "theirs")
    assert found.values == {"small": 7, "guid": str(uuid.UUID(int=5)), "flag": True, "half": 0.5, "yes": True}


# Results


async def test_results_are_kept_and_purged(direct):
    store = ResultStore(direct)
    ids = [f"task-{number}" for number in range(30)]
    for number, task_id in enumerate(ids):
        terminal = TerminalRow(task_id, "f", TaskStatus.Success, result='{"a": "ä"}', finished_at=1000.0 + number)
        assert await store.insert(terminal) is None
    assert (await store.read("task-3")).result == '{"a": "ä"}'
    assert await store.cancel("task-3", 2000.0) is False
    assert await store.cancel("task-99", 2000.0) is True
    removed, resume = 0, f"{min(map(partition_of, ids))}"
    while resume is not None:
        page = await store.purge(1015.0, resume)
        removed, resume = removed + page.removed, page.resume
    assert removed == 15
    assert [await store.read(task_id) is None for task_id in ids] == [number < 15 for number in range(30)]


async def test_an_app_keeps_its_results_there(azurite, name, direct):
    table = AzureTable(table_name=name, connection_string=connection_string(azurite))
    app = Boilermaker([], LocalEngine(), results_storage=table)

    @app.task
    async def divide(state, a: int, b: int) -> float:
        return a / b

    @app.task
    async def note(state, what: str) -> datetime.datetime:
        state.append(what)
        return datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)

    divided, failing = app.create_task(divide, 6, 3), app.create_task(divide, 1, 0)
    failing.on_failure = app.create_task(note, "failed")
    async with app:
        await app.publish_many([divided, failing])
        assert await app.handle(divided).result(timeout=20) == 2.0
        with pytest.raises(TaskFailed, match="ZeroDivisionError"):
            await app.handle(failing).result(timeout=20)
        noted = await app.handle(failing.on_failure).result(timeout=20)
        cancelled = await app.options(delay=3600).apply_async(divide, 1, 1)
        assert await cancelled.cancel()
    assert (noted, app.state) == (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), ["failed"])
    rows = [await ResultStore(direct).read(task.task_id) for task in (divided, failing, cancelled)]
    assert [one.status for one in rows] == [TaskStatus.Success, TaskStatus.Failure, TaskStatus.Cancelled]


# What is configured


def test_what_is_wrong_is_said_when_the_table_is_made():
    for arguments in (
        {},
        {"endpoint": "https://a.table.core.windows.net", "connection_string": "UseDevelopmentStorage=true"},
        {"endpoint": "http://127.0.0.1:10002/devstoreaccount1"},
        {"endpoint": "https://a.table.core.windows.net", "table_name": "no-dashes"},
        {"connection_string": "AccountName=a;AccountKey"},
        {"endpoint": "https://a.table.core.windows.net:port"},
    ):
        with pytest.raises(ConfigurationError, match="AzureTable"):
            AzureTable(**arguments)


def test_no_error_shows_a_secret():
    for arguments in (
        {"connection_string": "AccountKey=c2VjcmV0"},
        {"endpoint": "https://a:c2VjcmV0@a.table.core.windows.net"},
        {"endpoint": "https://a.table.core.windows.net/?sig=c2VjcmV0"},
    ):
        with pytest.raises(ConfigurationError) as caught:
            AzureTable(**arguments)
        assert "c2VjcmV0" not in str(caught.value)


async def test_settings_of_an_account_key(azurite, name, direct):
    await direct.write([Insert(row())])
    config = Config(table_storage_connection_string=connection_string(azurite), boilermaker_table_name=name)
    table = AzureTable.from_config(config)
    assert await table.read("p", "r") is not None
    await table.close()
