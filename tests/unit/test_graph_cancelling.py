"""Cancelling a graph: what waits never runs, what runs ends by itself, and then the graph has been cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn import effects as fx
from boilermaker_fn.graph.builder import TaskGraphBuilder
from boilermaker_fn.graph.plan import Plan
from boilermaker_fn.graph_errors import GraphCancelled, GraphNotFound, GraphNotRetried
from boilermaker_fn.graph_progress.heads import GraphStatus
from boilermaker_fn.graph_progress.keys import CALLBACK, GraphKey
from boilermaker_fn.graph_progress.rows import WATCHED, NodeStatus
from boilermaker_fn.messages import Message
from boilermaker_fn.outcomes import Grown, Reason
from tests.cast import Cast
from tests.stage import staged
from tests.yard import AGAIN, BAD, Died, Yard, effects, fan, node_of, plan, step, work

LINE = plan(step(), step(0), step(1), callback=work())


async def published(graph: Plan = LINE) -> Yard:
    yard = Yard()
    await yard.publish(graph)
    return yard


async def running(yard: Yard, number: int = 0) -> Message:
    """Begin a node, whose worker goes on later as a zombie: its message comes again."""
    message = next(one for one in yard.waiting() if (node := node_of(one)) and node.number == number)
    with pytest.raises(Died):
        await yard.next(die=lambda effect: isinstance(effect, fx.Run))
    return message


async def test_what_waits_is_skipped_and_the_graph_has_ended_at_once() -> None:
    yard = await published()
    await yard.next()
    assert await yard.cancel() == GraphStatus.CANCELLED
    assert (await yard.nodes(), yard.ran) == ("sxxk", [0])
    assert {(await yard.node(number)).reason for number in (1, 2)} == {Reason.Cancelled}
    await yard.play()
    assert (await yard.nodes(), yard.ran, await yard.status()) == ("sxxk", [0], GraphStatus.CANCELLED)


async def test_what_runs_ends_by_itself_and_then_the_graph_has_ended() -> None:
    yard = await published()
    await running(yard)
    assert await yard.cancel() == GraphStatus.CANCELLING
    assert await yard.nodes() == "rxxp"
    await yard.play()
    assert (await yard.nodes(), yard.ran, await yard.status()) == ("sxxk", [0], GraphStatus.CANCELLED)


async def test_what_fails_afterwards_calls_nobody() -> None:
    yard = await published(plan(step(), step(guards=(0,)), step(0), callback=work()))
    yard.outcomes["g", 0] = [BAD]
    await running(yard)
    await yard.cancel()
    await yard.play()
    assert (await yard.nodes(), yard.ran, await yard.status()) == ("fxxk", [0], GraphStatus.CANCELLED)


async def test_what_asks_for_another_attempt_afterwards_gets_none() -> None:
    yard = await published()
    yard.outcomes["g", 0] = [AGAIN]
    await running(yard)
    await yard.cancel()
    await yard.play()
    assert (await yard.nodes(), yard.ran, await yard.status()) == ("xxxk", [0], GraphStatus.CANCELLED)


@pytest.mark.parametrize("at", range(1, 10))
async def test_a_claim_and_a_retry_between_its_steps(at: int) -> None:
    """A node is claimed at one moment of the cancelling, and asks for another attempt at a later one."""
    for outcome, ended in ((AGAIN, "x"), (BAD, "f")):
        yard = await published(plan(step(), step(0), callback=work()))
        yard.outcomes["g", 0] = [outcome]
        seen = 0

        async def meanwhile(effect: Any, yard: Yard = yard) -> None:
            nonlocal seen
            seen += 1
            if seen == at:
                await yard.next()

        await yard.cancel(meanwhile=meanwhile)
        await yard.play()
        found = await yard.nodes()
        assert found in (f"{ended}xk", f"{ended}kk", "xxk", "fks")
        assert await yard.status() in (GraphStatus.CANCELLED, GraphStatus.FAILED)


async def test_a_claim_at_the_moment_of_marking_saves_nobody_else() -> None:
    yard = await published(plan(*(step() for _ in range(5))))

    async def claimed(effect: Any) -> None:
        if len(getattr(effect, "operations", ())) == 5:
            await running(yard)

    assert await yard.cancel(meanwhile=claimed) == GraphStatus.CANCELLING
    assert await yard.nodes() == "rxxxx"
    await yard.play()
    assert (await yard.nodes(), yard.ran) == ("sxxxx", [0])


async def test_a_graph_of_many_blocks() -> None:
    yard = await published(fan(350))
    await yard.work()
    yard = await published(fan(350))
    await yard.next()
    before = yard.operations
    assert await yard.cancel() == GraphStatus.CANCELLED
    assert await yard.nodes() == "s" + "x" * 351
    # For each of four blocks: a look, a mark, another look, its end; then the graph's.
    assert yard.operations - before <= 4 * 4 + 6


@pytest.mark.parametrize("count", range(2, 14))
async def test_what_a_dead_one_left_the_watchdog_goes_on_with(count: int) -> None:
    yard = await published(plan(*(step() for _ in range(3)), step(0, 1, 2), callback=work()))
    await yard.next()
    try:
        await yard.cancel(die=effects(count))
        died = False
    except Died:
        died = True
    yard.lose()
    await yard.play()
    expected = (GraphStatus.CANCELLED,) if count > 2 or not died else (GraphStatus.SUCCEEDED,)
    assert await yard.status() in expected


async def test_the_watchdog_starts_nobody_who_asks_for_another_attempt_meanwhile() -> None:
    """Its row says so after all that waited was marked, and its worker dies before it looks at the head."""
    yard = await published(plan(step(), step()))
    yard.outcomes["g", 0] = [AGAIN]
    await running(yard)
    await yard.cancel()
    (again,) = yard.lose(0)
    yard.lose()
    (watch,) = yard.waiting()

    async def retried(effect: Any) -> None:
        if getattr(effect, "select", None) == WATCHED:
            yard.clock.now += 2000
            with pytest.raises(Died):
                await yard.deliver(again, die=effects(5))
            assert (await yard.node(0)).attempt == 2
            yard.clock.now += 2000

    await yard.deliver(watch, meanwhile=retried)
    assert not [one for one in yard.waiting() if node_of(one)]
    await yard.play()
    assert (await yard.nodes(), await yard.status()) == ("xx", GraphStatus.CANCELLED)


async def test_it_can_be_asked_for_twice() -> None:
    yard = await published()
    await running(yard)

    async def again(_: Any) -> None:
        await yard.cancel()

    assert await yard.cancel(meanwhile=again) == GraphStatus.CANCELLING
    await yard.play()
    assert (await yard.status(), await yard.cancel()) == (GraphStatus.CANCELLED, GraphStatus.CANCELLED)


async def test_what_has_ended_stays_as_it_is() -> None:
    yard = await published()
    await yard.play()
    assert await yard.cancel() == GraphStatus.SUCCEEDED
    assert await yard.nodes() == "sssk"


async def test_there_is_no_such_graph() -> None:
    assert await Yard().cancel("nobody") == "gone"


async def test_a_graph_of_which_all_have_succeeded_and_nobody_said_so() -> None:
    yard = await published(plan(step(), step()))
    await yard.next()
    with pytest.raises(Died):
        await yard.next(die=effects(5))  # its end is written, and nothing is looked at
    assert await yard.cancel() == GraphStatus.CANCELLED
    await yard.play()
    assert await yard.nodes() == "ss"


async def test_a_callback_that_runs_already_ends_the_graph() -> None:
    yard = await published(plan(step(), callback=work()))
    yard.outcomes["g", 0] = [BAD]
    await yard.next()
    await running(yard, CALLBACK)
    assert await yard.cancel() == GraphStatus.CANCELLING
    await yard.play()
    assert (await yard.nodes(), await yard.status()) == ("fs", GraphStatus.CANCELLED)


# -- graphs within graphs ----------------------------------------------------------------------------------------------


async def grown(depth: int) -> tuple[Yard, list[str]]:
    """A graph whose first node has become a graph, whose first node has become one, and so on."""
    yard, ids = await published(), ["g"]
    for _ in range(depth):
        yard.outcomes[ids[-1], 0] = [Grown(plan(step(), step(0), graph_id="inner"))]
        await yard.next()
        ids.append((await yard.node(0, ids[-1])).subgraph)
    return yard, ids


@pytest.mark.parametrize("depth", [1, 3])
async def test_graphs_that_nodes_became_are_cancelled_too(depth: int) -> None:
    yard, ids = await grown(depth)
    await yard.cancel()
    ran = [*yard.ran]
    await yard.work(60)
    for graph_id in ids:
        assert await yard.status(graph_id) is GraphStatus.CANCELLED
    assert yard.ran == ran
    assert (await yard.node(0)).status is NodeStatus.FAILED


async def test_a_graph_that_a_node_becomes_meanwhile_does_not_begin() -> None:
    yard = await published()
    slow = plan(step(), step(0, delay=86400.0), graph_id="inner")
    yard.outcomes["g", 0] = [Grown(slow)]
    await running(yard)
    assert await yard.cancel() == GraphStatus.CANCELLING
    await yard.work(3600)
    assert await yard.status() is GraphStatus.CANCELLED
    assert (await yard.nodes(), yard.ran) == ("xxxk", [0])
    (inner,) = {row.row for row in await _listed(yard)} - {"g"}
    assert await yard.status(inner) is GraphStatus.ABANDONED


async def test_the_watchdog_tells_a_node_again_that_its_graph_has_ended() -> None:
    yard, ids = await grown(1)
    await yard.next()
    await yard.next()
    yard.lose()
    assert await yard.status(ids[1]) is GraphStatus.SUCCEEDED
    (watch,) = (one for one in yard.waiting() if one.message_id.startswith(ids[1]))
    assert await yard.deliver(watch) == "over"
    assert [node.graph.graph_id for one in yard.waiting() if (node := node_of(one))] == ["g"]
    await yard.play()
    assert (await yard.nodes(), await yard.status()) == ("sssk", GraphStatus.SUCCEEDED)


async def test_a_graph_for_which_no_node_waits_is_given_up() -> None:
    """Its publisher wrote all of it and died before the node's row said so; somebody else has made another."""
    yard = await published()
    yard.outcomes["g", 0] = [Grown(plan(step(), graph_id="inner"))] * 2

    def binding(effect: Any) -> bool:
        operations = getattr(effect, "operations", ())
        return any("subgraph" in operation.entity.values for operation in operations)

    with pytest.raises(Died):
        await yard.next(die=binding)
    orphans = [row.row for row in await _listed(yard)]
    await yard.play()
    kept = (await yard.node(0)).subgraph
    (orphan,) = {*orphans} - {kept, "g"}
    assert await yard.status(orphan) is GraphStatus.ABANDONED
    assert not await yard.rows(GraphKey(orphan).block_partition(0))
    assert (await yard.nodes(), await yard.status()) == ("sssk", GraphStatus.SUCCEEDED)


