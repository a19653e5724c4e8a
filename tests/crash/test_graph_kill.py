"""Real worker processes are killed again and again while they run graphs; every graph ends all the same, and right."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.graph_errors import GraphFailed
from boilermaker_fn.graph_handle import GraphHandle
from boilermaker_fn.graph_progress.heads import GraphStatus
from boilermaker_fn.graph_progress.rows import NodeStatus

from .graph_victim import BRANCHES, LENGTH, NODES, app_on, graph
from .test_kill import start

GRAPHS = 50
WORKERS = 3
FAILING = range(0, GRAPHS, 5)

# Writes down who changed a node that had ended: to another status, or after it had a result.
WITNESS = """
CREATE TABLE changed_after_its_end (partition TEXT, row TEXT, before TEXT, after TEXT);
CREATE TRIGGER witness AFTER UPDATE ON entities
WHEN OLD.row LIKE 'node-%' AND (
    json_extract(OLD.properties, '$.status') IN ('success', 'failure')
    OR json_extract(OLD.properties, '$.status') = 'skipped' AND json_extract(NEW.properties, '$.status') <> 'skipped'
)
BEGIN
    INSERT INTO changed_after_its_end VALUES (
        OLD.partition, OLD.row, json_extract(OLD.properties, '$.status'), json_extract(NEW.properties, '$.status')
    );
END;
"""


@pytest.mark.slow
async def test_every_graph_ends_right_though_its_workers_are_killed_all_the_time(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    app = app_on(str(path))
    handles = [await app.publish_graph(graph(app, number, failing=number in FAILING)) for number in range(GRAPHS)]
    with closing(sqlite3.connect(path)) as file:
        file.executescript(WITNESS)
    await killed_until_all_have_ended(path, handles)
    for number, handle in enumerate(handles):
        await (ended_badly if number in FAILING else ended_well)(handle)
    effects = Counter((tmp_path / "tasks.db.effects").read_text().splitlines())
    assert effects.keys() == {name for number in range(GRAPHS) for name in expected(number)}
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT * FROM changed_after_its_end").fetchall() == []
    await ends_with_no_work_left(app)
    await app.close()


async def killed_until_all_have_ended(path: Path, handles: list[GraphHandle]) -> None:
    seeded = random.Random(7)
    workers = [start(path, "graph_victim") for _ in range(WORKERS)]
    ended = asyncio.ensure_future(asyncio.wait_for(asyncio.gather(*map(end_of, handles)), 300))
    try:
        while not ended.done():
            await asyncio.wait({ended}, timeout=seeded.uniform(1.0, 4.0))
            victim = seeded.randrange(WORKERS)
            await asyncio.to_thread(kill, workers[victim])
            workers[victim] = start(path, "graph_victim")
        ended.result()
    finally:
        for worker in workers:
            kill(worker)


def kill(worker: subprocess.Popen[bytes]) -> None:
    worker.send_signal(signal.SIGKILL)
    worker.wait()


async def end_of(handle: GraphHandle) -> None:
    with suppress(GraphFailed):
        await handle.result()


async def ended_well(handle: GraphHandle) -> None:
    assert await handle.result(5) == BRANCHES
    state = await handle.status()
    assert (state.nodes, state.succeeded, state.failed, state.skipped) == (NODES, NODES, 0, 0)
    assert state.callback is NodeStatus.SKIPPED


async def ended_badly(handle: GraphHandle) -> None:
    state = await handle.status()
    skipped = LENGTH - 6 + 1  # the rest of the branch, and the sum
    assert state.status is GraphStatus.FAILED
    assert (state.succeeded, state.failed, state.skipped) == (NODES + 1 - 1 - skipped, 1, skipped)
    assert state.callback is NodeStatus.SUCCEEDED
    (failure,) = await handle.failures()
    assert failure.message == "bad"


def expected(number: int) -> set[str]:
    """What runs of a graph."""
    names = {f"{branch}.{at}" for branch in range(BRANCHES) for at in range(LENGTH)} | {"root", "sum"}
    if number in FAILING:
        names -= {f"3.{at}" for at in range(6, LENGTH)} | {"sum"}
        names |= {"handler", "callback"}
    return {f"{number} {name}" for name in names}


async def ends_with_no_work_left(app: Boilermaker) -> None:
    """Only the watchdog's messages are left, and a dead letter for each node that failed."""
    wiring = app.shell.wiring
    left = await wiring.engine.inbox(wiring.queue).peek(1000)
    letters = await wiring.engine.inbox(wiring.dead_letter_queue).peek(1000)
    assert sorted(str(letter.properties["task_id"]) for letter in letters) == sorted(f"{n}-3.5" for n in FAILING)
    assert [message.message_id for message in left if "/w" not in message.message_id] == []
