"""What does each end of a node do: to its children, to handlers, to the all-failed callback, and to the graph?

docs/graphs-failures.md says it as a table; what stands there is tested here.
"""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy
from boilermaker_fn.errors import NotSent, QueueNotFound
from boilermaker_fn.graph.builder import TaskGraphBuilder
from boilermaker_fn.graph.chain import TaskChain
from boilermaker_fn.graph_errors import GraphCancelled, GraphFailed
from boilermaker_fn.graph_progress.heads import GraphStatus
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import Message
from boilermaker_fn.outcomes import Reason
from boilermaker_fn.task import Task
from tests.cast import FAILED, PENDING, SKIPPED, SUCCEEDED, Cast
from tests.stage import NOON, QUEUE, ManualClock, Stage, staged


@pytest.fixture
def cast(stage: Stage) -> Cast:
    return Cast(stage)


# -- every end of a node -----------------------------------------------------------------------------------------------


class Bad(NamedTuple):
    """A way to end without a value: a task `a` that does, why, how often it is started, whether it leaves a letter."""

    task: Callable[[Cast], Task]
    reason: str
    starts: int = 1
    letter: bool = True


def foreign(function: str, *args: Any) -> Task:
    """A task of a producer that has other code."""
    return Task(task_id="a", function_name=function, payload={"args": [*args], "kwargs": {}})


def quiet(task: Task) -> Task:
    task.should_dead_letter = False
    return task


BAD_ENDS = {
    "raises": Bad(lambda cast: cast("a", "fail"), Reason.TaskFailed),
    "returns TaskFailureResult": Bad(lambda cast: cast("a", "mark"), Reason.TaskFailed),
    "exhausts its retries": Bad(lambda cast: cast("a", "retry"), Reason.RetriesExhausted, 3),
    "times out": Bad(lambda cast: cast("a", "hang", timeout=0.01), Reason.TimedOut),
    "returns what cannot be written": Bad(lambda cast: cast("a", "unwritable"), Reason.ResultNotSerializable),
    "returns 9 MiB": Bad(lambda cast: cast("a", "large"), Reason.ResultNotSerializable),
    "is given what does not fit": Bad(lambda cast: foreign("later", "no number"), Reason.WrongArguments, 0),
    "is not known": Bad(lambda cast: foreign("nobody"), Reason.UnknownTask, 0),
    "expires": Bad(lambda cast: cast("a", expires=5), Reason.Expired, 0, letter=False),
    "leaves no letter": Bad(lambda cast: quiet(cast("a", "fail")), Reason.TaskFailed, letter=False),
}


@pytest.mark.parametrize("end", BAD_ENDS)
async def test_a_bad_end_skips_the_children_runs_handlers_and_the_callback_and_fails_the_graph(
    cast: Cast, end: str
) -> None:
    stage, bad = cast.stage, BAD_ENDS[end]
    builder = TaskGraphBuilder().add(bad.task(cast), on_failure=cast("handler"))
    builder.then(cast("child")).then(cast("grandchild")).add(cast("other"), depends_on=None)
    handle = await cast.publish(builder.build(cast("callback")))

    @cast.app.task
    async def later(state: list[str], value: int) -> None:
        state.append("a")

    if end == "expires":
        stage.clock.now += 6
    await stage.play()
    ending = await cast.ending(handle)
    assert ending.status is GraphStatus.FAILED
    assert ending.of("a", "child", "grandchild") == (FAILED, SKIPPED, SKIPPED)
    assert ending.of("other", "handler", "callback") == (SUCCEEDED, SUCCEEDED, SUCCEEDED)
    assert ending.ran.count("a") == bad.starts
    assert sorted(set(ending.ran) - {"a"}) == ["callback", "handler", "other"]
    assert ending.ran[-1] == "callback"
    assert ending.reasons == ([bad.reason] if bad.letter else [])
    (failure,) = await handle.failures()
    assert (failure.task_id, failure.reason) == ("a", bad.reason)
    with pytest.raises(GraphFailed, match=bad.reason):
        await handle.result()


