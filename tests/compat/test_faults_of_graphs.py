"""What boilermaker-servicebus gets wrong with graphs, one by one, is right here.

The numbers name the faults; those of plain tasks stand in the files beside.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy
from boilermaker_fn import effects as fx
from boilermaker_fn.entities import Entity, Page
from boilermaker_fn.errors import BoilermakerAppException, Held, PublishError
from boilermaker_fn.graph_errors import GraphError
from boilermaker_fn.graph_progress.heads import GraphStatus
from boilermaker_fn.graph_progress.messages import NodeMessage, decoded
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import Delivery
from boilermaker_fn.performing import performed
from boilermaker_fn.results import ResultStore
from boilermaker_fn.task import Task, TaskChain, TaskGraph, TaskGraphBuilder
from tests.budget.counted import Cost, CountedTable
from tests.cast import FAILED, PENDING, SKIPPED, SUCCEEDED, Cast
from tests.compat.faulty import CountingTransport
from tests.stage import QUEUE, ManualClock, Stage, staged


@pytest.fixture
def cast(stage: Stage) -> Cast:
    return Cast(stage)


@asynccontextmanager
async def cast_on(**rules: Any) -> AsyncIterator[Cast]:
    """A cast on a queue with these rules."""
    clock = ManualClock()
    engine = LocalEngine(None, clock=clock, **rules)
    async with staged(Boilermaker([]), engine=engine, clock=clock) as stage:
        yield Cast(stage)


async def drop_watch(stage: Stage) -> None:
    """Take the watchdog's message away: what follows ends without it."""
    kept = []
    stage.clock.now += 300
    for delivery in await stage.engine.inbox(QUEUE).receive(1000, 0):
        if isinstance(decoded(delivery.body), NodeMessage):
            kept.append(delivery)
        else:
            await stage.engine.inbox(QUEUE).complete(delivery)
    for delivery in kept:
        await stage.engine.inbox(QUEUE).release(delivery)


# -- 1


async def test_01_publish_graph_raises_when_the_queue_refuses_and_can_be_repeated(
    cast: Cast, counted: CountingTransport
) -> None:
    root = cast("a")
    graph = TaskGraphBuilder().add(root).then(cast("b")).build(graph_id="g")
    counted.refused = {"g/0/0/0/1"}
    with pytest.raises(PublishError, match="publish the same graph again") as caught:
        await cast.publish(graph)
    assert isinstance(caught.value, BoilermakerAppException)
    assert isinstance(caught.value.errors[0], OSError)
    counted.refused = set()
    assert (await cast.played(graph)).ran == ["a", "b"]


# -- 2


async def test_02_a_redelivery_that_finds_the_node_started_takes_it_over(cast: Cast) -> None:
    stage = cast.stage
    handle = await cast.publish(TaskGraphBuilder().add(cast("a")).then(cast("b")).build())
    await drop_watch(stage)
    await died_while_it_ran(stage)
    assert (await handle.status()).started == 1
    await stage.play()
    ending = await cast.ending(handle)
    assert (ending.status, ending.ran) == (GraphStatus.SUCCEEDED, ["a", "b"])


async def test_02_another_message_that_finds_it_started_looks_again_when_the_claim_has_ended() -> None:
    async with cast_on(duplicate_window=0) as cast:
        stage = cast.stage
        handle = await cast.publish(TaskGraphBuilder().add(cast("a", timeout=60)).then(cast("b")).build())
        await drop_watch(stage)
        (message,) = await stage.waiting()
        await stage.send(message.body, message.message_id)
        dead = await died_while_it_ran(stage)
        (again,) = await stage.engine.inbox(QUEUE).receive(1, 0)
        assert again.sequence_number == dead.sequence_number
        await stage.engine.inbox(QUEUE).complete(again)  # lost
        assert await stage.deliver_all() == ["claimed by another"]
        await stage.play()
        ending = await cast.ending(handle)
        assert (ending.status, ending.ran) == (GraphStatus.SUCCEEDED, ["a", "b"])


async def died_while_it_ran(stage: Stage) -> Delivery:
    """Claim the node of the next message, and die while its function runs."""
    from boilermaker_fn.graph_progress.opening import opened

    (delivery,) = await stage.engine.inbox(QUEUE).receive(1, 0)
    step, state = opened(stage.runner._rules, delivery)
    state, effect = step(state, fx.Delivered(stage.clock()))
    while not isinstance(effect, fx.Run):
        assert stage.engine.table is not None
        state, effect = step(state, await performed(effect, stage.engine.table, stage.clock))
    stage.clock.now = delivery.locked_until
    return delivery


# -- 3


