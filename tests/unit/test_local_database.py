"""One connection, many callers: group commit, isolation, cancellation, and what happens when the file says no."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import threading

import pytest

from boilermaker_fn.entities import Entity, Insert
from boilermaker_fn.errors import ConfigurationError, NotSent, StoreUnavailable
from boilermaker_fn.local import LocalEngine, connection
from boilermaker_fn.local.database import Database
from boilermaker_fn.local.schema import VERSION
from boilermaker_fn.messages import Message


@pytest.fixture
def path(tmp_path):
    return tmp_path / "engine.db"


@pytest.fixture(params=["memory", "file"])
async def database(request, path):
    database = Database(path if request.param == "file" else None)
    await database.write(lambda c: c.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
    yield database
    await database.close()


@pytest.fixture
async def engine(path):
    engine = LocalEngine(path)
    yield engine
    await engine.close()


@pytest.fixture
def impatient(monkeypatch):
    """Waits for other processes for a moment only."""
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)


def add(*numbers, then=None):
    def work(c):
        for number in numbers:
            c.execute("INSERT INTO numbers VALUES (?)", (number,))
        if then:
            raise then

    return work


async def numbers(database):
    return await database.read(lambda c: [n for (n,) in c.execute("SELECT n FROM numbers ORDER BY n")])


# Isolation


async def test_work_that_is_refused_harms_no_other(database):
    class Refused(Exception):
        pass

    outcomes = await asyncio.gather(
        database.write(add(1)), database.write(add(then=Refused())), database.write(add(2)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), Refused, type(None)]
    assert await numbers(database) == [1, 2]


async def test_work_that_fails_half_done_leaves_nothing(database):
    outcomes = await asyncio.gather(
        database.write(add(1)),
        database.write(add(10, 11, then=ValueError("half-done"))),
        database.write(add(2)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), ValueError, type(None)]
    assert await numbers(database) == [1, 2]


async def test_work_that_sqlite_refuses_fails_alone(database):
    outcomes = await asyncio.gather(
        database.write(add(1)), database.write(add(3, 1)), database.write(add(2)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), sqlite3.IntegrityError, type(None)]
    assert await numbers(database) == [1, 2]


async def test_an_interrupted_transaction_is_rolled_back():
    database = Database()
    await database.write(lambda c: c.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
    with pytest.raises(KeyboardInterrupt):
        await database.write(add(1, then=KeyboardInterrupt()))
    await database.write(add(2))
    assert await numbers(database) == [2]
    await database.close()


async def test_a_connection_that_cannot_roll_back_is_replaced(path):
    database = Database(path)
    await database.write(lambda c: c.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))

    def break_down(c):
        add(1)(c)
        c.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION else sqlite3.SQLITE_OK
        )

    with pytest.raises(sqlite3.DatabaseError):
        await database.write(break_down)
    await database.write(add(2))
    assert await numbers(database) == [2]
    await database.close()


# Callers


async def test_a_caller_that_is_cancelled_does_not_stop_the_others(database):
    tasks = [asyncio.create_task(_write(database, number)) for number in range(5)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[2], asyncio.CancelledError)
    await database.write(add(100))
    assert {0, 1, 3, 4, 100} <= set(await numbers(database))


async def _write(database, number):
    await database.write(add(number))


def test_several_loops_and_threads_share_a_database(path):
    database = Database(path)

    async def work(start):
        await asyncio.gather(*(database.write(add(number)) for number in range(start, start + 50)))

    async def prepare():
        await database.write(lambda c: c.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))

    asyncio.run(prepare())
    threads = [threading.Thread(target=lambda start=start: asyncio.run(work(start))) for start in range(0, 400, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def finish():
        found = await numbers(database)
        await database.close()
        return found

    assert asyncio.run(finish()) == list(range(400))


def test_a_loop_that_is_gone_does_not_end_the_thread(path):
    database = Database(path)
    blocked = threading.Event()

    async def leave():
        database.write(lambda c: blocked.wait())

    async def go_on():
        await database.write(lambda c: c.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
        await database.close()

    asyncio.run(leave())
    blocked.set()
    asyncio.run(go_on())


async def test_closing_finishes_what_is_waiting(path):
    database = Database(path)
    await database.write(lambda c: c.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
    writing = [database.write(add(number)) for number in range(100)]
    await database.close()
    await asyncio.gather(*writing)
    again = Database(path)
    assert await numbers(again) == list(range(100))
    await again.close()


async def test_what_is_closed_opens_again_when_it_is_used_again(database):
    await database.write(add(1))
    await database.close()
    await database.close()
    await database.write(add(2))
    assert await numbers(database) == [1, 2]


async def test_a_receive_that_is_cancelled_gives_the_messages_back(engine):
    await engine.transport.send([Message("q", "a", b"")])
    inbox = engine.inbox("q")
    receiving = asyncio.create_task(inbox.receive(1, 30))
    await asyncio.sleep(0)
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    (delivery,) = await inbox.receive(1, 5)
    assert (delivery.message_id, delivery.delivery_count) == ("a", 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_an_engine_can_be_used_on_both_sides_of_a_fork(path):
    engine = LocalEngine(path)

    async def send(name):
        await asyncio.wait_for(engine.transport.send([Message("q", name, b"")]), 20)

    asyncio.run(send("before"))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            asyncio.run(send("child"))
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0

    async def finish():
        await send("parent")
        found = await engine.inbox("q").receive(10, 0)
        await engine.close()
        return {delivery.message_id for delivery in found}

    assert asyncio.run(finish()) == {"before", "child", "parent"}


# The file says no


async def test_a_locked_file_is_unavailable_and_then_works_again(engine, path, impatient):
    table = engine.table
    await table.write([Insert(Entity("p", "before"))])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match=r"engine\.db.*another process"):
        await table.write([Insert(Entity("p", "r"))])
    with pytest.raises(NotSent) as caught:
        await engine.transport.send([Message("q", "a", b""), Message("q", "b", b"")])
    assert [message_id for message_id, _ in caught.value.failures] == ["a", "b"]
    assert all(isinstance(error, StoreUnavailable) for _, error in caught.value.failures)
    assert await table.read("p", "before") is not None, "a writer does not keep readers out"
    other.execute("ROLLBACK")
    other.close()
    await table.write([Insert(Entity("p", "r"))])
    await engine.transport.send([Message("q", "a", b"")])
    assert [delivery.message_id for delivery in await engine.inbox("q").receive(10, 0)] == ["a"]


async def test_a_full_disk_leaves_nothing_half_done(engine):
    database = engine._database
    await engine.transport.send([Message("q", "before", b"")])
    (pages,) = await database.read(lambda c: c.execute("PRAGMA page_count").fetchone())
    await database.write(lambda c: c.execute(f"PRAGMA max_page_count = {pages + 20}").fetchall())
    large = bytes(60_000)
    with pytest.raises(NotSent) as caught:
        await engine.transport.send([Message("q", f"m{number}", large) for number in range(10)])
    assert len(caught.value.failures) == 10
    assert "disk" in str(caught.value)
    with pytest.raises(StoreUnavailable, match="disk"):
        await engine.table.write([Insert(Entity("p", f"r{number}", {"v": large})) for number in range(10)])
    small, refused = await asyncio.gather(
        engine.table.write([Insert(Entity("p", "small"))]),
        engine.table.write([Insert(Entity("p", f"r{number}", {"v": large})) for number in range(10)]),
        return_exceptions=True,
    )
    assert isinstance(small, list), "one that does not fit does not take the others with it"
    assert isinstance(refused, StoreUnavailable)
    assert [entity.row for entity in (await engine.table.query("p")).entities] == ["small"]
    await database.write(lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchall())
    await engine.transport.send([Message("q", f"m{number}", large) for number in range(10)])
    assert len(await engine.inbox("q").receive(20, 0)) == 11


async def test_a_file_that_was_removed_is_made_again(engine, path):
    await engine.transport.send([Message("q", "a", b"")])
    for file in path.parent.iterdir():
        file.unlink()
    await engine.transport.send([Message("q", "b", b"")])
    assert [delivery.message_id for delivery in await engine.inbox("q").receive(10, 0)] == ["b"]
    assert path.exists()


async def test_what_is_no_database_is_unavailable(engine, path):
    path.write_bytes(b"this is a text file, not a database" * 100)
    with pytest.raises(StoreUnavailable, match="not an SQLite database"):
        await engine.table.read("p", "r")
    assert path.read_bytes().startswith(b"this is a text file")


async def test_a_directory_that_cannot_be_made_is_unavailable(path):
    path.write_bytes(b"")
    engine = LocalEngine(path / "below" / "engine.db")
    with pytest.raises(StoreUnavailable, match="check the path"):
        await engine.table.read("p", "r")
    await engine.close()


async def test_a_newer_file_is_refused(engine, path):
    await engine.transport.send([Message("q", "a", b"")])
    await engine.close()
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA user_version = {VERSION + 1}")
    other.close()
    newer = LocalEngine(path)
    with pytest.raises(ConfigurationError, match=f"version {VERSION + 1}.*upgrade"):
        await newer.table.read("p", "r")
    await newer.close()


async def test_the_database_of_another_program_is_refused(engine, path):
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE messages (theirs)")
    other.close()
    with pytest.raises(ConfigurationError, match="another program"):
        await engine.table.read("p", "r")


def test_a_program_that_forgets_to_close_can_end(path):
    async def use():
        await LocalEngine(path).transport.send([Message("q", "a", b"")])

    asyncio.run(use())
    gc.collect()
    threads = [thread for thread in threading.enumerate() if thread.name == "SQLite engine.db"]
    assert all(thread.daemon for thread in threads)


def test_memory_needs_no_closing():
    async def use():
        await LocalEngine().transport.send([Message("q", "a", b"")])

    asyncio.run(use())
    gc.collect()  # a connection that is not closed would warn, and warnings are errors here


def test_wrong_options_are_all_named():
    with pytest.raises(ConfigurationError) as caught:
        LocalEngine(lock_duration=301, max_delivery_count=0, duplicate_window=-1)
    for name in ("lock_duration", "max_delivery_count", "duplicate_window"):
        assert name in str(caught.value)


def test_an_engine_says_where_it_is(path):
    assert str(path) in LocalEngine(path).name
    assert "memory" in LocalEngine().name
    assert LocalEngine(results=False).table is None
