"""How does an attempt of a node go? It is claimed, its arguments are read, it runs, and its end is written."""

from __future__ import annotations

from typing import Any, Final

from .. import effects as fx
from .. import table_effects as tx
from ..errors import IllegalTransition
from ..outcomes import ErrorInfo, Failed, Grown, Interrupted, Reason, RetryAsked, Succeeded
from ..rules import Rules, policy_of
from ..task.row import beyond
from ..task.task import Task
from . import growing, inputs, node_messages, resolution, writing
from .heads import STANDING, is_cancelling
from .node_state import (
    Phase,
    State,
    Step,
    cancel,
    end,
    hold,
    message_of,
    own_claim,
    present_task,
    put_off_or,
    row_of,
    send,
)
from .rows import NodeRow, NodeStatus

# How long a claim lasts for which no time limit is known, and how much longer than the limit any lasts, in seconds:
# clocks differ, and writing the end takes time.
_LONGEST: Final = 24 * 3600.0
_MARGIN: Final = 300.0


# -- claiming and running ----------------------------------------------------------------------------------------------


def claim(state: State, row: NodeRow, now: float) -> Step:
    """Claim the node, unless it must not run any more."""
    task = present_task(state)
    if task.function_name not in state.rules.functions:
        problem = f"no function {task.function_name!r} is registered here: deploy it, then retry the graph"
        failure = Failed(Reason.UnknownTask, ErrorInfo(Reason.UnknownTask, problem))
        return put_off_or(state, now, lambda: end(state, failure, now))
    if (late := _late(state, task, now)) > 0:
        problem = f"should have been started {late:.1f} s ago at the latest"
        return end(state, Failed(Reason.Expired, ErrorInfo(Reason.Expired, problem)), now)
    own, until = own_claim(state), now + _limit(state.rules, task) + _MARGIN
    operations = writing.claimed(message_of(state).graph, row, own, until, now)
    return state._replace(phase=Phase.CLAIMING, claim=own), tx.Write(operations)


def _late(state: State, task: Task, now: float) -> float:
    due = state.delivery.enqueued_at
    return now - due - task.expires if task.expires is not None and due and task.attempt == 1 else 0.0


def _limit(rules: Rules, task: Task) -> float:
    registered = rules.functions[task.function_name]
    limit = task.timeout or registered.timeout or _LONGEST
    # Its time begins when it has its thread, or its process: until then it could wait for longer than that.
    return limit if registered.on_loop else _LONGEST


def claimed(state: State, event: tx.Written) -> Step:
    """It is ours."""
    row = row_of(state)._replace(status=NodeStatus.STARTED, claim=state.claim, etag=event.etags[0])
    return resolve(state._replace(row=row), event.now)


def resolve(state: State, now: float) -> Step:
    """Read the arguments that are results, or run at once."""
    taken = inputs.decoded(row_of(state).inputs)
    if not taken:
        return _run(state, present_task(state))
    numbers = [number for one in taken for number in one.numbers]
    found, effect = resolution.started(message_of(state).graph, numbers)
    return _go_on_resolving(state, found, effect, now)


def resolved(state: State, event: Any) -> Step:
    """Some of them were read."""
    if state.resolution is None:
        raise IllegalTransition("delivery of a node", state.phase.name, event)
    found, effect = resolution.step(state.resolution, event)
    return _go_on_resolving(state, found, effect, event.now)


def _go_on_resolving(state: State, found: resolution.State, effect: tx.TableEffect | None, now: float) -> Step:
    if effect is not None:
        return state._replace(phase=Phase.RESOLVING, resolution=found), effect
    task, graph = present_task(state), message_of(state).graph
    values = {} if found.lost is not None else resolution.values_of(found)
    taken = inputs.decoded(row_of(state).inputs)
    if any(resolution.Source(graph, number) not in values for one in taken for number in one.numbers):
        problem = f"a result that it should get is not there: {found.lost}"
        return end(state, Failed(Reason.WrongArguments, ErrorInfo(Reason.WrongArguments, problem)), now)
    return _run(state, writing.with_arguments(task, resolution.arguments(taken, graph, values)))


def _run(state: State, task: Task) -> Step:
    # What was read is held by the task alone from here on.
    return state._replace(phase=Phase.RUNNING, resolution=None), fx.Run(task)


# -- how the attempt ended ---------------------------------------------------------------------------------------------


def ran(state: State, event: fx.Ran) -> Step:
    """The attempt has ended."""
    outcome, now = event.outcome, event.now
    if isinstance(outcome, Succeeded):
        return _succeeded(state, outcome, now)
    if isinstance(outcome, Interrupted):
        return hold(state, "the attempt was interrupted")
    if isinstance(outcome, RetryAsked):
        return _retry(state, outcome, event)
    if isinstance(outcome, Grown):
        return growing.grow(state, outcome.graph, now)
    return end(state, outcome, now)


def _succeeded(state: State, outcome: Succeeded, now: float) -> Step:
    row, graph, own = row_of(state), message_of(state).graph, state.claim or own_claim(state)
    if (failure := beyond(outcome.result, writing.MAX_RESULT_BYTES)) is not None:
        return end(state, failure, now)
    result = outcome.result.encode()
    parts = () if writing.fits_row(result) else tuple(writing.parts(graph, row, result, own))
    operations = writing.succeeded(graph, row, now, result, own)
    ended = row._replace(status=NodeStatus.SUCCEEDED, finished_at=now)
    return _store(state._replace(row=ended, parts=parts, ending_write=operations))


def _store(state: State) -> Step:
    if not state.parts:
        return state._replace(phase=Phase.WRITING), tx.Write(state.ending_write)
    return state._replace(phase=Phase.STORING), tx.Write(state.parts[:1])


def stored(state: State, event: tx.Written | tx.Refused) -> Step:
    """Refused: it is there already, written under this very claim."""
    return _store(state._replace(parts=state.parts[1:]))


# -- another attempt ---------------------------------------------------------------------------------------------------


def _retry(state: State, outcome: RetryAsked, event: fx.Ran) -> Step:
    task, row, graph = present_task(state), row_of(state), message_of(state).graph
    policy = outcome.policy or policy_of(state.rules, task)
    if task.attempt >= policy.max_tries:
        return end(state, Failed(Reason.RetriesExhausted, outcome.error), event.now)
    due = event.now + policy.get_delay_interval(task.attempts.attempts, event.chance)
    again = node_messages.next_attempt(state.delivery, message_of(state), row, due, event.now)
    operations = writing.retried(graph, row, policy.model_dump_json() if outcome.policy else row.policy, due)
    return state._replace(phase=Phase.RETRYING, after=(again,)), tx.Write(operations)


def retry_written(state: State, event: tx.Written) -> Step:
    """Who cancels marks what is pending, then is done: of the two of us the later one sees the other."""
    row = row_of(state)
    row = row._replace(status=NodeStatus.PENDING, attempt=row.attempt + 1, claim=None, etag=event.etags[0])
    return check(state._replace(row=row, claim=None, ending="retry"))


def check(state: State) -> Step:
    """See whether the next attempt is still wanted."""
    return state._replace(phase=Phase.CHECKING), tx.Read(*message_of(state).graph.head, STANDING)


def checked(state: State, event: tx.Found) -> Step:
    """Send the next attempt, unless the graph is being cancelled."""
    return cancel(state, event.now) if is_cancelling(event.entity) else send(state, list(state.after), state.ending)
