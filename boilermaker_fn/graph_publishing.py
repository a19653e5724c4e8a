"""How does a graph get published? Checked whole, laid out, then written and sent as `graph_progress.publishing` says.

Nothing is written or sent before all of its tasks are known to fit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from typing import TYPE_CHECKING, Final

from . import effects as fx
from . import table_effects as tx
from .describe import describe
from .entities import MAX_ENTITY_BYTES, MAX_PROPERTY_BYTES, size_of
from .errors import BoilermakerError, NotSent, OptionError, TaskTooLarge
from .graph.graph import TaskGraph
from .graph_errors import GraphConflict, GraphError, GraphNotPublished, GraphsNotKept, GraphTooLarge
from .graph_handle import GraphHandle
from .graph_progress.keys import CALLBACK, GraphKey
from .graph_progress.layout import Layout, callback_row, laid_out, rows_of
from .graph_progress.publishing import Asked, Event, Phase, State, step
from .graph_progress.rows import NodeRow, inserted, room_for
from .messages import NO_PROPERTIES
from .outcomes import Failed, Grown, Outcome, Reason
from .performing import performed
from .publishing import FIRST_PAUSE, HEADROOM, prepared, prepared_alone

if TYPE_CHECKING:
    from .graph.plan import Plan, Step
    from .messages import Message, Properties
    from .options import PublishOptions
    from .ports import Table
    from .registry import Registration
    from .shell import Shell
    from .task.task import Task

_OPTIONS_OF_GRAPHS: Final = ("queue", "publish_attempts")
#: What a row keeps free for the end of its node: who had it, when, and why it failed, in bytes.
_ROOM_FOR_AN_END: Final = 2 * MAX_PROPERTY_BYTES


async def publish_graph(graph: TaskGraph, shell: Shell, options: PublishOptions) -> GraphHandle:
    """Publish a graph that a user has built (see Publisher.publish_graph); its handle."""
    if not isinstance(graph, TaskGraph):
        raise OptionError([f"{graph!r:.200} is no graph: make one with TaskGraphBuilder, and build() it"])
    _refuse_options_of_tasks(options)
    publishing = GraphPublishing(shell, graph.graph_id)
    queue = options.queue or shell.wiring.queue
    layout = await publishing.publish(graph.plan(), queue, options.publish_attempts)
    graph.mark_published()
    return GraphHandle(graph.graph_id, shell.wiring, shell.registry, numbers_of(layout))


def _refuse_options_of_tasks(options: PublishOptions) -> None:
    given = [field.name for field in fields(options) if getattr(options, field.name) is not None]
    if wrong := [name for name in given if name not in _OPTIONS_OF_GRAPHS]:
        raise OptionError([f"{name} is an option of tasks: give it to those of the graph" for name in wrong])


class GraphPublishing:
    """Publishes graphs of one app. Raises GraphsNotKept at once if it has no store."""

    def __init__(self, shell: Shell, graph_id: str) -> None:
        wiring = shell.wiring
        if wiring.results is None:
            raise GraphsNotKept(graph_id)
        self._registry = shell.registry
        self._table: Table = wiring.results.table
        self._transport = wiring.engine.transport
        self._clock: Callable[[], float] = wiring.clock
        self._tracing = shell.tracing

    async def publish(self, plan: Plan, queue: str, attempts: int) -> Layout:
        """Write and send a graph whose tasks go to `queue` unless they name another; sending is tried `attempts` times.

        Raises ArgumentError, TaskTooLarge or GraphTooLarge before anything is done; GraphConflict when another graph
        has this id; GraphNotPublished, after which the same graph can be published again.
        """
        layout = laid_out(checked(plan, self._registry, self._clock()), queue)
        check_sizes(layout, self._transport.max_message_bytes - HEADROOM)
        with self._span(plan) as properties:
            await self._drive(State(layout, properties=properties), attempts)
        return layout

    def _span(self, plan: Plan) -> AbstractContextManager[Properties]:
        if self._tracing is None:
            return nullcontext(NO_PROPERTIES)
        return self._tracing.publishing_graph(plan.graph_id, len(plan.steps))

    async def _drive(self, state: State, attempts: int) -> None:
        graph_id, errors = state.graph.graph_id, list[object]()
        state, effect = step(state, Asked(self._clock()))
        while not isinstance(effect, fx.Settle):
            if isinstance(effect, fx.Hold):
                if state.phase is Phase.REFUSED:
                    raise GraphConflict(graph_id, effect.why)
                raise GraphNotPublished(graph_id, effect.why, errors)
            event: Event
            if isinstance(effect, fx.Send):
                event = await self._send(effect.messages, attempts, errors)
            elif isinstance(effect, tx.Read | tx.Query | tx.Write):
                event = await performed(effect, self._table, self._clock)
            else:
                raise TypeError(f"publishing a graph asked for {effect!r}")
            state, effect = step(state, event)

    async def _send(self, messages: Sequence[Message], attempts: int, errors: list[object]) -> fx.Sent | fx.NotAccepted:
        problem = ""
        for tried in range(attempts):
            if tried:
                await asyncio.sleep(FIRST_PAUSE * 2.0 ** (tried - 1))
            try:
                await self._transport.send(messages)
            except NotSent as error:
                errors += [cause for _, cause in error.failures]
                messages, problem = error.of(messages), str(error)
            else:
                return fx.Sent()
        return fx.NotAccepted(problem)


def checked(plan: Plan, registry: Mapping[str, Registration], now: float) -> Plan:
    """The plan with the arguments of its tasks checked and as JSON data, and when they were published.

    Raises ArgumentError naming function and parameter. Arguments that are results are checked when they are there.
    """
    steps = tuple(one._replace(task=_stamped(_alone(one, registry), now)) for one in plan.steps)
    callback = None if plan.callback is None else _stamped(prepared(plan.callback, registry), now)
    return plan._replace(steps=steps, callback=callback)


def planned(grown: Grown, functions: Mapping[str, Registration], message_limit: int, now: float) -> Outcome:
    """The outcome of a task that returned a graph: its plan, checked as one that is published; or why it cannot be."""
    try:
        plan = checked(grown.graph.plan(), functions, now)
        check_sizes(laid_out(plan, ""), message_limit - HEADROOM)
    except BoilermakerError as error:
        return Failed(Reason.WrongArguments, describe(error))
    return Grown(plan)


def check_sizes(layout: Layout, limit: int) -> None:
    """Raise TaskTooLarge for a task of more than `limit` bytes, GraphTooLarge for one with too much around it."""
    graph = GraphKey(layout.plan.graph_id)
    for block in range(len(layout.blocks)):
        for row in rows_of(layout, block):
            _check_size(graph, row, limit)
    if (callback := callback_row(layout)) is not None:
        _check_size(graph, callback, limit)
    if len(layout.finals) > (room := room_for("finals")):
        last = layout.plan.steps[layout.plan.finals[-1]].task
        raise GraphTooLarge(graph.graph_id, last.task_id, last.function_name, len(layout.finals), room)


def _check_size(graph: GraphKey, row: NodeRow, limit: int) -> None:
    if len(row.task) > limit:
        raise TaskTooLarge(row.task_id, row.function, len(row.task), limit)
    most = MAX_ENTITY_BYTES - _ROOM_FOR_AN_END
    try:
        size = size_of(inserted(graph, row).entity)
    except ValueError:  # one part of it alone is too much
        size = MAX_ENTITY_BYTES
    if size > most:
        raise GraphTooLarge(graph.graph_id, row.task_id, row.function, size, most)


def numbers_of(layout: Layout) -> dict[str, int]:
    """The number of each task, by its id."""
    plan = layout.plan
    numbers: dict[str, int] = {one.task.task_id: number for one, number in zip(plan.steps, layout.numbers, strict=True)}
    if plan.callback is not None:
        numbers[plan.callback.task_id] = CALLBACK
    return numbers


def _alone(one: Step, registry: Mapping[str, Registration]) -> Task:
    task = prepared_alone(one.task, registry, frozenset(taken.slot for taken in one.inputs))
    registered = registry.get(task.function_name) if task.by_name else None
    if registered is None:
        return task
    if not registered.acks_late:
        raise GraphError(
            f"{task.function_name!r} is registered with acks_late=False, and in a graph a message is settled after "
            "its task ran: register it without, or under another name too",
            [task.task_id],
        )
    # What is not said of it and must be known before it runs; the rest counts where it runs.
    said = {"queue": task.queue or registered.queue, "expires": task.expires or registered.expires}
    return task.model_copy(update=said)


def _stamped(task: Task, now: float) -> Task:
    return task.model_copy(update={"published_at": now})
