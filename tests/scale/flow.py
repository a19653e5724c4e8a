"""Who publishes and works large graphs? `python -m tests.scale.flow produce|work PLACE ...`, each in its own process.

PLACE is JSON: `{"file": ...}` for the local engine, or `{"service_bus": ..., "storage": ..., "table": ...}`.
`produce` prints what it cost; `work` prints its peak when it is told to stop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from boilermaker_fn import Boilermaker
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.service_bus import AzureServiceBus
from boilermaker_fn.tables import AzureTable
from boilermaker_fn.task import TaskGraphBuilder

QUEUE: Final = "scale-tasks"
LAKE: Final = "scale-lake"


async def number(state: None, value: int) -> int:
    return value


async def following(state: None, value: int = 0) -> int:
    return value + 1


async def total(state: None, values: list[int]) -> int:
    return sum(values)


def app_on(place: dict[str, str]) -> Boilermaker:
    """The app with its queue and table in a place."""
    if "file" in place:
        app = Boilermaker(None, LocalEngine(place["file"]))
    else:
        engine = AzureServiceBus(
            connection_string=place["service_bus"], service_bus_queue_name=QUEUE, dead_letter_queue_name=LAKE
        )
        rows = AzureTable(table_name=place["table"], connection_string=place["storage"])
        app = Boilermaker(None, engine, results_storage=rows)
    return app.register_many_async([number, following, total])


def fan(app: Boilermaker, size: int) -> TaskGraphBuilder:
    """One task, then all but two that return their number, then one that gets all of these and adds them up."""
    tasks = [app.create_task(number, value) for value in range(size - 2)]
    last = app.create_task(total, [task.result for task in tasks])
    return TaskGraphBuilder().add(app.create_task(following)).parallel(*tasks).then(last)


def sequence(app: Boilermaker, size: int) -> TaskGraphBuilder:
    """Each task gets the number that the one before it has returned, and returns the next."""
    tasks = [app.create_task(following)]
    for _ in range(size - 1):
        tasks.append(app.create_task(following, tasks[-1].result))
    return TaskGraphBuilder().sequence(*tasks)


SHAPES: Final[dict[str, Callable[[Boilermaker, int], TaskGraphBuilder]]] = {"fan": fan, "sequence": sequence}


def peak() -> int:
    """The most memory this process has had so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # what `getrusage` says there includes the process that started this one
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) // 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // 1024**2 if sys.platform == "darwin" else most // 1024


async def produce(app: Boilermaker, shape: str, size: str) -> dict[str, Any]:
    """Publish a graph after a small one, so that what libraries take is not counted."""
    await app.publish_graph(SHAPES[shape](app, 10).build())
    before, started = peak(), time.perf_counter()
    graph = SHAPES[shape](app, int(size)).build()
    built = peak()
    handle = await app.publish_graph(graph)
    seconds = time.perf_counter() - started
    await app.close()
    return {
        "graph": handle.graph_id,
        "seconds": round(seconds, 1),
        "before": before,
        "building": built - before,
        "publishing": peak() - built,
    }


async def work(app: Boilermaker, concurrency: str) -> dict[str, Any]:
    """Work until SIGTERM."""
    await app.run(concurrency=int(concurrency), grace=10)
    return {"peak": peak()}


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    command, where, *arguments = sys.argv[1:]
    do = {"produce": produce, "work": work}[command]
    print(json.dumps(asyncio.run(do(app_on(json.loads(where)), *arguments))), flush=True)
