"""Real worker processes on one SQLite file are killed again and again; every task ends all the same."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from boilermaker_fn import Task
from boilermaker_fn.handle import TaskHandle
from boilermaker_fn.task import TaskResult, TaskStatus

from .victim import app_on, flaky, follower, plain

ROOT = Path(__file__).parents[2]
TASKS = 2_000
KILLS = 20


@contextmanager
def worker_processes(path: Path, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    workers = [start(path) for _ in range(count)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def start(path: Path, module: str = "victim") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", f"tests.crash.{module}", str(path)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
async def test_every_task_ends_though_its_workers_are_killed_all_the_time(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    app = app_on(str(path))
    tasks: list[Task] = []
    followers: list[Task] = []
    for number in range(TASKS):
        task = app.create_task((plain, flaky)[number % 10 == 0], number)
        if number % 5 == 0:
            task.on_success = app.create_task(follower, number)
            followers.append(task.on_success)
        tasks.append(task)
    handles = await app.publish_many(tasks)
    every = [*handles, *(app.handle(task.task_id) for task in followers)]

    with worker_processes(path, 2) as workers:
        for kill in range(KILLS):
            await asyncio.sleep(random.Random(kill).uniform(0.2, 0.6))
            victim = kill % 2
            workers[victim].send_signal(signal.SIGKILL)
            workers[victim].wait()
            workers[victim] = start(path)
        async with asyncio.timeout(120):
            results = [await wait_for_end(handle) for handle in every]

    assert [r.status for r in results] == [TaskStatus.Success] * len(every)
    assert [r.result for r in results] == [*range(TASKS), *(-n for n in range(0, TASKS, 5))]
    wiring = app.shell.wiring
    assert await wiring.engine.inbox(wiring.dead_letter_queue).peek(10) == []
    await app.close()


async def wait_for_end(handle: TaskHandle[Any]) -> TaskResult:
    await handle.result()
    return await handle.info()


async def test_sigterm_hands_back_what_is_not_done_without_using_up_an_attempt(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    app = app_on(str(path))
    handles = await app.publish_many([app.create_task(plain, n) for n in range(300)])
    with worker_processes(path, 1) as (worker,):
        await handles[0].result(30)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait, 30) == 0
    async with app:
        assert [await handle.result(30) for handle in handles] == list(range(300))
        assert {(await handle.info()).attempts for handle in handles} == {1}
