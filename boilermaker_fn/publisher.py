"""How do producers publish? `apply_async` and its siblings, the same with and without options."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, Unpack, overload

from .errors import OptionError
from .json_values import JsonValue
from .registry import Registration
from .shell import Shell
from .task.task import MAX_NAME_LENGTH, Task

if TYPE_CHECKING:
    from .failure import TaskFailureResultType
    from .graph.graph import TaskGraph
    from .graph_handle import GraphHandle
    from .handle import TaskHandle
    from .options import Options, PublishOptions
    from .task.typed import TaskOf

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class CpuFunction(Generic[P, R]):
    """The type of a function registered with `cpu_bound=True`: it takes no state. At run time it is the function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function here."""
        raise NotImplementedError


class Publisher:
    """Publishes tasks with fixed options; None: with those that are the default."""

    def __init__(self, shell: Shell, options: PublishOptions | None = None) -> None:
        self._shell = shell
        self._given = options

    @cached_property
    def _options(self) -> PublishOptions:
        # Here and below: whoever only runs tasks imports nothing that publishes.
        from .options import PublishOptions

        return PublishOptions() if self._given is None else self._given

    def options(self, **options: Unpack[Options]) -> Publisher:
        """A publisher with these options (see PublishOptions): `app.options(delay=60).apply_async(fn, ...)`.

        Raises OptionError saying all that is wrong.
        """
        from .options import PublishOptions

        return Publisher(self._shell, PublishOptions(**options))

    @overload
    def create_task(self, fn: CpuFunction[P, R], /, *args: P.args, **kwargs: P.kwargs) -> TaskOf[R]: ...
    @overload
    def create_task(
        self,
        fn: Callable[Concatenate[Any, P], Awaitable[R | TaskFailureResultType]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> TaskOf[R]: ...
    @overload
    def create_task(
        self, fn: Callable[Concatenate[Any, P], R | TaskFailureResultType], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskOf[R]: ...
    def create_task(self, fn: Any, /, *args: Any, **kwargs: Any) -> Task:
        """A task for `fn` with these arguments, to set callbacks on and publish later; checked when published.

        In a graph an argument can be the `result` of another of its tasks, a list of such, or PARENT_RESULTS.
        Raises BoilermakerUnregisteredFunction.
        """
        registration = self._shell.registry.of(fn)
        task = Task(
            function_name=registration.name,
            payload={"args": list(args), "kwargs": kwargs},
            policy=registration.policy,
            acks_late=registration.acks_late,
            should_dead_letter=registration.should_dead_letter,
            timeout=registration.timeout,
            expires=registration.expires,
            queue=registration.queue,
            keep_result=registration.keep_result,
        )
        return self._options.applied(task)

    @overload
    def create_map(
        self,
        fn: Callable[Concatenate[Any, T, P], Awaitable[R]],
        over: Sequence[T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> TaskOf[list[R]]: ...
    @overload
    def create_map(
        self, fn: Callable[Concatenate[Any, T, P], R], over: Sequence[T], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskOf[list[R]]: ...
    def create_map(self, fn: Any, over: Any, /, *args: Any, **kwargs: Any) -> Task:
        """A task of a graph that runs `fn` for each item of `over`, a list or the result of another task.

        Each item is the first argument of a task of its own; `args` and `kwargs` are the others. The result is the list
        of their results, in order. Raises BoilermakerUnregisteredFunction, GraphError.
        """
        from .graph.mapping import mapping

        return self._options.applied(mapping(self._shell.registry.of(fn).name, over, args, kwargs))

    @overload
    async def apply_async(self, fn: CpuFunction[P, R], /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle[R]: ...
    @overload
    async def apply_async(
        self, fn: Callable[Concatenate[Any, P], Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskHandle[R]: ...
    @overload
    async def apply_async(
        self, fn: Callable[Concatenate[Any, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskHandle[R]: ...
    async def apply_async(self, fn: Any, /, *args: Any, **kwargs: Any) -> TaskHandle[Any]:
        """Check the arguments against `fn`, publish a task, and return its handle.

        Raises ArgumentError naming the parameter, BoilermakerUnregisteredFunction, TaskTooLarge (nothing was sent
        then), or PublishError (publishing again is safe).
        """
        task = self.create_task(fn, *args, **kwargs)
        await self._shell.publishing.publish([task], self._options.publish_attempts)
        return self._handle(task)

    async def publish_by_name(self, name: str, /, *args: Any, **kwargs: Any) -> TaskHandle[Any]:
        """Publish a task for a function whose code is elsewhere; its arguments are not checked here.

        Its result arrives as JSON data. What the options leave open is as registered where it runs.
        """
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME_LENGTH:
            raise OptionError([f"name is {name!r}: it must be a text of 1 to {MAX_NAME_LENGTH} characters"])
        task = self._options.applied(
            Task(function_name=name, payload={"args": list(args), "kwargs": kwargs}, by_name=True)
        )
        await self._shell.publishing.publish([task], self._options.publish_attempts)
        return self._handle(task)

    async def publish_task(
        self, task: Task, /, *, delay: float | None = None, publish_attempts: int | None = None
    ) -> TaskHandle[Any]:
        """Publish a task made with `create_task`, `chain` or `Task.si`; `delay` in seconds. Raises as apply_async.

        This publisher's options are set on it: AlreadyPublished if it was sent with others.
        """
        from dataclasses import replace

        (self._options if delay is None else replace(self._options, delay=delay)).applied(task)
        await self._shell.publishing.publish([task], publish_attempts or self._options.publish_attempts)
        return self._handle(task)

    async def publish_many(self, tasks: Sequence[Task], /) -> list[TaskHandle[Any]]:
        """Publish tasks in batches; their handles, in the same order. Raises as `apply_async`.

        All are checked before the first is sent. PublishError says which were accepted and which were not.
        This publisher's options are set on each. Raises OptionError for a `task_id` among them.
        """
        if self._options.task_id is not None:
            raise OptionError([f"task_id is {self._options.task_id!r}: several tasks cannot share it"])
        for task in tasks:
            self._options.applied(task)
        await self._shell.publishing.publish(tasks, self._options.publish_attempts)
        return [self._handle(task) for task in tasks]

    async def publish_graph(self, graph: TaskGraph, /) -> GraphHandle:
        """Publish a graph built with TaskGraphBuilder; of the options, `queue` and `publish_attempts` go with it.

        Publishing it again, or another one with the same graph_id and tasks that do the same, changes nothing. Raises
        GraphError, ArgumentError, TaskTooLarge, GraphTooLarge, OptionError or GraphsNotKept (nothing was sent then),
        GraphConflict when there is another graph of this id, or GraphNotPublished (publishing again is safe).
        """
        from .graph_publishing import publish_graph

        return await publish_graph(graph, self._shell, self._options)

    def graph(self, graph_id: str, /) -> GraphHandle:
        """The handle of a graph that was published earlier or elsewhere. Raises GraphsNotKept."""
        from .graph_handle import GraphHandle

        return GraphHandle(graph_id, self._shell.wiring, self._shell.registry)

    def handle(self, task: Task | str, fn: Callable[..., Any] | None = None) -> TaskHandle[Any]:
        """The handle of a task that was published earlier or elsewhere, by its id; `fn` revives its result.

        Of a callback or a link of a chain give the Task itself: until its turn comes no queue has it; it is pending.
        """
        from .handle import TaskHandle

        if isinstance(task, Task):
            return self._handle(task, on_its_way=True)
        registration = None if fn is None else self._shell.registry.of(fn)
        kept = registration is None or registration.keep_result
        return TaskHandle(task, self._shell.wiring, queues=self._shell.queues, value=_value(registration), kept=kept)

    def _handle(self, task: Task, *, on_its_way: bool = False) -> TaskHandle[Any]:
        from .handle import TaskHandle

        wiring = self._shell.wiring
        return TaskHandle(
            task.task_id,
            wiring,
            queues=None if on_its_way else (task.queue or wiring.queue,),
            value=_value(self._shell.registry.get(task.function_name)),
            kept=task.keep_result,
            sequence_number=task.sequence_number,
        )


def _value(registration: Registration | None) -> JsonValue:
    return JsonValue() if registration is None else registration.signature.result
