"""Is anything lost, or done twice, when all that can go wrong on the wire does? Real processes, over AMQP.

Every connection is cut at a random byte, the emulator is killed and started again, workers are stopped, killed, and
stall until their locks are lost, tasks are published twice. FIRE_SEED and FIRE_TASKS choose another run.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final, Self

import pytest

from boilermaker_fn import Boilermaker, Task
from boilermaker_fn.errors import PublishError
from boilermaker_fn.local.queue import Rules
from boilermaker_fn.messages import DEAD_LETTER_REASON, DEAD_LETTER_SUFFIX
from boilermaker_fn.outcomes import Reason
from boilermaker_fn.task.result import TaskStatus, TerminalRow
from tests.e2e.place import messages_in, properties_of, until
from tests.e2e.processes import Process, module
from tests.emulated import EmulatorProcess
from tests.fire.shop import LAKE, LOCK, QUEUE, app_on
from tests.fire.workload import STALLS, Workload
from tests.host.host import ROOT
from tests.proxies import Chaos

SEED: Final = int(os.environ.get("FIRE_SEED", "1"))
TASKS: Final = int(os.environ.get("FIRE_TASKS", "5000"))

WORKERS: Final = 2
LONGEST: Final = 420.0

#: How many tasks are published at once, and how many of those published before are published again with them.
CHUNK: Final = 100
AGAIN: Final = 10

QUEUES: Final = {QUEUE: Rules(lock_duration=LOCK, max_delivery_count=100), LAKE: Rules()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the SDK forgets sockets of connections that break
async def test_every_task_ends_exactly_once_under_fire(tmp_path: Path) -> None:
    chance = Random(SEED)
    with EmulatorProcess(tmp_path, QUEUES) as emulator:
        async with Chaos(emulator.port, chance, shortest=1_000, longest=200_000) as chaos:
            fire = chaos.through(emulator.connection_string)
            async with publisher(fire, tmp_path) as app:
                workload = Workload(app, chance, TASKS)
                with Workers(fire, tmp_path) as workers:
                    troubles = [emulator.restart, workers.replace_one, emulator.restart, workers.kill_one] * 2
                    rows = await endings(app, workload, chance, tmp_path / "runs", troubles)
                    await until_empty(emulator.connection_string)
        letters = await messages_in(emulator.connection_string, LAKE)

    runs = Counter(map(int, (tmp_path / "runs").read_text().split()))
    lost = workers.words.count("is lost")
    print(f"{TASKS} tasks, {chaos.cuts} cuts, {len(troubles)} troubles, {lost} locks lost, {runs.total()} runs")
    assert chaos.cuts >= TASKS // 200, "the fire was too cool"
    assert lost >= STALLS, "no lock was lost"
    assert "interrupted plain" in workers.words, "no task was interrupted"
    check(workload, rows)
    assert {properties_of(letter)[DEAD_LETTER_REASON] for letter in letters} <= {Reason.TaskFailed}
    assert sorted(properties_of(letter)["task_id"] for letter in letters) == sorted(workload.failing)
    assert sorted(runs) == list(range(TASKS))
    assert all(runs[workload.numbers[task_id]] >= 2 for task_id in workload.retrying)


def check(workload: Workload, rows: Sequence[TerminalRow]) -> None:
    """Each task has its row, with what it returned and no attempt that it did not ask for."""
    for row, (task_id, number) in zip(rows, workload.numbers.items(), strict=True):
        failing = task_id in workload.failing
        told = row.error.message if row.error is not None else row.result
        assert (row.task_id, row.status, told) == (
            (task_id, TaskStatus.Failure, f"number {number}") if failing else (task_id, TaskStatus.Success, str(number))
        )
        # An attempt that was delivered twice can succeed the second time.
        assert row.attempts >= 1 if task_id in workload.retrying else row.attempts == 1


async def endings(
    app: Boilermaker, workload: Workload, chance: Random, runs: Path, troubles: Sequence[Callable[[], None]]
) -> list[TerminalRow]:
    """Publish everything, make trouble now and then, and wait for all rows. Raises AssertionError with what is lost."""
    rows: dict[str, TerminalRow] = {}
    try:
        async with asyncio.timeout(LONGEST), asyncio.TaskGroup() as group:
            group.create_task(publish(app, workload.roots, chance))
            group.create_task(make(troubles, runs))
            for task_id in workload.numbers:
                rows[task_id] = await row_of(app, task_id)
    except TimeoutError:
        raise AssertionError(f"task {list(workload.numbers)[len(rows)]} did not end within {LONGEST:g} s") from None
    return list(rows.values())


async def make(troubles: Sequence[Callable[[], None]], runs: Path) -> None:
    """Make each trouble when there were so many runs more."""
    for number, trouble in enumerate(troubles, 1):
        while not runs.exists() or len(runs.read_bytes().split()) < TASKS * number // (len(troubles) + 1):
            await asyncio.sleep(0.05)
        await asyncio.to_thread(trouble)


@asynccontextmanager
async def publisher(connection: str, directory: Path) -> AsyncIterator[Boilermaker]:
    """The app in this process."""
    app = app_on(connection, directory)
    try:
        yield app
    finally:
        await app.close()
        gc.collect()  # the SDK's forgotten sockets, while their warnings are ignored


async def publish(app: Boilermaker, roots: Sequence[Task], chance: Random) -> None:
    """Publish all tasks, some of them again, until each is accepted."""
    for start in range(0, len(roots), CHUNK):
        again = chance.sample(roots[:start], AGAIN) if start else []
        await publish_all(app, [*roots[start : start + CHUNK], *again])


async def publish_all(app: Boilermaker, tasks: Sequence[Task]) -> None:
    while tasks:
        try:
            await app.publish_many(tasks)
        except PublishError as error:
            tasks = [task for task in tasks if task.task_id in error.not_sent]
        else:
            return


async def row_of(app: Boilermaker, task_id: str) -> TerminalRow:
    """The row of a task, once it is there."""
    results = app.shell.wiring.results
    assert results is not None
    while (row := await results.read(task_id)) is None:
        await asyncio.sleep(0.05)
    return row


async def until_empty(connection: str) -> None:
    """Wait until nothing is queued or set aside."""

    async def look() -> bool:
        left = [await messages_in(connection, queue) for queue in (QUEUE, QUEUE + DEAD_LETTER_SUFFIX)]
        return left == [[], []]

    await until(look)


class Workers:
    """Processes that work for the app until the test ends."""

    def __init__(self, connection: str, directory: Path) -> None:
        self._command = module("tests.fire.shop", connection, str(directory))
        self._logs = [directory / f"worker-{number}.log" for number in range(WORKERS)]
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        self._processes = [self._started(log) for log in self._logs]
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            process.kill()

    @property
    def words(self) -> str:
        """What they have logged."""
        return "".join(log.read_text() for log in self._logs)

    def replace_one(self) -> None:
        """Stop a worker, which hands back what it runs, and start another."""
        assert self._processes[0].terminate() == 0
        self._processes[0] = self._started(self._logs[0])

    def kill_one(self) -> None:
        """Kill a worker and start another."""
        self._processes[1].kill()
        self._processes[1] = self._started(self._logs[1])

    def _started(self, log: Path) -> Process:
        return Process(self._command, log, settings={}, directory=ROOT)
