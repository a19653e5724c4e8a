"""What can go wrong with a graph, and what to do about it: the branch of `errors.py` for graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .errors import BoilermakerAppException, BoilermakerError, PublishError, ResultMismatch, ResultTimeout


class _FailedNode(Protocol):
    @property
    def task_id(self) -> str: ...
    @property
    def function(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def message(self) -> str: ...


class GraphError(BoilermakerAppException, ValueError):
    """Tasks do not make a graph. `task_ids` are those it is about: one or two, or the whole path of a cycle."""

    def __init__(self, problem: str, task_ids: Sequence[str] = ()) -> None:
        super().__init__(problem)
        self.task_ids = list(task_ids)


class GraphsNotKept(BoilermakerAppException):
    """A graph was to be published, or followed, by an app without a store."""

    def __init__(self, graph_id: str) -> None:
        super().__init__(
            f"graph {graph_id}: a graph's progress is kept in a table, and this app has none: give it one "
            "(results_storage=...)"
        )
        self.graph_id = graph_id


class GraphTooLarge(BoilermakerAppException, ValueError):
    """A node of a graph does not fit into its row. `size` and `limit` are in bytes."""

    def __init__(self, graph_id: str, task_id: str, function: str, size: int, limit: int) -> None:
        super().__init__(
            f"graph {graph_id}: task {task_id} ({function}), with all that waits for it, has {size} bytes and a row "
            f"holds {limit}: pass references instead of data, or put a task between it and those; nothing was sent"
        )
        self.graph_id = graph_id
        self.task_id = task_id
        self.size = size
        self.limit = limit


class GraphNotPublished(PublishError):
    """A graph is not, or not wholly, published. `problem` says why."""

    def __init__(self, graph_id: str, problem: str, errors: Sequence[object] = ()) -> None:
        BoilermakerAppException.__init__(
            self,
            f"graph {graph_id} is not wholly published: {problem}; publish the same graph again, which is safe and "
            "goes on where this ended",
            errors,
        )
        self.graph_id = graph_id
        self.problem = problem
        self.not_sent = []
        self.sent = []


class GraphConflict(BoilermakerAppException):
    """There is another graph of this id. `problem` says what it is."""

    def __init__(self, graph_id: str, problem: str) -> None:
        super().__init__(f"graph {graph_id} {problem}: publish this one under another graph_id")
        self.graph_id = graph_id
        self.problem = problem


class GraphNotFound(BoilermakerError, LookupError):
    """There is no graph of this id."""

    def __init__(self, graph_id: str) -> None:
        super().__init__(
            f"no graph {graph_id!r}: it was never published here, its publisher has not finished, or it was purged"
        )
        self.graph_id = graph_id


class GraphNotRetried(BoilermakerAppException):
    """What failed of a graph cannot be retried as it stands. `problem` says why."""

    def __init__(self, graph_id: str, problem: str) -> None:
        super().__init__(f"graph {graph_id} {problem}; only a graph that failed or was cancelled can be retried")
        self.graph_id = graph_id
        self.problem = problem


class NodeNotFound(BoilermakerError, LookupError):
    """A graph has no such task."""

    def __init__(self, graph_id: str, task_id: str) -> None:
        super().__init__(f"graph {graph_id} has no task {task_id!r}: give a task that was added to it, or its id")
        self.graph_id = graph_id
        self.task_id = task_id


class GraphTimeout(ResultTimeout):
    """The graph did not end in the time the caller wanted to wait. It goes on; ask again later."""

    def __init__(self, graph_id: str, timeout: float) -> None:
        BoilermakerError.__init__(self, f"graph {graph_id} has not ended within {timeout:g} s: it goes on; ask again")
        self.task_id = self.graph_id = graph_id
        self.timeout = timeout


class NodeResultMismatch(ResultMismatch):
    """The stored result of a graph's task does not fit the return annotation of its function any more."""

    def __init__(self, graph_id: str, task_id: str, function: str, problem: str) -> None:
        BoilermakerError.__init__(
            self,
            f"graph {graph_id}: the result of task {task_id} ({function}) does not fit the return annotation: "
            f"{problem}; handle.task({task_id!r}) gives it as JSON data",
        )
        self.graph_id = graph_id
        self.task_id = task_id


class GraphFailed(BoilermakerError):
    """A graph ended without a value.

    `status` is how; `failures` are the first ten of the nodes that failed, each with `task_id`, `function`, `reason`,
    `message` and more, and `count` is how many there are.
    """

    def __init__(self, graph_id: str, status: str, failures: Sequence[_FailedNode] = (), count: int = 0) -> None:
        named = [f"{one.function} ({one.task_id}) {one.reason}: {one.message}" for one in failures]
        more = f"; and {count - len(named)} more" if count > len(named) else ""
        why = f", {count} of its tasks failed: {'; '.join(named)}{more}" if named else ""
        super().__init__(f"graph {graph_id} ended as {status}{why}; handle.failures() has all, with tracebacks")
        self.graph_id = graph_id
        self.status = status
        self.failures = list(failures)
        self.count = count


class GraphCancelled(GraphFailed):
    """The graph was cancelled."""


class GraphAbandoned(GraphFailed):
    """The graph's publisher died before it was complete, and nothing of it ran: publish it again, under another id."""
