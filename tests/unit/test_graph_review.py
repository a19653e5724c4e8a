"""Faults that a reading of the graph protocol found: what went wrong, and stays right."""

from __future__ import annotations

import datetime
import random
from typing import Any

import pytest

from boilermaker_fn import Boilermaker, graph_publishing
from boilermaker_fn import table_effects as tx
from boilermaker_fn.graph.plan import Plan
from boilermaker_fn.graph_errors import GraphTimeout, GraphTooLarge
from boilermaker_fn.graph_progress.heads import GraphStatus
from boilermaker_fn.graph_progress.keys import GraphKey
from boilermaker_fn.graph_progress.layout import Layout, placed
from boilermaker_fn.outcomes import Reason
from boilermaker_fn.task import TaskGraphBuilder, TaskStatus
from tests.stage import staged
from tests.unit.test_graph_repairs_at_random import Drawn
from tests.yard import AGAIN, BAD, DAY, HOME, Died, Yard, fan, node_of, plan, step

# -- what begins anew ends without the watchdog ----------------------------------------------------------------


async def failed(graph: Plan | Layout, *bad: int) -> Yard:
    """A graph that has failed, whose watchdog has not looked at it yet."""
    yard = Yard()
    for number in bad:
        yard.outcomes["g", number] = [BAD]
    await yard.publish(graph)
    await yard.work()
    assert await yard.status() is GraphStatus.FAILED
    return yard


async def test_who_begins_anew_knows_what_has_come_from_blocks_in_which_nobody_does() -> None:
    yard = await failed(fan(350), 140)
    await yard.reopen()
    await yard.work()
    assert (yard.ran[-2:], await yard.status()) == ([140, 351], GraphStatus.SUCCEEDED)


async def test_a_handler_that_begins_anew_knows_so_too() -> None:
    graph = plan(step(), step(), step(guards=(0, 1)), step())
    yard = await failed(placed(graph, HOME, [[0], [1, 2], [3]]), 0)
    yard.outcomes["g", 0] = [BAD]
    await yard.reopen()
    await yard.work()
    assert (await yard.nodes(), yard.ran.count(101), await yard.status()) == ("fsss", 2, GraphStatus.FAILED)
    await yard.reopen()
    await yard.work()
    assert (await yard.nodes(), yard.ran.count(101), await yard.status()) == ("ssks", 2, GraphStatus.SUCCEEDED)


async def test_what_waits_for_a_handler_that_is_not_needed_does_not_begin_anew() -> None:
    # The last ones guard what is skipped with it: they too would wait for ever.
    graph = plan(step(), step(), step(guards=(1,)), step(0, 2), step(3), step(guards=(3,)), step(5))
    yard = await failed(graph, 0)
    await yard.reopen()
    await yard.work()
    assert ((await yard.nodes()).count("s"), await yard.status()) == (2, GraphStatus.SUCCEEDED)


@pytest.mark.parametrize("seed", range(150))
async def test_every_graph_that_is_begun_anew_ends_as_if_for_the_first_time(seed: int) -> None:
    chance = random.Random(seed)
    drawn, yard = Drawn(chance), Yard()
    fail(yard, drawn)
    await yard.publish(drawn.layout)
    await yard.work()
    assert await drawn.found(yard) == drawn.ending
    while await yard.status() is GraphStatus.FAILED:
        drawn.bad = {number for number in drawn.bad if chance.random() < 0.5}
        fail(yard, drawn)
        assert await yard.reopen() == "reopened"
        await yard.work()
        assert await drawn.found(yard) == drawn.ending
        assert (await yard.status()).ended


def fail(yard: Yard, drawn: Drawn) -> None:
    """Let the bad nodes of a graph fail, and no other."""
    yard.outcomes = {("g", drawn.layout.numbers[number]): [BAD] for number in drawn.bad}


# -- cancelling ------------------------------------------------------------------------------------------------


async def test_a_retry_of_a_cancelled_graph_is_not_run_though_its_worker_died() -> None:
    yard = Yard()
    yard.outcomes["g", 0] = [AGAIN]
    await yard.publish(plan(step(), step(0)))
    writes = 0

    async def cancelled_while_it_ran(effect: Any) -> None:
        nonlocal writes
        writes += isinstance(effect, tx.Write)
        if isinstance(effect, tx.Write) and writes == 2:
            assert await yard.cancel() == GraphStatus.CANCELLING

    with pytest.raises(Died):
        await yard.next(
            die=lambda effect: isinstance(effect, tx.Read) and effect.row == "head", meanwhile=cancelled_while_it_ran
        )
    await yard.work(3600)
    assert (yard.ran, await yard.nodes(), await yard.status()) == ([0], "xx", GraphStatus.CANCELLED)


# -- keys ------------------------------------------------------------------------------------------------------


async def test_removing_a_graph_leaves_one_alone_whose_id_looks_like_its_block() -> None:
    yard = Yard()
    await yard.publish(plan(step(), graph_id="job-0-0"))
    with pytest.raises(Died):
        await yard.publish(plan(step(), graph_id="job"), die=_before_its_head)
    await yard.play()
    assert await yard.status("job") is GraphStatus.ABANDONED
    assert await yard.status("job-0-0") is GraphStatus.SUCCEEDED


