"""What do callbacks become in a graph? Tasks of their own: what follows a success, handlers, the links of a chain.

They mean what they mean for tasks on their own (see follow_ups.py): a link's own `on_failure` comes before the handler
of its chain, and a link's own chain before the rest of the chain that it is in.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ..graph_errors import GraphError
from ..task.task import Task
from .naming import named
from .nodes import Nodes, added_twice, both


class _Rest(NamedTuple):
    """The links of a chain from `at` on, and what comes after them."""

    links: list[Task]
    at: int
    then: _Rest | None


class _Visit(NamedTuple):
    """A task whose callbacks are still folded; `rest` follows it, and `shared` handles its failure if nothing else."""

    task: Task
    rest: _Rest | None = None
    shared: Task | None = None


def unfolded(nodes: Nodes) -> Nodes:
    """A graph with all callbacks of its tasks, and theirs, as tasks of their own. Raises GraphError."""
    return _Unfolding(nodes.copy()).run()


class _Unfolding:
    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._links: set[str] = set()
        self._pending = deque(map(_Visit, nodes.tasks.values()))

    def run(self) -> Nodes:
        for task_id, task in self._nodes.tasks.items():
            if task.task_id != task_id:
                raise GraphError(f"{named(task)} had the id {task_id} when it was added: add it again", [task_id])
        while self._pending:
            self._visit(*self._pending.popleft())
        return self._nodes

    def _visit(self, task: Task, rest: _Rest | None, shared: Task | None) -> None:
        shared = task.chain_on_failure or shared
        handler = task.on_failure or shared
        if handler is not None:
            self._handle(task, handler)
        if task.on_success is not None:
            self._follow(task, task.on_success)
        if task.chain:
            rest = _Rest(task.chain, 0, rest)
        if rest is not None:
            self._link(task, rest, shared)

    def _handle(self, guarded: Task, handler: Task) -> None:
        self._nodes.refuse_handler(handler)
        if handler.task_id not in self._nodes.tasks:
            self._pending.append(_Visit(handler))
        self._nodes.add_guard(handler, guarded.task_id)

    def _follow(self, task: Task, child: Task) -> None:
        known = self._nodes.tasks.get(child.task_id)
        if known is None:
            self._nodes.add(child, (task.task_id,))
            self._pending.append(_Visit(child))
        elif known is not child or child.task_id in self._links:
            raise added_twice(child)
        elif child.task_id in self._nodes.guards:
            raise both(child)
        else:
            self._nodes.add_parent(child, task)

    def _link(self, task: Task, rest: _Rest, shared: Task | None) -> None:
        links, at, then = rest
        link = links[at]
        self._nodes.refuse([link])
        self._nodes.add(link, (task.task_id,))
        self._links.add(link.task_id)
        self._pending.append(_Visit(link, _Rest(links, at + 1, then) if at + 1 < len(links) else then, shared))
