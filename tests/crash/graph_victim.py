"""The app whose workers are killed while they run graphs: `python -m tests.crash.graph_victim FILE`.

What a node does is a line in FILE.effects: its graph and its name.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy, Task
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.task import TaskChain, TaskGraph, TaskGraphBuilder

BRANCHES, LENGTH = 11, 18
NODES = BRANCHES * LENGTH + 2


def app_on(path: str) -> Boilermaker:
    state = {"effects": Path(f"{path}.effects"), "seen": set()}
    app = Boilermaker(state, LocalEngine(path, lock_duration=1.0, max_delivery_count=100))
    return app.register_many_async([node, flaky, bad, gather], policy=RetryPolicy(max_tries=50, delay=0))


def graph(app: Boilermaker, number: int, *, failing: bool) -> TaskGraph:
    """A root, eleven branches of eighteen nodes with a retry in each, and the sum of their results; 200 nodes.

    In a failing one a node in the middle of a branch fails, which has a handler.
    """

    def task(function: object, name: str, *args: object) -> Task:
        return app.options(task_id=f"{number}-{name}").create_task(function, f"{number} {name}", *args)

    root = task(node, "root")
    builder, ends = TaskGraphBuilder().add(root), []
    for branch in range(BRANCHES):
        links = [task(flaky if at == 9 else node, f"{branch}.{at}") for at in range(LENGTH)]
        if failing and branch == 3:
            links[5] = task(bad, "3.5")
            links[5].on_failure = task(node, "handler")
        builder.add_chain(TaskChain(*links), depends_on=[root])
        ends.append(links[-1])
    builder.add(task(gather, "sum", [end.result for end in ends]), depends_on=ends)
    return builder.build(task(node, "callback"), graph_id=f"graph-{number}")


def done(state: dict, name: str) -> None:
    with os.fdopen(os.open(state["effects"], os.O_WRONLY | os.O_APPEND | os.O_CREAT), "w") as file:
        file.write(f"{name}\n")


async def node(state: dict, name: str) -> int:
    done(state, name)
    return 1


async def flaky(state: dict, name: str) -> int:
    # Every worker process fails it once.
    if name not in state["seen"]:
        state["seen"].add(name)
        raise RetryException("once more")
    done(state, name)
    return 1


async def bad(state: dict, name: str) -> int:
    done(state, name)
    raise ValueError("bad")


async def gather(state: dict, name: str, results: list[int]) -> int:
    done(state, name)
    return sum(results)


if __name__ == "__main__":
    asyncio.run(app_on(sys.argv[1]).run())
