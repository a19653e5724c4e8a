"""Does a graph of ten thousand tasks get through, and how much memory does that take? Real processes, on both engines.

SCALE_TASKS chooses another size for the one that runs over AMQP against Azurite.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from boilermaker_fn.graph_progress.heads import GraphStatus
from boilermaker_fn.local.queue import Rules
from tests import azurite
from tests.e2e.processes import Process, module
from tests.emulated import EmulatorProcess
from tests.host.host import ROOT
from tests.scale.flow import LAKE, QUEUE, app_on

SIZE: Final = 10_000
SIZE_ON_THE_WIRE: Final = int(os.environ.get("SCALE_TASKS", "2000"))
WORKERS: Final = 2
CONCURRENCY: Final = 16
#: How long a graph may take, in seconds, on a machine that does other things too.
LONGEST: Final = 900.0

#: What memory may take, in MB. Per thousand tasks: the graph as it is built, and what publishing it needs besides.
BUILDING: Final = 6
PUBLISHING: Final = 8
#: A worker, whatever the size of the graph: its libraries, and what it remembers of rows.
WORKING: Final = 160

#: What each graph gives.
RESULTS: Final = {"fan": lambda size: sum(range(size - 2)), "sequence": lambda size: size}


@pytest.mark.slow
@pytest.mark.parametrize("shape", RESULTS)
async def test_ten_thousand_tasks_on_the_local_engine(shape: str, tmp_path: Path) -> None:
    await through({"file": str(tmp_path / "local.db")}, shape, SIZE, tmp_path)


@pytest.mark.slow
async def test_thousands_of_tasks_over_amqp_and_azurite(tmp_path: Path) -> None:
    queues = {QUEUE: Rules(), LAKE: Rules()}
    with azurite.running() as port, EmulatorProcess(tmp_path, queues) as emulator:
        place = {
            "service_bus": emulator.connection_string,
            "storage": azurite.connection_string(port),
            "table": azurite.a_table_name(),
        }
        await through(place, "fan", SIZE_ON_THE_WIRE, tmp_path)


async def through(place: dict[str, str], shape: str, size: int, directory: Path) -> None:
    """Publish a graph, let workers run it, and look at its result, its counts and the memory it took."""
    with processes(directory, place) as started:
        producer = started("produce", shape, str(size))
        produced = said_by(producer)
        assert producer.wait() == 0
        workers = [started("work", str(CONCURRENCY)) for _ in range(WORKERS)]
        app = app_on(place)
        try:
            handle = app.graph(produced["graph"])
            assert await handle.result(LONGEST) == RESULTS[shape](size)
            state = await handle.status()
        finally:
            await app.close()
        peaks = [stopped(worker)["peak"] for worker in workers]
    assert state.status is GraphStatus.SUCCEEDED
    assert (state.nodes, state.succeeded) == (size, size)
    assert state.published_at is not None
    assert state.finished_at is not None
    seconds = (state.finished_at - state.published_at).total_seconds()
    print(f"{shape} of {size}: {produced}, run in {seconds:.1f} s from publishing, peaks of workers {peaks} MB")
    assert produced["building"] <= BUILDING * max(size, 1000) / 1000
    assert produced["publishing"] <= PUBLISHING * max(size, 1000) / 1000
    assert max(peaks) <= WORKING


@contextmanager
def processes(directory: Path, place: dict[str, str]) -> Iterator[Any]:
    """How to start one, until the end of the block."""
    with ExitStack() as all_of_them:

        def started(command: str, *arguments: str) -> Process:
            name = f"{command}-{len(list(directory.glob('*.log')))}.log"
            line = module("tests.scale.flow", command, json.dumps(place), *arguments)
            return all_of_them.enter_context(Process(line, directory / name, settings={}, directory=ROOT))

        yield started


def stopped(worker: Process) -> dict[str, Any]:
    """Stop a worker; what it says then."""
    assert worker.terminate() == 0
    return said_by(worker)


def said_by(process: Process) -> dict[str, Any]:
    """The line of JSON that a process prints."""
    found: dict[str, Any] = json.loads(process.wait_for(r"(?m)^\{.*\}$")[0])
    return found
