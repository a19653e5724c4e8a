"""Does each step of a graph cost what docs/budget.md says, and no more? The table there is the test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from boilermaker_fn.task import TaskGraphBuilder
from tests.budget.counted import Cost, budget
from tests.budget.graph_till import GraphTill
from tests.stage import QUEUE

HEADING = "## Graphs"

Spend = Callable[[GraphTill], Awaitable[Cost]]


# -- publishing --------------------------------------------------------------------------------------------------------


def _publish(size: int) -> Spend:
    return lambda till: till.spent.of(till.publish(till.sequence(*till.tasks(size))))


def _publish_roots(till: GraphTill) -> Awaitable[Cost]:
    return till.spent.of(till.publish(TaskGraphBuilder().parallel(*till.tasks(200))))


async def _publish_again(till: GraphTill) -> Cost:
    graph = till.sequence(*till.tasks(1000)).build()
    await till.publish(graph)
    return await till.spent.of(till.publish(graph))


# -- a node that succeeds ----------------------------------------------------------------------------------------------


def _inside(till: GraphTill) -> Awaitable[Cost]:
    return till.cost_of_delivery(till.sequence(*till.tasks(3)), after=1)


def _guarded(till: GraphTill) -> Awaitable[Cost]:
    graph = TaskGraphBuilder().add(till.task(), on_failure=till.task()).sequence(*till.tasks(2))
    return till.cost_of_delivery(graph)


def _with_200_children(till: GraphTill) -> Awaitable[Cost]:
    return till.cost_of_delivery(TaskGraphBuilder().add(till.task()).parallel(*till.tasks(200)))


def _with_a_result(till: GraphTill) -> Awaitable[Cost]:
    first = till.task()
    return till.cost_of_delivery(till.sequence(first, till.task(None, first.result), till.task()), after=1)


def _gathering(till: GraphTill) -> Awaitable[Cost]:
    tasks = till.tasks(250)
    last = till.task(None, [one.result for one in tasks])
    return till.cost_of_delivery(TaskGraphBuilder().parallel(*tasks).then(last).then(till.task()), after=250)


def _returning_much(till: GraphTill) -> Awaitable[Cost]:
    return till.cost_of_delivery(till.sequence(till.task(till.large), till.task()))


def _with_a_large_result(till: GraphTill) -> Awaitable[Cost]:
    first = till.task(till.large)
    return till.cost_of_delivery(till.sequence(first, till.task(None, first.result), till.task()), after=1)


def _arriving(till: GraphTill) -> Awaitable[Cost]:
    tasks = till.tasks(150)
    graph = TaskGraphBuilder().parallel(*tasks).add(till.task(), depends_on=[tasks[0], tasks[149]])
    return till.cost_of_delivery(graph)


def _ending_a_block(till: GraphTill) -> Awaitable[Cost]:
    return till.cost_of_delivery(TaskGraphBuilder().parallel(*till.tasks(150)), after=99)


def _ending_the_graph(till: GraphTill) -> Awaitable[Cost]:
    return till.cost_of_delivery(till.sequence(*till.tasks(3)), after=2)


# -- a node that does not ----------------------------------------------------------------------------------------------


def _retrying(till: GraphTill) -> Awaitable[Cost]:
    return till.cost_of_delivery(till.sequence(till.task(till.retry), till.task()))


def _failing_here(till: GraphTill) -> Awaitable[Cost]:
    """All of its block wait for it, but for one."""
    graph = till.sequence(till.task(till.fail), *till.tasks(98)).add(till.task(), depends_on=None)
    return till.cost_of_delivery(graph)


def _failing_elsewhere(till: GraphTill) -> Awaitable[Cost]:
    """Only somebody of the next block waits for it; both blocks have others."""
    tasks = [till.task(till.fail), *till.tasks(99)]
    graph = TaskGraphBuilder().parallel(*tasks)
    graph.add(till.task(), depends_on=[tasks[0]]).add(till.task(), depends_on=[tasks[1]])
    return till.cost_of_delivery(graph)


def _failing_first_of_1000(till: GraphTill) -> Awaitable[Cost]:
    return till.cost_of_delivery(TaskGraphBuilder().add(till.task(till.fail)).parallel(*till.tasks(999)))


def _failing_with_a_handler(till: GraphTill) -> Awaitable[Cost]:
    graph = TaskGraphBuilder().add(till.task(till.fail), on_failure=till.task()).sequence(*till.tasks(2))
    return till.cost_of_delivery(graph)


def _failing_last(till: GraphTill) -> Awaitable[Cost]:
    return till.cost_of_delivery(till.sequence(till.task(till.fail)).build(till.task()))


def _calling_back(till: GraphTill) -> Awaitable[Cost]:
    return till.cost_of_delivery(till.sequence(till.task(till.fail)).build(till.task()), after=1)


# -- other deliveries --------------------------------------------------------------------------------------------------


async def _again(till: GraphTill) -> Cost:
    await till.publish(till.sequence(*till.tasks(3)))
    (delivery,) = await till.engine.inbox(QUEUE).receive(1, 0)
    assert await till.stage.runner.handle(delivery) == "success"
    return await till.spent.of(till.stage.runner.handle(delivery))


async def _claimed_by_another(till: GraphTill) -> Cost:
    await till.publish(till.sequence(till.task(till.wait), till.task()))
    (delivery,) = await till.engine.inbox(QUEUE).receive(1, 0)
    running = asyncio.ensure_future(till.stage.runner.handle(delivery))
    while till.spent.writes < 4:  # three to publish, and the claim
        await asyncio.sleep(0)
    another = replace(delivery, sequence_number=delivery.sequence_number + 1)
    cost = await till.spent.of(till.stage.runner.handle(another))
    till.finish.set()
    assert await running == "success"
    return cost


def _becoming_a_graph(till: GraphTill) -> Awaitable[Cost]:
    mapped = till.app.create_map(till.work, [*range(200)])
    return till.cost_of_delivery(till.sequence(mapped, till.task()))


async def _having_become_a_graph(till: GraphTill) -> Cost:
    """The delivery by which the end of a graph ends the node that became it."""
    await till.publish(till.sequence(till.app.create_map(till.work, [*range(200)]), till.task()))
    await till.deliver(201)
    return await till.spent.of(till.deliver())


# -- looking at it -----------------------------------------------------------------------------------------------------


async def _watched(till: GraphTill) -> Cost:
    await till.publish(till.sequence(*till.tasks(3)))
    await till.stage.deliver_all()
    return await till.spent.of(till.stage.play())


async def _watched_while_it_runs(till: GraphTill) -> Cost:
    await till.publish(till.sequence(till.task(), till.task(till.wait), *till.tasks(998)))
    await till.deliver()
    (delivery,) = await till.engine.inbox(QUEUE).receive(1, 0)
    running = asyncio.ensure_future(till.stage.runner.handle(delivery))
    await till.engine.inbox(QUEUE).complete(delivery)  # or it would be the next one
    till.clock.now += 300
    cost = await till.spent.of(till.deliver())
    till.finish.set()
    await running
    return cost


async def _asked_for_status(till: GraphTill) -> Cost:
    handle = await till.publish(TaskGraphBuilder().parallel(*till.tasks(1000)))
    await till.stage.deliver_all()
    return await till.spent.of(handle.status())


async def _asked_for_status_while_it_runs(till: GraphTill) -> Cost:
    handle = await till.publish(TaskGraphBuilder().parallel(*till.tasks(1000)))
    await till.deliver(600)
    return await till.spent.of(handle.status())


async def _asked_for_its_result(till: GraphTill) -> Cost:
    handle = await till.publish(till.sequence(*till.tasks(3)))
    await till.stage.deliver_all()
    return await till.spent.of(handle.result())


#: What each line of the table is.
LINES: dict[str, Spend] = {
    "publish a sequence of 100": _publish(100),
    "publish a sequence of 1,000": _publish(1000),
    "publish 200 that wait for nobody": _publish_roots,
    "publish 1,000 again that are published": _publish_again,
    "run a task, its child in the same block": _inside,
    "run a task that has a failure handler of its own": _guarded,
    "run a task with 200 children": _with_200_children,
    "run a task with a result as argument": _with_a_result,
    "run a task that gathers 250 results, from 3 blocks": _gathering,
    "run a task that returns 2 MB": _returning_much,
    "run a task with 2 MB as argument": _with_a_large_result,
    "run the last task of a block for which somebody waits who waits for other blocks too": _arriving,
    "run the last task of a block": _ending_a_block,
    "run the last task of a graph": _ending_the_graph,
    "ask for a retry": _retrying,
    "fail, and 98 in the same block with it": _failing_here,
    "fail, and one in another block with it": _failing_elsewhere,
    "fail, and with it 999 in 10 blocks, all of the graph": _failing_first_of_1000,
    "fail with a handler": _failing_with_a_handler,
    "fail last, with an all-failed callback": _failing_last,
    "run the all-failed callback": _calling_back,
    "be delivered again after it has ended": _again,
    "be delivered while another message has it": _claimed_by_another,
    "become a graph of 200 (a map)": _becoming_a_graph,
    "end when that graph has": _having_become_a_graph,
    "be watched after the end": _watched,
    "be watched while it runs, 1,000 tasks": _watched_while_it_runs,
    "be asked for its status after the end": _asked_for_status,
    "be asked for its status with 4 open blocks": _asked_for_status_while_it_runs,
    "be asked for its result": _asked_for_its_result,
}


@pytest.mark.parametrize("line", budget(HEADING))
async def test_it_costs_what_the_table_says(line: str) -> None:
    till = GraphTill()
    with till.app.shell.rewired(till.wiring):
        assert await LINES[line](till) == budget(HEADING)[line]
        await till.engine.close()


def test_the_table_and_the_test_have_the_same_lines() -> None:
    assert list(budget(HEADING)) == list(LINES)