async def test_03_a_node_with_acks_late_false_is_refused_and_nothing_is_published(cast: Cast) -> None:
    early = cast("a")
    early.acks_late = False
    with pytest.raises(GraphError, match="acks_late=False"):
        TaskGraphBuilder().add(cast("b")).then(early).build()
    graph = TaskGraph()
    graph.add_task(early)
    with pytest.raises(GraphError, match=r"play.*acks_late=False"):
        await cast.publish(graph)
    assert await cast.stage.waiting() == []


# -- 4


async def test_04_a_node_with_an_unknown_function_fails_and_its_callbacks_run(cast: Cast) -> None:
    unknown = Task(task_id="a", function_name="nobody")
    builder = TaskGraphBuilder().add(unknown, on_failure=cast("handler")).then(cast("b"))
    ending = await cast.played(builder.build(cast("callback")))
    assert ending.of("a", "b", "handler", "callback") == (FAILED, SKIPPED, SUCCEEDED, SUCCEEDED)
    assert ending.status is GraphStatus.FAILED
    assert ending.reasons == ["UnknownTask"]


# -- 5


async def test_05_a_graph_ends_when_a_handler_with_a_handler_of_its_own_succeeds(cast: Cast) -> None:
    handler = cast("handler")
    handler.on_failure = cast("handler of the handler")
    ending = await cast.played(TaskGraphBuilder().add(cast("a", "fail"), on_failure=handler).build(cast("callback")))
    assert ending.status is GraphStatus.FAILED
    assert ending.ran == ["a", "handler", "callback"]
    assert ending.nodes["handler of the handler"] is SKIPPED


# -- 6


async def test_06_what_was_never_triggered_does_not_keep_a_graph_from_ending(cast: Cast) -> None:
    handler, callback = cast("handler"), cast("callback")
    handler.on_success, callback.on_success = cast("after the handler"), cast("after the callback")
    ending = await cast.played(TaskGraphBuilder().add(cast("a"), on_failure=handler).build(callback))
    assert ending.status is GraphStatus.SUCCEEDED
    assert ending.ran == ["a"]
    assert ending.of("handler", "after the handler", "callback") == (SKIPPED,) * 3


# -- 7


async def test_07_what_the_broker_gives_up_fails_its_node_and_callbacks_run() -> None:
    async with cast_on(max_delivery_count=3) as cast:
        stage = cast.stage
        builder = TaskGraphBuilder().add(cast("a"), on_failure=cast("handler")).then(cast("b"))
        handle = await cast.publish(builder.build(cast("callback")))
        for _ in range(3):
            await died_while_it_ran(stage)
        assert await stage.reap() == "failure"
        await stage.play()
        ending = await cast.ending(handle)
        assert ending.of("a", "b") == (FAILED, SKIPPED)
        assert ending.ran == ["handler", "callback"]
        assert ending.reasons == ["MaxDeliveryCountExceeded"]
        assert await stage.waiting(QUEUE + "/$deadletterqueue") == []


# -- 8


async def test_08_the_handler_of_a_chain_waits_until_the_whole_chain_has_ended(cast: Cast) -> None:
    tasks = [cast("a"), cast("b", "fail"), cast("c")]
    builder = TaskGraphBuilder().add_chain(TaskChain(*tasks, on_any_failure=cast("handler")))
    ending = await cast.played(builder.build())
    assert ending.ran == ["a", "b", "handler"]


async def test_08_a_handler_of_siblings_waits_for_those_that_still_run(cast: Cast) -> None:
    siblings = [cast("a", "fail"), cast("b", delay=40), cast("c", "fail", delay=20)]
    handle = await cast.publish(TaskGraphBuilder().parallel(*siblings, on_failure=cast("handler")).build())
    await cast.stage.deliver_all()
    assert (await cast.ending(handle)).of("a", "handler") == (FAILED, PENDING)
    await cast.stage.play()
    assert (await cast.ending(handle)).ran == ["a", "c", "b", "handler"]


# -- 9


