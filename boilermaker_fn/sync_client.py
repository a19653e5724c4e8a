"""How does code without an event loop publish and wait? Through one background loop per app, from any thread."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, Unpack, overload

from .handle import TaskHandle
from .ids import GraphId, TaskId
from .options import Options, PublishOptions
from .publisher import CpuFunction, Publisher
from .shell import Shell
from .task.result import TaskResult, TaskStatus
from .task.task import Task

if TYPE_CHECKING:
    from .graph.graph import TaskGraph
    from .graph_handle import GraphHandle
    from .graph_states import GraphState, NodeInfo

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class BackgroundLoop:
    """An event loop in a daemon thread, started on first use and again after it was stopped."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._calls: set[Future[Any]] = set()
        self._process = os.getpid()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for its result. Raises RuntimeError inside a running event loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._submit(work).result()
        work.close()
        raise RuntimeError("app.sync blocks, and this thread runs an event loop: use `await app...` instead")

    def stop(self) -> None:
        """End the loop and its thread, once the calls of other threads have ended; new calls get a new loop."""
        self._recover_from_fork()
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
            calls, self._calls = self._calls, set()
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            if all(call.done() for call in calls):  # others may wait for a result without end
                thread.join()

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        self._recover_from_fork()
        with self._lock:  # else a loop could be stopped between being found and being given work
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run_and_close, args=(self._loop, self._calls), name="boilermaker-sync", daemon=True
                )
                self._thread.start()
            call = asyncio.run_coroutine_threadsafe(work, self._loop)
            calls = self._calls
            calls.add(call)
        call.add_done_callback(calls.discard)
        return call

    def _recover_from_fork(self) -> None:
        """In a forked process the thread is gone: work given to its loop would never be done."""
        if self._process != os.getpid():
            self._begin()


def _run_and_close(loop: asyncio.AbstractEventLoop, calls: set[Future[Any]]) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(_ended(calls))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _ended(calls: set[Future[Any]]) -> None:
    """What was asked for before the loop was stopped is still done: a thread waits for it. The rest may never end."""
    while waiting := [asyncio.wrap_future(call) for call in calls.copy()]:
        await asyncio.wait(waiting)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class SyncHandle(Generic[T]):
    """Follows one task by its id; `T` is what its function returns. Raises as TaskHandle does."""

    def __init__(self, handle: TaskHandle[T], background: BackgroundLoop) -> None:
        self._handle = handle
        self._background = background

    @property
    def task_id(self) -> TaskId:
        """The task's id."""
        return self._handle.task_id

    def status(self) -> TaskStatus:
        """Where the task stands."""
        return self._background.run(self._handle.status())

    def info(self) -> TaskResult:
        """All that is known of the task."""
        return self._background.run(self._handle.info())

    def result(self, timeout: float | None = None) -> T:
        """Wait up to `timeout` seconds for the task to end and return its value."""
        return self._background.run(self._handle.result(timeout))

    def cancel(self) -> bool:
        """Keep the task from running, if it has not started."""
        return self._background.run(self._handle.cancel())


class SyncGraphHandle:
    """Follows one graph by its id. Raises as GraphHandle does."""

    def __init__(self, handle: GraphHandle, background: BackgroundLoop) -> None:
        self._handle = handle
        self._background = background

    @property
    def graph_id(self) -> GraphId:
        """The graph's id."""
        return self._handle.graph_id

    def status(self) -> GraphState:
        """Where the graph stands and how many of its tasks stand how."""
        return self._background.run(self._handle.status())

    def result(self, timeout: float | None = None) -> Any:
        """Wait up to `timeout` seconds for the graph to end and return its value."""
        return self._background.run(self._handle.result(timeout))

    def failures(self) -> list[NodeInfo]:
        """The tasks that have failed so far."""
        return self._background.run(self._handle.failures())

    def nodes(self) -> list[NodeInfo]:
        """All tasks, handlers, and the all-failed callback."""
        return self._background.run(_listed(self._handle.nodes()))

    def task(self, task: Task | str) -> TaskResult:
        """What became of one task, given itself or by its id."""
        return self._background.run(self._handle.task(task))

    def cancel(self) -> bool:
        """Keep from running what has not started. False if the graph ended before."""
        return self._background.run(self._handle.cancel())

    def retry_failed(self) -> None:
        """Begin a graph anew that failed or was cancelled."""
        self._background.run(self._handle.retry_failed())