def _before_its_head(effect: Any) -> bool:
    return isinstance(effect, tx.Write) and effect.operations[0].entity.row == GraphKey("job").head.row


# -- values ----------------------------------------------------------------------------------------------------


async def test_the_value_of_the_callback_can_be_asked_for() -> None:
    app = Boilermaker(None)

    @app.task()
    async def fail(state: None) -> None:
        raise ValueError("no")

    @app.task()
    async def report(state: None) -> int:
        return 7

    async with staged(app) as stage:
        callback = app.create_task(report)
        handle = await app.publish_graph(TaskGraphBuilder().add(app.create_task(fail)).build(callback))
        await stage.deliver_all()
        assert (await handle.task(callback)).result == 7


async def test_a_result_that_is_no_text_fails_its_task_at_once() -> None:
    app = Boilermaker(None)

    @app.task()
    async def half(state: None) -> str:
        return "\ud83d"

    async with staged(app) as stage:
        task = app.create_task(half)
        handle = await app.publish_graph(TaskGraphBuilder().add(task).build())
        alone = await app.apply_async(half)
        await stage.deliver_all()
        result = await handle.task(task)
        assert (result.status, result.reason) == (TaskStatus.Failure, Reason.ResultNotSerializable)
        row = await stage.row(alone.task_id)
        assert await stage.reasons() == [Reason.ResultNotSerializable] * 2, row


# -- what the watchdog sends -----------------------------------------------------------------------------------


async def test_a_node_that_is_due_in_a_week_is_not_sent_in_each_round() -> None:
    yard = Yard()
    eta = datetime.datetime.fromtimestamp(yard.clock() + 7 * DAY, datetime.UTC)
    await yard.publish(plan(step(eta=eta)))
    await yard.play()
    assert len([message for message in yard.sent if node_of(message)]) == 2
    assert (yard.ran, yard.clock.passed // DAY) == ([0], 7)


async def test_it_runs_in_time_though_its_message_was_lost() -> None:
    yard = Yard()
    eta = yard.clock() + 7 * DAY
    await yard.publish(plan(step(eta=datetime.datetime.fromtimestamp(eta, datetime.UTC))))
    yard.lose()
    await yard.play()
    assert (yard.ran, (await yard.node(0)).started_at) == ([0], eta)


# -- a claim lasts -------------------------------------------------------------------------------------------------


async def test_a_claim_outlasts_the_wait_for_a_thread() -> None:
    app = Boilermaker([])

    @app.task(timeout=600)
    def in_a_thread(state: list[str]) -> None: ...

    @app.task(timeout=600)
    async def on_the_loop(state: list[str]) -> None: ...

    async with staged(app) as stage:
        builder = TaskGraphBuilder().parallel(app.create_task(in_a_thread), app.create_task(on_the_loop))
        handle = await app.publish_graph(builder.build())
        await stage.deliver_all()
        assert stage.engine.table is not None
        page = await stage.engine.table.query(GraphKey(handle.graph_id).block_partition(0))
        limits = [float(str(entity.values["claimed_until"])) - stage.clock() for entity in page.entities]
    assert limits == [DAY + 300, 900]


# -- what is too large is refused before anything is written -------------------------------------------------------


async def test_more_finals_than_a_head_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_publishing, "room_for", lambda name: 8)
    app = Boilermaker([])

    @app.task
    async def one(state: list[str]) -> None: ...

    async with staged(app) as stage:
        graph = TaskGraphBuilder().parallel(app.create_task(one), app.create_task(one)).build(graph_id="wide")
        with pytest.raises(GraphTooLarge):
            await app.publish_graph(graph)
        assert stage.engine.table is not None
        assert not (await stage.engine.table.query("graph-wide")).entities
        assert not await stage.waiting()


# -- what a handle says ------------------------------------------------------------------------------------------------


async def test_an_ended_graph_has_its_result_at_once_and_its_tasks_the_words_of_plain_ones() -> None:
    app = Boilermaker([])

    @app.task
    async def good(state: list[str]) -> int:
        return 7

    @app.task(max_retries=0, retry_on=(OSError,))
    async def tired(state: list[str]) -> None:
        raise OSError("again")

    @app.task(expires=1)
    async def late(state: list[str]) -> None: ...

    async with staged(app) as stage:
        handle = await app.publish_graph(TaskGraphBuilder().add(app.create_task(good)).build())
        with pytest.raises(GraphTimeout):
            await handle.result(timeout=0)
        await stage.deliver_all()
        assert await handle.result(timeout=0) == 7
        tasks = [app.create_task(tired), app.create_task(late)]
        failing = await app.publish_graph(TaskGraphBuilder().parallel(*tasks).build())
        stage.clock.now += 2
        await stage.deliver_all()
        found = [(await failing.task(task)).status for task in tasks]
    assert found == [TaskStatus.RetriesExhausted, TaskStatus.Expired]