async def test_success_runs_the_children_and_skips_handlers_and_the_callback(cast: Cast) -> None:
    builder = TaskGraphBuilder().add(cast("a"), on_failure=cast("handler")).then(cast("child"))
    ending = await cast.played(builder.build(cast("callback")))
    assert ending.status is GraphStatus.SUCCEEDED
    assert ending.of("a", "child", "handler", "callback") == (SUCCEEDED, SUCCEEDED, SKIPPED, SKIPPED)
    assert ending.ran == ["a", "child"]
    assert ending.reasons == []


async def test_a_retry_that_succeeds_is_a_success(cast: Cast) -> None:
    handle = await cast.publish(
        TaskGraphBuilder().add(cast("a", "retry once"), on_failure=cast("handler")).then(cast("b")).build()
    )
    await cast.stage.play()
    ending = await cast.ending(handle)
    assert ending.ran == ["a", "a", "b"]
    assert ending.of("a", "handler") == (SUCCEEDED, SKIPPED)
    assert (await handle.task("a")).attempts == 2


async def test_the_policy_of_a_retry_stays(cast: Cast) -> None:
    starts: list[float] = []

    @cast.app.task(policy=RetryPolicy(max_tries=2, delay=1))
    async def stubborn(state: Any) -> None:
        starts.append(cast.stage.clock.passed)
        raise RetryException("later", policy=RetryPolicy(max_tries=4, delay=60) if len(starts) == 1 else None)

    handle = await cast.publish(TaskGraphBuilder().add(cast.app.create_task(stubborn)).build())
    await cast.stage.play()
    assert starts == [0, 60, 120, 180]
    (failure,) = await handle.failures()
    assert (failure.reason, failure.attempt) == (Reason.RetriesExhausted, 4)


async def test_a_waiting_retry_holds_up_handlers_children_and_the_end(cast: Cast) -> None:
    builder = TaskGraphBuilder().add(cast("a", "retry"), on_failure=cast("handler")).then(cast("b"))
    handle = await cast.publish(builder.build(cast("callback")))
    await cast.stage.deliver_all()
    ending = await cast.ending(handle)
    assert ending.status is GraphStatus.RUNNING
    assert set(ending.nodes.values()) == {PENDING}


async def test_an_unknown_function_is_put_off_before_it_fails(cast: Cast) -> None:
    graph = TaskGraphBuilder().add(Task(task_id="a", function_name="later")).then(cast("b")).build()
    handle = await cast.publish(graph)
    assert await cast.stage.deliver_all() == ["postponed"]
    assert (await cast.ending(handle)).of("a") == (PENDING,)

    @cast.app.task
    async def later(state: Any) -> None:
        state.append("a")

    await cast.stage.play()
    assert (await cast.ending(handle)).ran == ["a", "b"]
    assert (await handle.status()).status is GraphStatus.SUCCEEDED


async def test_a_node_that_expires_late_was_in_time(cast: Cast) -> None:
    ending = await cast.played(TaskGraphBuilder().add(cast("a", delay=100)).then(cast("b", expires=5)).build())
    assert ending.ran == ["a", "b"]  # it counts from when it is due, not from when its graph was published


# -- handlers ----------------------------------------------------------------------------------------------------------


async def test_the_handler_of_a_chain_runs_once_when_all_of_it_has_ended(cast: Cast) -> None:
    chain = TaskChain(cast("a"), cast("b", "fail"), cast("c"), on_any_failure=cast("handler"))
    ending = await cast.played(TaskGraphBuilder().add_chain(chain).build())
    assert ending.ran == ["a", "b", "handler"]
    assert ending.of("c", "handler") == (SKIPPED, SUCCEEDED)


async def test_a_shared_handler_waits_for_siblings_that_still_run(cast: Cast) -> None:
    siblings = [cast("a", "fail"), cast("b", "retry once"), cast("c", delay=50), cast("d", "fail")]
    builder = TaskGraphBuilder().parallel(*siblings, on_failure=cast("handler"))
    ending = await cast.played(builder.build())
    assert ending.ran == ["a", "b", "d", "b", "c", "handler"]


async def test_a_shared_handler_is_skipped_when_nothing_that_it_guards_failed(cast: Cast) -> None:
    handler = cast("handler")
    handler.on_success = cast("after")
    builder = TaskGraphBuilder().add(cast("a", "fail")).parallel(cast("b"), cast("c"), on_failure=handler)
    ending = await cast.played(builder.build())
    assert ending.of("b", "c", "handler", "after") == (SKIPPED,) * 4  # being skipped is no failure


