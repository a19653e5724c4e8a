"""What does an application hold in its hands? `Boilermaker`: register tasks, publish them, run a worker."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar, Unpack, overload

from .errors import BoilermakerAppException, ResultsNotKept
from .publisher import CpuFunction, Publisher
from .registry import TaskOptions
from .shell import Shell
from .task.task import Task

if TYPE_CHECKING:
    from .ports import Engine, Table
    from .results import Purged
    from .sync_client import SyncClient
    from .worker import Worker

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["Boilermaker", "BoilermakerAppException"]


class Boilermaker(Publisher):
    """An application: its state, its task functions, and where its tasks live.

    `state` is anything; every task function gets it as its first argument. `service_bus_client` is the engine
    tasks are sent to; None means what the environment says, on a laptop the embedded local engine. Results are kept
    in `results_storage`, by default in the engine's own table if it has one. `enable_opentelemetry` traces
    publishing and running.
    """

    def __init__(
        self,
        state: Any = None,
        service_bus_client: Engine | None = None,
        enable_opentelemetry: bool = False,
        results_storage: Table | None = None,
    ) -> None:
        super().__init__(Shell(state, service_bus_client, results_storage, enable_opentelemetry))
        self._worker: Worker | None = None

    @property
    def state(self) -> Any:
        """What every task function gets as its first argument."""
        return self._shell.state

    @property
    def shell(self) -> Shell:
        """What the doors (Functions, command line, testing) build on."""
        return self._shell

    # -- tasks

    @overload
    def task(self, fn: F, /) -> F: ...
    @overload
    def task(
        self, /, *, cpu_bound: Literal[True], **options: Unpack[TaskOptions]
    ) -> Callable[[Callable[P, R]], CpuFunction[P, R]]: ...
    @overload
    def task(self, /, *, cpu_bound: Literal[False] = False, **options: Unpack[TaskOptions]) -> Callable[[F], F]: ...
    def task(self, fn: Any = None, /, **options: Any) -> Any:
        """Register the decorated function: `@app.task(max_retries=5, retry_delay=2.0)`. It stays what it is.

        For the options see TaskOptions; times are seconds. Raises RegistrationError saying all that is wrong.
        """
        if fn is not None:
            self._shell.registry.register(fn, options)
            return fn

        def decorate(fn: F) -> F:
            self._shell.registry.register(fn, options)
            return fn

        return decorate

    def register_async(self, fn: Callable[..., Any], **options: Any) -> Self:
        """Register a function; the same options as `task`. Returns the app."""
        self._shell.registry.register(fn, options)
        return self

    def register_many_async(self, fns: Iterable[Callable[..., Any]], **options: Any) -> Self:
        """Register several functions with the same options. Returns the app."""
        for fn in fns:
            self.register_async(fn, **options)
        return self

    def chain(self, *tasks: Task, on_failure: Task | None = None) -> Task:
        """Tasks that run one after another, each when the one before has succeeded. Publish the one returned.

        When one fails the rest does not run, and `on_failure` does, unless that task has an `on_failure` of its own.
        There is no limit on their number but the size of a message.
        """
        if len(tasks) < 2:
            raise ValueError(f"a chain has at least two tasks, this one has {len(tasks)}")
        if on_failure is not None and not isinstance(on_failure, Task):
            raise ValueError(f"on_failure is {on_failure!r}: make it a task with app.create_task(...)")
        if wrong := [link for link in tasks if not isinstance(link, Task)]:
            raise ValueError(f"{wrong[0]!r} is no task: make it one with app.create_task(...)")
        head, *rest = tasks
        head.on_failure = head.on_failure or head.chain_on_failure
        head.chain = [*_links(head)[1:], *(link for task in rest for link in _links(task))]
        head.chain_on_failure = on_failure
        return head

    async def purge_results(self, older_than: datetime.timedelta, resume: str | None = None) -> Purged:
        """Remove results and graphs that ended longer ago than `older_than`, one page at a time.

        Call it again with the `resume` of what it returned until that is None; the token can be kept, and used by
        another process. Raises ResultsNotKept.
        """
        wiring = self._shell.wiring
        if wiring.results is None:
            raise ResultsNotKept("of any id")
        return await wiring.results.purge(wiring.clock() - older_than.total_seconds(), resume)

    # -- running

    def worker(self, *, concurrency: int = 16, grace: float = 25.0) -> Worker:
        """A worker for this app: `concurrency` tasks at once, and `grace` seconds to finish when it is stopped."""
        from .worker import Worker

        return Worker(self._shell, concurrency=concurrency, grace=grace)

    async def run(self, *, concurrency: int = 16, grace: float = 25.0) -> None:
        """Run tasks until SIGTERM or SIGINT; then finish within `grace` seconds and hand back the rest."""
        from .telemetry import logs

        logs.configure_if_nobody_has()
        try:
            await self.worker(concurrency=concurrency, grace=grace).run()
        finally:
            await self.close()

    async def __aenter__(self) -> Self:
        """Run a worker in the background. Raises RuntimeError while one of this app's runs already."""
        if self._worker is not None:
            raise RuntimeError("`async with app` runs a worker already: nest no second one, or use app.worker()")
        self._worker = self.worker()
        await self._worker.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the worker: finish what runs, hand back the rest."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.stop()
        await self.close()

    @cached_property
    def sync(self) -> SyncClient:
        """The client for code without an event loop."""
        from .sync_client import SyncClient

        return SyncClient(self._shell)

    async def close(self) -> None:
        """Let go of connections. The app connects again when it is used again."""
        await self._shell.close()


def _links(task: Task) -> list[Task]:
    """The tasks of a chain within a chain, each with the handler that it had there."""
    if not task.chain:
        return [task]
    alone: dict[str, Any] = {"chain": [], "chain_on_failure": None}
    return [
        link.model_copy(update={**alone, "on_failure": link.on_failure or task.chain_on_failure})
        for link in (task, *task.chain)
    ]