@pytest.mark.parametrize("first", ["zombie", "redelivery"])
async def test_09_of_a_zombie_and_its_redelivery_one_ends_the_node(cast: Cast, first: str) -> None:
    stage, running = cast.stage, list[str]()
    gates = {"zombie": asyncio.Event(), "redelivery": asyncio.Event()}

    @cast.app.task
    async def work(state: list[str]) -> None:
        me = "redelivery" if running else "zombie"
        running.append(me)
        await gates[me].wait()
        if me == "zombie":
            raise ValueError("the zombie failed")

    node = cast.app.options(task_id="a").create_task(work)
    builder = TaskGraphBuilder().add(node, on_failure=cast("handler")).then(cast("b"))
    handle = await cast.publish(builder.build(cast("callback")))
    await drop_watch(stage)
    inbox, runs = stage.engine.inbox(QUEUE), dict[str, asyncio.Future[str]]()
    for one in gates:
        (delivery,) = await inbox.receive(1, 0)
        runs[one] = asyncio.ensure_future(stage.runner.handle(delivery))
        while one not in running:
            await asyncio.sleep(0.001)
        stage.clock.now = delivery.locked_until
    for one in (first, *({*gates} - {first})):
        gates[one].set()
        with suppress(Held):  # the zombie's, whose write is refused whenever it comes
            await runs[one]
    await stage.play()
    ending = await cast.ending(handle)
    assert runs["zombie"].exception() is not None
    assert ending.of("a", "b", "handler", "callback") == (SUCCEEDED, SUCCEEDED, SKIPPED, SKIPPED)
    assert ending.ran == ["b"]
    assert ending.status is GraphStatus.SUCCEEDED
    assert ending.reasons == []


# -- 11


class WeighedTable(CountedTable):
    """Counts operations, and the bytes that come from the table."""

    def __init__(self, table: Any, cost: Cost) -> None:
        super().__init__(table, cost)
        self.bytes = 0

    async def read(self, *args: Any) -> Entity | None:
        entity = await super().read(*args)
        self._weigh([] if entity is None else [entity])
        return entity

    async def query(self, partition: str, **conditions: Any) -> Page:
        page = await super().query(partition, **conditions)
        self._weigh(page.entities)
        return page

    def _weigh(self, entities: Any) -> None:
        self.bytes += sum(len(value) for one in entities for value in one.values.values() if isinstance(value, bytes))


async def on_weighed_table(
    run: Callable[[Stage], Any],
) -> tuple[Cost, int]:
    """What `run` costs, and how many bytes it reads."""
    clock, cost = ManualClock(), Cost()
    engine = LocalEngine(None, clock=clock)
    table = WeighedTable(engine.table, cost)
    async with staged(Boilermaker([]), engine=engine, clock=clock, table=table) as stage:
        assert isinstance(stage.wiring.results, ResultStore)
        await run(stage)
    return cost, table.bytes


async def test_11_a_node_reads_the_results_that_it_takes_and_no_others() -> None:
    size = 1_000_000

    async def run(stage: Stage) -> None:
        @stage.app.task
        async def large(state: Any, before: str = "") -> str:
            return "x" * size

        tasks = [stage.app.create_task(large)]
        for number in range(1, 20):
            tasks.append(stage.app.create_task(large, *([tasks[-1].result] if number % 5 == 0 else [])))
        await stage.app.publish_graph(TaskGraphBuilder().sequence(*tasks).build())
        await stage.play()

    _, read = await on_weighed_table(run)
    assert read < 3 * size + 200_000  # three of twenty nodes take a result


@pytest.mark.parametrize("shape", ["chain", "fan"])
async def test_11_operations_grow_with_the_nodes(shape: str) -> None:
    costs = []
    for count in (3, 10, 50, 100):

        async def run(stage: Stage, count: int = count) -> None:
            cast = Cast(stage)
            tasks = cast.many("n", count)
            builder = TaskGraphBuilder().sequence(*tasks)
            if shape == "fan":
                builder = TaskGraphBuilder().add(tasks[0]).parallel(*tasks[1:-1]).then(tasks[-1])
            assert (await cast.played(builder.build())).status is GraphStatus.SUCCEEDED

        cost, _ = await on_weighed_table(run)
        costs.append(cost.at_the_table)
        assert cost.at_the_table <= 4.2 * count + 20  # the ancestor: count² + 10 * count + 3
    assert costs[-1] < 2.1 * costs[-2]


# -- 12


async def test_12_two_hundred_children_are_sent_in_a_few_calls(cast: Cast, counted: CountingTransport) -> None:
    children = cast.many("n", 200)
    handle = await cast.publish(TaskGraphBuilder().add(cast("root")).parallel(*children).then(cast("end")).build())
    counted.operations.clear()
    assert await cast.stage.deliver() == "success"
    assert len(counted.operations) <= 5
    assert sum(map(len, counted.operations)) == 200
    await cast.stage.play()
    assert (await handle.status()).status is GraphStatus.SUCCEEDED


# -- 13