async def test_handlers_have_handlers_and_callbacks(cast: Cast) -> None:
    handler = cast("handler", "fail")
    handler.on_failure, handler.on_success = cast("second"), cast("not run")
    handler.on_failure.on_success = cast("last")
    ending = await cast.played(TaskGraphBuilder().add(cast("a", "fail"), on_failure=handler).build(cast("callback")))
    assert ending.ran == ["a", "handler", "second", "last", "callback"]
    assert ending.of("not run") == (SKIPPED,)
    assert ending.reasons == ["TaskFailed", "TaskFailed"]


async def test_a_handler_that_succeeds_makes_no_failed_graph_a_success(cast: Cast) -> None:
    handler = cast("handler")
    handler.on_success = cast("after")
    ending = await cast.played(TaskGraphBuilder().add(cast("a", "fail"), on_failure=handler).build())
    assert ending.ran == ["a", "handler", "after"]
    assert ending.status is GraphStatus.FAILED


@pytest.mark.parametrize("failing", [0, 120, 249, None])
async def test_a_handler_shared_over_blocks_runs_once_if_one_failed(cast: Cast, failing: int | None) -> None:
    nodes = [cast(f"n{number}", "fail" if number == failing else "") for number in range(250)]
    handler = cast("handler")
    handler.on_success = cast("after")
    ending = await cast.played(TaskGraphBuilder().parallel(*nodes, on_failure=handler).build(cast("callback")))
    rest = [] if failing is None else ["handler", "after", "callback"]
    assert ending.ran == [node.task_id for node in nodes] + rest
    assert ending.status is (GraphStatus.SUCCEEDED if failing is None else GraphStatus.FAILED)
    assert ending.of("handler", "after", "callback") == ((SKIPPED if failing is None else SUCCEEDED),) * 3


# -- the all-failed callback -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "follower"), [("", "then"), ("fail", "else")])
async def test_the_callback_runs_once_after_all_else_and_what_follows_it_are_tasks_on_their_own(
    cast: Cast, how: str, follower: str
) -> None:
    callback = cast("callback", how)
    callback.on_success, callback.on_failure = cast("then"), cast("else")
    nodes = [cast("a", "fail"), cast("b", "fail"), cast("c", "retry once"), cast("d", delay=500)]
    handle = await cast.publish(TaskGraphBuilder().parallel(*nodes).build(callback))
    await cast.stage.play()
    ending = await cast.ending(handle)
    assert ending.ran == ["a", "b", "c", "c", "d", "callback", follower]
    assert ending.status is GraphStatus.FAILED
    assert ending.reasons == ["TaskFailed"] * (3 if how else 2)
    assert (await handle.status()).failed == 2  # the callback is not counted
    row = await cast.stage.row(follower)
    assert row is not None
    assert row.status == "success"


async def test_the_callback_can_be_tried_again(cast: Cast) -> None:
    ending = await cast.played(TaskGraphBuilder().add(cast("a", "fail")).build(cast("callback", "retry once")))
    assert ending.ran == ["a", "callback", "callback"]
    assert ending.nodes["callback"] is SUCCEEDED


async def test_the_graph_has_not_ended_while_the_callback_runs(cast: Cast) -> None:
    handle = await cast.publish(TaskGraphBuilder().add(cast("a", "fail")).build(cast("callback", "retry once")))
    await cast.stage.deliver_all()
    assert (await handle.status()).status is GraphStatus.RUNNING
    await cast.stage.play()
    assert (await handle.status()).status is GraphStatus.FAILED


# -- cancelling --------------------------------------------------------------------------------------------------------


async def test_nothing_starts_in_a_cancelled_graph_no_handler_and_no_callback(cast: Cast) -> None:
    siblings = [cast("a", "fail"), cast("b", delay=60), cast("c", "retry")]
    builder = TaskGraphBuilder().parallel(*siblings, on_failure=cast("handler")).then(cast("after"))
    handle = await cast.publish(builder.build(cast("callback")))
    for _ in siblings:
        await cast.stage.deliver()
    assert await handle.cancel()
    await cast.stage.play()
    ending = await cast.ending(handle)
    assert ending.ran == ["a", "c"]
    assert ending.status is GraphStatus.CANCELLED
    assert ending.nodes == {
        "a": FAILED, "b": SKIPPED, "c": SKIPPED, "after": SKIPPED, "handler": SKIPPED, "callback": SKIPPED
    }  # fmt: skip
    state = await handle.status()
    assert (state.failed, state.cancelled + state.skipped) == (1, 4)
    with pytest.raises(GraphCancelled):
        await handle.result()


