"""How many tasks a second go through, from being published to having run, with results kept?

A worker runs up to 16 tasks at once; 16 producers in the same process publish one task after another; the time ends
when the last task has run. The task does nothing. Ours keeps tasks and results in an SQLite file; Flowrra keeps them in
memory, or in a Redis server of its own on this machine. Bare sqlite3 is what the file alone allows to a queue that
commits each step by itself: a task is inserted, taken, and exchanged for its result.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

from .rounds import Measured, cpu, in_turn, measured, ratio, table, wall

_AT_ONCE = 16
_TASKS = 3_200
_ROUNDS = 7

Publish = Callable[[], Awaitable[object]]


class _Runs:
    """Counts runs, and says when all have been made."""

    def __init__(self) -> None:
        self._left = _TASKS
        self.all = asyncio.Event()

    def one(self) -> None:
        self._left -= 1
        if not self._left:
            self.all.set()


async def _through(publish: Publish, runs: _Runs) -> Measured:
    async def producer() -> None:
        for _ in range(_TASKS // _AT_ONCE):
            await publish()

    wall_before, cpu_before = time.perf_counter(), time.process_time()
    await asyncio.gather(*(producer() for _ in range(_AT_ONCE)))
    await runs.all.wait()
    return Measured(time.perf_counter() - wall_before, time.process_time() - cpu_before)


async def _ours(directory: str, redis: str) -> Measured:
    from boilermaker_fn import Boilermaker
    from boilermaker_fn.local import LocalEngine

    runs = _Runs()

    async def nothing(state: None) -> None:
        runs.one()

    app = Boilermaker(None, LocalEngine(Path(directory, "tasks.db"))).register_async(nothing)
    worker = app.worker(concurrency=_AT_ONCE)
    await worker.start()
    measured = await _through(lambda: app.apply_async(nothing), runs)
    await worker.stop()
    await app.close()
    return measured


async def _flowrra(directory: str, redis: str) -> Measured:
    from flowrra import BackendConfig, BrokerConfig, Config, ExecutorConfig, Flowrra

    runs = _Runs()
    app = Flowrra(
        Config(
            broker=BrokerConfig(url=redis) if redis else None,
            backend=BackendConfig(url=redis) if redis else None,
            executor=ExecutorConfig(io_workers=_AT_ONCE),
        )
    )

    @app.task()
    async def nothing() -> None:
        runs.one()

    await app.start()
    measured = await _through(lambda: app.submit(nothing), runs)
    await app.stop()
    return measured


async def _bare_sqlite(directory: str, redis: str) -> Measured:
    runs = _Runs()
    file = sqlite3.connect(Path(directory, "bare.db"), isolation_level=None)
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("PRAGMA synchronous = NORMAL")
    file.execute("CREATE TABLE tasks (id INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT, body BLOB)")
    file.execute("CREATE TABLE results (id INTEGER PRIMARY KEY, body BLOB)")

    async def one() -> None:
        number = file.execute("INSERT INTO tasks (state, body) VALUES ('ready', ?)", (b"x" * 400,)).lastrowid
        file.execute("UPDATE tasks SET state = 'locked' WHERE id = ?", (number,))
        file.execute("BEGIN")
        file.execute("INSERT INTO results VALUES (?, ?)", (number, b"x" * 200))
        file.execute("DELETE FROM tasks WHERE id = ?", (number,))
        file.execute("COMMIT")
        runs.one()

    return await _through(one, runs)


_CONTESTANTS = {"ours": _ours, "flowrra": _flowrra, "sqlite": _bare_sqlite}


def _main(contestant: str, redis: str = "") -> None:
    logging.disable()
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(asyncio.run(_CONTESTANTS[contestant](directory, redis))))


@contextlib.contextmanager
def _redis() -> Iterator[str | None]:
    """A Redis server on a free port of the loopback interface, with its own defaults; None where there is none."""
    binary = shutil.which("redis-server")
    if binary is None:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        server = subprocess.Popen(
            [binary, "--bind", "127.0.0.1", "--port", str(port), "--dir", directory], stdout=subprocess.DEVNULL
        )
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()


def _wait_for(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"redis-server did not answer on port {port}")


def report() -> None:
    """Measure, and print the table."""
    run = partial(partial, measured, "-m", "bench.processing")
    with _redis() as redis:
        contestants = {"ours on SQLite": run("ours"), "Flowrra in memory": run("flowrra")}
        contestants["bare sqlite3, 3 commits a task"] = run("sqlite")
        if redis is None:
            print("Flowrra on Redis is not measured: no redis-server was found")
        else:
            contestants["Flowrra on Redis (target: 2)"] = run("flowrra", redis)
        results = in_turn(contestants, _ROUNDS)
    ours = results["ours on SQLite"]
    rows = [
        [name, f"{ratio(ours, theirs, wall):.2f}", f"{ratio(ours, theirs, cpu):.2f}"]
        for name, theirs in results.items()
        if theirs is not ours
    ]
    table("Publish and process: the peer's cost / ours", ["", "wall", "cpu"], rows)


if __name__ == "__main__":
    _main(*sys.argv[1:])