def calls_of(work: Callable[[], object]) -> int:
    """How many functions are called, of Python and of C."""
    count = 0

    def called(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def children_of_one(count: int) -> TaskGraph:
    tasks = [Task(function_name="work", task_id=f"n{number}") for number in range(count)]
    builder = TaskGraphBuilder().add(tasks[0])
    for task in tasks[1:]:
        builder.add(task, depends_on=[tasks[0]])
    return builder.build()


def one_after_another(count: int) -> TaskGraph:
    tasks = [Task(function_name="work", task_id=f"n{number}") for number in range(count)]
    graph = TaskGraph()
    graph.add_task(tasks[0])
    for before, task in itertools.pairwise(tasks):
        graph.add_task(task, [before.task_id])
    graph.plan()
    return graph


@pytest.mark.parametrize("build", [children_of_one, one_after_another])
def test_13_building_costs_as_much_for_each_task_however_many_there_are(build: Callable[[int], TaskGraph]) -> None:
    build(10)  # what is imported once
    assert calls_of(lambda: build(4000)) < 2.2 * calls_of(lambda: build(2000))


def test_13_a_sequence_has_any_length() -> None:
    assert len(one_after_another(20_000).plan().steps) == 20_000


# -- 14


async def test_14_a_chain_of_a_thousand_links_runs_as_a_graph(cast: Cast) -> None:
    head = last = cast("n0")
    for number in range(1, 1000):
        last = last >> cast(f"n{number}")
    ending = await cast.played(TaskGraphBuilder().add(head).build())
    assert ending.ran == [f"n{number}" for number in range(1000)]
    assert ending.status is GraphStatus.SUCCEEDED


# -- 21


async def test_21_the_watchdog_sends_what_nobody_sent_and_its_retries_arrive(cast: Cast) -> None:
    stage = cast.stage
    handle = await cast.publish(TaskGraphBuilder().add(cast("a", "retry once")).then(cast("b")).build())
    (root,) = list(await stage.engine.inbox(QUEUE).receive(1, 0))
    await stage.engine.inbox(QUEUE).complete(root)  # lost; its id stays known to the queue
    await stage.play()
    ending = await cast.ending(handle)
    assert (ending.status, ending.ran) == (GraphStatus.SUCCEEDED, ["a", "a", "b"])


async def test_21_the_watchdog_sends_a_retry_that_was_lost(cast: Cast) -> None:
    stage = cast.stage
    handle = await cast.publish(TaskGraphBuilder().add(cast("a", "retry once")).then(cast("b")).build())
    assert await stage.deliver() == "retry"
    stage.clock.now += 2
    (again,) = await stage.engine.inbox(QUEUE).receive(1, 0)
    await stage.engine.inbox(QUEUE).complete(again)
    await stage.play()
    ending = await cast.ending(handle)
    assert (ending.status, ending.ran) == (GraphStatus.SUCCEEDED, ["a", "a", "b"])


async def test_21_the_watchdog_leaves_alone_what_runs_or_is_not_due(cast: Cast) -> None:
    stage, gate = cast.stage, asyncio.Event()

    @cast.app.task(timeout=3600)
    async def slow(state: list[str]) -> None:
        state.append("slow")
        await gate.wait()

    later = cast("later", "retry once", policy=RetryPolicy(max_tries=3, delay=2000))
    nodes = [cast.app.create_task(slow), cast("delayed", delay=2000), later]
    handle = await cast.publish(TaskGraphBuilder().parallel(*nodes).build())
    (delivery,) = await stage.engine.inbox(QUEUE).receive(1, 0)
    running = asyncio.ensure_future(stage.runner.handle(delivery))
    while "slow" not in cast.app.state:
        await asyncio.sleep(0.001)
    await stage.deliver_all()
    for _ in range(30):
        stage.clock.now += 50
        await stage.engine.inbox(QUEUE).renew(delivery)
        await stage.deliver_all()
    assert cast.app.state == ["slow", "later"]
    gate.set()
    await running
    await stage.engine.inbox(QUEUE).complete(delivery)
    await stage.play()
    ending = await cast.ending(handle)
    assert sorted(ending.ran) == ["delayed", "later", "later", "slow"]
    assert ending.status is GraphStatus.SUCCEEDED


async def test_21_a_graph_that_is_retried_soon_has_retries_that_arrive(cast: Cast) -> None:
    ran: list[str] = []

    @cast.app.task(policy=RetryPolicy(max_tries=3, delay=1))
    async def work(state: Any) -> None:
        ran.append("work")
        if len(ran) < 6:
            raise RetryException("not yet")

    handle = await cast.publish(TaskGraphBuilder().add(cast.app.create_task(work)).then(cast("b")).build())
    await cast.stage.deliver_all()
    for _ in range(2):
        cast.stage.clock.now += 1
        await cast.stage.deliver_all()
    assert (await handle.status()).status is GraphStatus.FAILED
    await handle.retry_failed()
    await cast.stage.play()  # inside the window in which the queue knows all ids of the first time
    assert cast.stage.clock.passed < 7200
    assert (await handle.status()).status is GraphStatus.SUCCEEDED
    assert (len(ran), cast.app.state) == (6, ["b"])