# -- large graphs ------------------------------------------------------------------------------------------------------


async def test_a_fan_in_over_blocks_waits_for_all(cast: Cast) -> None:
    parts = cast.many("n", 240)
    ending = await cast.played(TaskGraphBuilder().parallel(*parts).then(cast("sum")).then(cast("last")).build())
    assert ending.ran == [part.task_id for part in parts] + ["sum", "last"]
    assert ending.status is GraphStatus.SUCCEEDED


async def test_a_failing_branch_of_a_large_graph_leaves_the_others_alone(cast: Cast) -> None:
    builder, columns, rows = TaskGraphBuilder().add(cast("root")), 15, 30
    for column in range(columns):
        tasks = [cast(f"{column}.{row}", "fail" if (column, row) == (7, 3) else "") for row in range(rows)]
        builder.add_chain(TaskChain(*tasks), depends_on=["root"])
    builder.add(cast("end"), depends_on=[f"{column}.{rows - 1}" for column in range(columns)])
    handle = await cast.publish(builder.build(cast("callback")))
    await cast.stage.play()
    ending = await cast.ending(handle)
    assert ending.of("7.2", "7.3", "7.4", "7.29", "end") == (SUCCEEDED, FAILED, SKIPPED, SKIPPED, SKIPPED)
    assert ending.ran[-1] == "callback"
    state = await handle.status()
    assert (state.succeeded, state.failed, state.skipped) == (1 + 14 * 30 + 3, 1, 27)
    assert len(set(ending.ran)) == len(ending.ran)


# -- when, and where ---------------------------------------------------------------------------------------------------


async def test_delay_and_eta_count_from_when_a_node_is_ready(cast: Cast) -> None:
    times: dict[str, float] = {}

    @cast.app.task
    async def note(state: Any, name: str) -> None:
        times[name] = cast.stage.clock.passed

    def task(name: str, **options: Any) -> Task:
        return cast.app.options(task_id=name, **options).create_task(note, name)

    eta = NOON + datetime.timedelta(seconds=200)
    root, late = task("root", delay=30), task("handled late", delay=7)
    builder = TaskGraphBuilder().add(root).parallel(task("delayed", delay=10), task("at a time", eta=eta), task("now"))
    builder.add(cast("a", "fail"), depends_on=None, on_failure=late)
    ending = await cast.played(builder.build(task("callback", delay=5)))
    assert ending.status is GraphStatus.FAILED
    assert times == {"handled late": 7, "root": 30, "now": 30, "delayed": 40, "at a time": 200, "callback": 205}


async def test_nodes_go_to_their_own_queues(cast: Cast) -> None:
    stage = cast.stage
    builder = TaskGraphBuilder().add(cast("a")).add(cast("b", queue="other")).then(cast("c"))
    handle = await cast.publish(builder.build(cast("callback", queue="third")))
    assert await stage.deliver_all() == ["success"]
    assert await stage.deliver_all() == []
    assert await stage.deliver("other") == "success"
    assert await stage.deliver_all() == ["success"]
    assert (await handle.status()).status is GraphStatus.SUCCEEDED


class WithoutQueue:
    """A transport to a place that has no queue of this name."""

    def __init__(self, inner: Any, missing: str) -> None:
        self.inner = inner
        self.missing = missing

    @property
    def max_message_bytes(self) -> int:
        return int(self.inner.max_message_bytes)

    async def send(self, messages: Sequence[Message], *, numbered: bool = False) -> Mapping[str, int]:
        numbers: Mapping[str, int] = await self.inner.send(
            [one for one in messages if one.queue != self.missing], numbered=numbered
        )
        lost = [one for one in messages if one.queue == self.missing]
        if lost:
            error = QueueNotFound(self.missing, "does not exist", passing=False)
            raise NotSent([(one.message_id, error) for one in lost])
        return numbers