async def _listed(some: AsyncIterator[T]) -> list[T]:
    return [one async for one in some]


class SyncClient:
    """Publishes and waits without `await`. Use it as it is, or as a context manager that closes it."""

    def __init__(
        self, shell: Shell, options: PublishOptions | None = None, background: BackgroundLoop | None = None
    ) -> None:
        self._shell = shell
        self._publisher = Publisher(shell, options)
        self._background = background or BackgroundLoop()

    def options(self, **options: Unpack[Options]) -> SyncClient:
        """A client with these options (see PublishOptions)."""
        return SyncClient(self._shell, PublishOptions(**options), self._background)

    @overload
    def apply(self, fn: CpuFunction[P, R], /, *args: P.args, **kwargs: P.kwargs) -> SyncHandle[R]: ...
    @overload
    def apply(
        self, fn: Callable[Concatenate[Any, P], Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> SyncHandle[R]: ...
    @overload
    def apply(self, fn: Callable[Concatenate[Any, P], R], /, *args: P.args, **kwargs: P.kwargs) -> SyncHandle[R]: ...
    def apply(self, fn: Any, /, *args: Any, **kwargs: Any) -> SyncHandle[Any]:
        """Publish a task, as `Boilermaker.apply_async` does."""
        return self._followed(self._publisher.apply_async(fn, *args, **kwargs))

    def publish_by_name(self, name: str, /, *args: Any, **kwargs: Any) -> SyncHandle[Any]:
        """Publish a task for a function whose code is elsewhere."""
        return self._followed(self._publisher.publish_by_name(name, *args, **kwargs))

    def publish_task(self, task: Task, /) -> SyncHandle[Any]:
        """Publish a task made before."""
        return self._followed(self._publisher.publish_task(task))

    def publish_many(self, tasks: Sequence[Task], /) -> list[SyncHandle[Any]]:
        """Publish tasks in batches."""
        handles = self._background.run(self._publisher.publish_many(tasks))
        return [SyncHandle(handle, self._background) for handle in handles]

    def publish_graph(self, graph: TaskGraph, /) -> SyncGraphHandle:
        """Publish a graph, as `Boilermaker.publish_graph` does."""
        return SyncGraphHandle(self._background.run(self._publisher.publish_graph(graph)), self._background)

    def graph(self, graph_id: str, /) -> SyncGraphHandle:
        """The handle of a graph that was published earlier or elsewhere."""
        return SyncGraphHandle(self._publisher.graph(graph_id), self._background)

    def handle(self, task: Task | str, fn: Callable[..., Any] | None = None) -> SyncHandle[Any]:
        """The handle of a task that was published earlier or elsewhere, as `Boilermaker.handle` gives it."""
        return SyncHandle(self._publisher.handle(task, fn), self._background)

    @overload
    def result(self, task: SyncHandle[T], timeout: float | None = None) -> T: ...
    @overload
    def result(self, task: str, timeout: float | None = None) -> Any: ...
    def result(self, task: Any, timeout: float | None = None) -> Any:
        """Wait up to `timeout` seconds for a task to end and return its value; by its id, that is JSON data."""
        return (task if isinstance(task, SyncHandle) else self.handle(task)).result(timeout)

    def close(self) -> None:
        """Let go of connections and end the background loop. The client starts anew when it is used again."""
        self._background.run(self._shell.close())
        self._background.stop()

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        self.close()

    def _followed(self, published: Coroutine[Any, Any, TaskHandle[T]]) -> SyncHandle[T]:
        return SyncHandle(self._background.run(published), self._background)
