"""Where does the ancestor keep its graphs? Here in memory, counting what its BlobClientStorage would ask Azure for.

One blob for a graph, and one for each task, with ETags and leases. Runs in the environment of the peers.
"""

from __future__ import annotations

import itertools
from typing import Any

from boilermaker.exc import BoilermakerStorageError
from boilermaker.storage import StorageInterface
from boilermaker.task import TaskGraph, TaskResultSlim


class Blobs(StorageInterface):
    def __init__(self) -> None:
        self.operations = 0
        self._graphs: dict[str, str] = {}
        self._results: dict[str, dict[str, tuple[str, str]]] = {}
        self._leases: dict[str, str] = {}
        self._numbers = map(str, itertools.count(1))

    async def store_graph(self, graph: Any) -> Any:
        pending = list(graph.generate_pending_results())
        self.operations += 1 + len(pending)
        self._graphs[graph.graph_id] = graph.model_dump_json()
        self._results[graph.graph_id] = {one.task_id: (next(self._numbers), one.model_dump_json()) for one in pending}
        return graph

    async def load_graph(self, graph_id: str, full: bool = False) -> Any:
        results = self._results[graph_id]
        self.operations += 2 + len(results)  # the graph, the list of blobs, and each of them
        graph = TaskGraph.model_validate_json(self._graphs[graph_id])
        for task_id, (etag, text) in results.items():
            graph.results[task_id] = self._slim(etag, text)
        return graph

    async def load_task_result(self, task_id: str, graph_id: str) -> Any:
        self.operations += 1
        return self._slim(*self._results[graph_id][task_id])

    async def store_task_result(self, result: Any, etag: str | None = None, lease_id: str | None = None) -> None:
        self.operations += 1
        known = self._results[result.graph_id]
        leased = self._leases.get(result.task_id)
        if (etag and known[result.task_id][0] != etag) or (leased and leased != lease_id):
            raise BoilermakerStorageError("refused", status_code=412)
        known[result.task_id] = next(self._numbers), result.model_dump_json()

    async def try_acquire_lease(
        self, task_id: str, graph_id: str, etag: str | None = None, lease_duration: int = 15
    ) -> str | None:
        self.operations += 1
        if task_id in self._leases or (etag and self._results[graph_id][task_id][0] != etag):
            return None
        return self._leases.setdefault(task_id, next(self._numbers))

    async def release_lease(self, task_id: str, graph_id: str, lease_id: str) -> None:
        self.operations += 1
        del self._leases[task_id]

    def _slim(self, etag: str, text: str) -> Any:
        result = TaskResultSlim.model_validate_json(text)
        result.etag = etag
        return result
