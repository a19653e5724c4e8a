"""What does a graph cost, from being published to its end? Operations on storage, messages, and time.

Both libraries run the same graphs of tasks that do nothing, one delivery after another, on a queue and a storage in
memory, which are asked exactly what Service Bus, Table Storage and Blob Storage would be. A request of the ancestor's
is a look into a dictionary, and parsing by its own models. Ours is one to the embedded engine, SQLite in memory, which
has locks, duplicate detection and transactions.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from .rounds import Measured, Rounds, cpu, in_turn, measured, median, ratio, table, wall

_SIZES = (10, 50, 100, 300)
_SHAPES = ("chain", "fan")
_ROUNDS = 3

Run = Callable[[str, int], Awaitable[int]]


async def nothing(state: object) -> int:
    return 7


def _built(builder: Any, shape: str, tasks: list[Any]) -> Any:
    """One after another; or the first, then all others beside each other, then the last. Both builders are alike."""
    if shape == "chain":
        return builder.sequence(*tasks).build()
    first, *others, last = tasks
    return builder.add(first).parallel(*others).then(last).build()


# -- ours --------------------------------------------------------------------------------------------------------------


class _CountedTable:
    """Counts what is asked of a table."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        self.operations = 0

    def read(self, *asked: Any) -> Any:
        self.operations += 1
        return self._rows.read(*asked)

    def query(self, *asked: Any, **conditions: Any) -> Any:
        self.operations += 1
        return self._rows.query(*asked, **conditions)

    def write(self, operations: Any) -> Any:
        self.operations += 1
        return self._rows.write(operations)

    def close(self) -> Any:
        return self._rows.close()


async def ours(shape: str, size: int) -> int:
    """The number of operations."""
    from boilermaker_fn import Boilermaker
    from boilermaker_fn.local import LocalEngine
    from boilermaker_fn.task import TaskGraphBuilder

    engine = LocalEngine(None)
    rows: Any = _CountedTable(engine.table)
    app = Boilermaker(None, engine, results_storage=rows).register_async(nothing)
    handle = await app.publish_graph(_built(TaskGraphBuilder(), shape, [app.create_task(nothing) for _ in range(size)]))
    inbox, runner = engine.inbox(app.shell.wiring.queue), app.shell.runner()
    while deliveries := await inbox.receive(1, 0):
        await runner.handle(deliveries[0])
        await inbox.complete(deliveries[0])
    operations = int(rows.operations)
    assert (await handle.status()).succeeded == size
    await app.close()
    return operations


# -- boilermaker-servicebus --------------------------------------------------------------------------------------------


class _Received(str):
    """A message as the ancestor reads it: its text, and its number."""

    sequence_number, delivery_count = 1, 1


class _Queue:
    """Its client and its receiver, with duplicate detection."""

    def __init__(self) -> None:
        self.waiting: deque[_Received] = deque()
        self._numbers = itertools.count(1)
        self._seen: set[str] = set()

    async def send_message(self, text: str, delay: int = 0, unique_msg_id: str = "") -> list[int]:
        if unique_msg_id not in self._seen:
            self._seen.add(unique_msg_id)
            self.waiting.append(_Received(text))
        return [next(self._numbers)]

    async def complete_message(self, message: object) -> None:
        return None


async def ancestor(shape: str, size: int) -> int:
    """The number of operations."""
    from boilermaker import Boilermaker
    from boilermaker.task import TaskGraphBuilder

    from .blobs import Blobs

    class State:
        pass

    state, queue, blobs = State(), _Queue(), Blobs()
    app = Boilermaker(state, queue, results_storage=blobs)
    app.register_async(nothing)
    graph = _built(TaskGraphBuilder(), shape, [app.create_task(nothing) for _ in range(size)])
    await app.publish_graph(graph)
    while queue.waiting:
        await app.message_handler(queue.waiting.popleft(), queue)
    operations = int(blobs.operations)
    ended = await blobs.load_graph(graph.graph_id)
    assert all(result.succeeded for result in ended.results.values())
    return operations


# -- measuring ---------------------------------------------------------------------------------------------------------

_CONTESTANTS: dict[str, Run] = {"ours": ours, "ancestor": ancestor}


async def _timed(run: Run, shape: str, size: int) -> Measured:
    await run(shape, 10)  # what is imported and compiled at the first use is not counted
    wall_before, cpu_before = time.perf_counter(), time.process_time()
    operations = await run(shape, size)
    return Measured(time.perf_counter() - wall_before, time.process_time() - cpu_before, operations)


def _main(name: str, shape: str, size: str) -> None:
    logging.disable()
    print(json.dumps(asyncio.run(_timed(_CONTESTANTS[name], shape, int(size)))))


def _row(shape: str, size: int, results: Rounds) -> list[str]:
    our, their = results["ours"], results["ancestor"]
    return [
        f"{shape} of {size}",
        str(our[0].counted),
        str(their[0].counted),
        f"{their[0].counted / our[0].counted:.1f}",
        f"{median(our, wall):.3f} s",
        f"{median(their, wall):.3f} s",
        f"{ratio(our, their, wall):.2f}",
        f"{ratio(our, their, cpu):.2f}",
    ]


def report() -> None:
    """Measure, and print the table."""
    rows = []
    for shape, size in itertools.product(_SHAPES, _SIZES):
        run = partial(partial, measured, "-m", "bench.graphs")
        results = in_turn({name: run(name, shape, str(size)) for name in _CONTESTANTS}, _ROUNDS)
        rows.append(_row(shape, size, results))
    columns = ["", "ops, ours", "ancestor's", "ratio", "time, ours", "ancestor's", "ratio", "CPU ratio"]
    table("Graphs in memory: the ancestor's cost / ours", columns, rows)


if __name__ == "__main__":
    _main(*sys.argv[1:])