async def _listed(yard: Yard) -> list[Any]:
    from boilermaker_fn.graph_progress.listing import partitions

    return [row for partition in partitions() for row in await yard.rows(partition)]


# -- by its handle -----------------------------------------------------------------------------------------------------


async def test_a_handle_cancels_and_retries() -> None:
    app = Boilermaker([])
    async with staged(app) as stage:
        cast = Cast(stage)
        first, second = cast("first"), cast("second")
        handle = await cast.publish(TaskGraphBuilder().add(first).then(second).build(graph_id="g"))
        with pytest.raises(GraphNotRetried, match="is running"):
            await handle.retry_failed()
        assert await handle.cancel() is True
        await stage.play()
        with pytest.raises(GraphCancelled):
            await handle.result()
        assert app.state == []
        await handle.retry_failed()
        await stage.play()
        assert await handle.result() == "second"
        assert await handle.cancel() is False
        with pytest.raises(GraphNotRetried, match="has succeeded"):
            await handle.retry_failed()


async def test_a_handle_of_nothing() -> None:
    app = Boilermaker([])
    async with staged(app) as stage:
        cast = Cast(stage)
        handle = await cast.publish(TaskGraphBuilder().add(cast("a")).build(graph_id="g"))
        nobody = type(handle)("nobody", stage.wiring, app.shell.registry)
        with pytest.raises(GraphNotFound):
            await nobody.cancel()
        with pytest.raises(GraphNotFound):
            await nobody.retry_failed()
