"""Real processes on one file: nothing lost, nothing handed out twice, nothing half-written by one that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys

import pytest

from boilermaker_fn.local import LocalEngine

PRODUCER = """
import asyncio, sys
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import Message

async def main(path, name):
    engine = LocalEngine(path)
    for start in range(0, 300, 10):
        ids = [f"{name}-{number}" for number in range(start, start + 10)]
        await engine.transport.send([Message("q", message_id, b"x" * 100) for message_id in ids])
    await engine.close()

asyncio.run(main(*sys.argv[1:]))
"""

CONSUMER = """
import asyncio, sys
from boilermaker_fn.entities import Entity, Insert
from boilermaker_fn.local import LocalEngine

async def main(path, name):
    engine = LocalEngine(path)
    inbox, table = engine.inbox("q"), engine.table

    async def handle(delivery):
        await table.write([Insert(Entity("done", delivery.message_id, {"by": name}))])  # a second one would raise
        await inbox.complete(delivery)

    while deliveries := await inbox.receive(16, 3.0):
        await asyncio.gather(*map(handle, deliveries))
    await engine.close()

asyncio.run(main(*sys.argv[1:]))
"""

WRITER = """
import asyncio, sys
from boilermaker_fn.entities import Entity, Insert
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import Message

async def main(path):
    engine = LocalEngine(path)

    async def write(name):
        for number in range(1_000_000):
            batch = f"{name}-{number}"
            await engine.transport.send([Message("q", f"{batch}-{part}", b"x" * 500) for part in range(5)])
            await engine.table.write([Insert(Entity(batch, f"{part}", {"v": b"x" * 500})) for part in range(5)])
            print(batch, flush=True)

    await asyncio.gather(*(write(name) for name in "abcd"))

asyncio.run(main(*sys.argv[1:]))
"""


def start(program, *arguments):
    return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


async def all_messages(engine):
    found, last = [], 0
    while page := await engine.inbox("q").peek(500, after=last):
        found += [delivery.message_id for delivery in page]
        last = page[-1].sequence_number
    return found


async def test_processes_share_a_file(tmp_path):
    path = tmp_path / "engine.db"
    processes = [start(PRODUCER, path, f"producer{number}") for number in range(3)]
    processes += [start(CONSUMER, path, f"consumer{number}") for number in range(3)]
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0] * 6
    engine = LocalEngine(path)
    page = await engine.table.query("done", limit=1000)
    assert sorted(entity.row for entity in page.entities) == sorted(
        f"producer{name}-{number}" for name in range(3) for number in range(300)
    )
    assert await all_messages(engine) == []
    await engine.close()


@pytest.mark.parametrize("kill_after", [1, 20, 50])
async def test_a_killed_writer_leaves_whole_transactions_only(tmp_path, kill_after):
    path = tmp_path / "engine.db"
    acknowledged = set()
    with start(WRITER, path) as writer:
        for line in writer.stdout:
            acknowledged.add(line.strip())
            if len(acknowledged) == kill_after:
                writer.kill()
    assert writer.returncode == -signal.SIGKILL
    engine = LocalEngine(path)
    messages = await all_messages(engine)
    batches = {message_id.rsplit("-", 1)[0] for message_id in messages}
    assert sorted(messages) == sorted(f"{batch}-{part}" for batch in batches for part in range(5))
    assert acknowledged <= batches
    for batch in batches:
        rows = (await engine.table.query(batch)).entities
        assert len(rows) == 5 or (not rows and batch not in acknowledged)
    await engine.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_a_waiting_receive_sees_what_another_process_sends(tmp_path):
    path = tmp_path / "engine.db"
    engine = LocalEngine(path)
    receiving = asyncio.create_task(engine.inbox("q").receive(1, 60))
    with start(PRODUCER, path, "other") as producer:
        assert [delivery.message_id for delivery in await receiving] == ["other-0"]
        assert await asyncio.to_thread(producer.wait, 60) == 0
    await engine.close()
