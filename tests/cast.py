"""Who plays in a test of graphs? Tasks that do as they are told, and what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from boilermaker_fn import RetryException, RetryPolicy
from boilermaker_fn.failure import TaskFailureResult
from boilermaker_fn.graph.graph import TaskGraph
from boilermaker_fn.graph_handle import GraphHandle
from boilermaker_fn.graph_progress.heads import GraphStatus
from boilermaker_fn.graph_progress.rows import NodeStatus
from boilermaker_fn.task import Task
from tests.stage import Stage

PENDING, SUCCEEDED, FAILED, SKIPPED = (
    NodeStatus.PENDING,
    NodeStatus.SUCCEEDED,
    NodeStatus.FAILED,
    NodeStatus.SKIPPED,
)
QUICK = RetryPolicy(max_tries=3, delay=1)


class Ending(NamedTuple):
    """How a graph ended: its status, where each node stands by task id, what ran in order, why dead letters are."""

    status: GraphStatus
    nodes: dict[str, NodeStatus]
    ran: list[str]
    reasons: list[str]

    def of(self, *ids: str) -> tuple[NodeStatus, ...]:
        """Where these nodes stand."""
        return tuple(self.nodes[task_id] for task_id in ids)


class Cast:
    """Tasks whose ids are their names; the function puts the name into the state, then does as `how` says."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.app = stage.app
        self.app.register_async(play, policy=QUICK)

    def __call__(self, name: str, how: str = "", /, **options: Any) -> Task:
        """A task of this name; options as at `app.options`."""
        return self.app.options(task_id=name, **options).create_task(play, name, how)

    def many(self, name: str, count: int) -> list[Task]:
        """So many tasks that succeed, named after their number."""
        return [self(f"{name}{number}") for number in range(count)]

    async def publish(self, graph: TaskGraph) -> GraphHandle:
        """Publish a graph."""
        return await self.app.publish_graph(graph)

    async def played(self, graph: TaskGraph) -> Ending:
        """Publish a graph and play it to its end."""
        handle = await self.publish(graph)
        await self.stage.play()
        return await self.ending(handle)

    async def ending(self, handle: GraphHandle) -> Ending:
        """How it stands now."""
        nodes = {node.task_id: node.status async for node in handle.nodes()}
        return Ending((await handle.status()).status, nodes, list(self.app.state), await self.stage.reasons())


async def play(state: list[str], name: str, how: str = "") -> Any:
    """Do as `how` says, or return one's own name."""
    state.append(name)
    if how == "fail":
        raise ValueError(f"{name} failed")
    if how == "hang":
        await asyncio.Event().wait()
    if how == "retry" or (how == "retry once" and state.count(name) == 1):
        raise RetryException("not yet")
    return RETURNED.get(how, lambda: name)()


RETURNED: dict[str, Callable[[], Any]] = {
    "mark": lambda: TaskFailureResult,
    "unwritable": object,
    "large": lambda: "x" * (9 << 20),
}