@pytest.mark.parametrize("where", ["child", "handler", "callback"])
async def test_a_node_whose_queue_does_not_exist_fails_and_the_graph_ends(cast: Cast, where: str) -> None:
    stage = cast.stage
    stage.engine._transport = WithoutQueue(stage.engine.transport, "nowhere")  # type: ignore[assignment]
    nodes = {name: cast(name, queue="nowhere" if name == where else None) for name in ("child", "handler", "callback")}
    builder = TaskGraphBuilder().add(cast("a")).add(nodes["child"], depends_on=["a"])
    builder.add(cast("b", "fail"), depends_on=None, on_failure=nodes["handler"])
    ending = await cast.played(builder.build(nodes["callback"]))
    assert ending.status is GraphStatus.FAILED
    assert ending.nodes[where] is FAILED
    assert where not in ending.ran
    assert sorted(ending.reasons) == ["TaskFailed", "Undeliverable"]


# -- poison ------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def impatient() -> AsyncIterator[Cast]:
    """A cast on a queue that gives a message up after two deliveries."""
    clock = ManualClock()
    engine = LocalEngine(None, clock=clock, max_delivery_count=2)
    async with staged(Boilermaker([]), engine=engine, clock=clock) as stage:
        yield Cast(stage)


async def test_a_message_that_the_broker_gives_up_fails_its_node(impatient: Cast) -> None:
    cast, stage = impatient, impatient.stage
    builder = TaskGraphBuilder().add(cast("a"), on_failure=cast("handler")).then(cast("b"))
    handle = await cast.publish(builder.build(cast("callback")))
    for _ in range(2):
        await stage.crash()
    assert await stage.reap() == "failure"
    await stage.play()
    ending = await cast.ending(handle)
    assert ending.ran == ["handler", "callback"]
    assert ending.of("a", "b") == (FAILED, SKIPPED)
    assert ending.reasons == ["MaxDeliveryCountExceeded"]
    assert ending.status is GraphStatus.FAILED
    assert await stage.waiting(QUEUE + "/$deadletterqueue") == []


async def test_a_node_that_kills_its_process_is_failed_by_the_reaper(impatient: Cast) -> None:
    cast, stage = impatient, impatient.stage

    @cast.app.task
    async def deadly(state: Any) -> None:
        raise MemoryError  # stands for the end of the process: nothing after it is written

    builder = TaskGraphBuilder().add(cast.app.options(task_id="a").create_task(deadly), on_failure=cast("handler"))
    handle = await cast.publish(builder.build())
    for _ in range(2):
        (delivery,) = await stage.engine.inbox(QUEUE).receive(1, 0)
        await claimed_and_died(stage, delivery)
        stage.clock.now = max(stage.clock.now, delivery.locked_until)
    assert await stage.reap() == "failure"
    await stage.play()
    ending = await cast.ending(handle)
    assert ending.of("a", "handler") == (FAILED, SUCCEEDED)
    assert ending.status is GraphStatus.FAILED


async def claimed_and_died(stage: Stage, delivery: Any) -> None:
    """Claim the node of a delivery, and die while it runs."""
    from boilermaker_fn import effects as fx
    from boilermaker_fn.graph_progress.opening import opened
    from boilermaker_fn.performing import performed

    step, state = opened(stage.runner._rules, delivery)
    state, effect = step(state, fx.Delivered(stage.clock()))
    while not isinstance(effect, fx.Run):
        assert stage.engine.table is not None
        state, effect = step(state, await performed(effect, stage.engine.table, stage.clock))


async def test_what_the_broker_gives_up_of_an_ended_node_leads_to_its_children_once_more(impatient: Cast) -> None:
    cast, stage = impatient, impatient.stage
    handle = await cast.publish(TaskGraphBuilder().add(cast("a")).then(cast("b")).build())
    for _ in range(2):  # it runs, and dies before it settles
        (delivery,) = await stage.engine.inbox(QUEUE).receive(1, 0)
        await stage.runner.handle(delivery)
        await stage.deliver_all()
        stage.clock.now = max(stage.clock.now, delivery.locked_until)
    assert await stage.reap() == "success"
    await stage.play()
    ending = await cast.ending(handle)
    assert ending.ran == ["a", "b"]
    assert ending.reasons == []
