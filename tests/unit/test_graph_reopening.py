"""Retrying what failed: a new epoch, in which only that runs again, safe against death anywhere."""

from __future__ import annotations

from typing import Any

import pytest

from boilermaker_fn.entities import ANY_ETAG, MAX_TRANSACTION_BYTES, Delete, Entity
from boilermaker_fn.graph.plan import Input, Plan, Step
from boilermaker_fn.graph_progress.heads import GraphStatus
from boilermaker_fn.graph_progress.keys import CALLBACK, GraphKey
from boilermaker_fn.graph_progress.resolution import Source, started, values_of
from boilermaker_fn.graph_progress.resolution import step as resolved
from boilermaker_fn.outcomes import Succeeded
from boilermaker_fn.performing import performed
from boilermaker_fn.table_effects import Read
from tests.yard import AGAIN, BAD, Died, Yard, effects, fan, node_of, plan, step, work, writes


async def ended(graph: Plan, *bad: int) -> Yard:
    """A graph that has ended, of which these have failed."""
    yard = Yard()
    for number in bad:
        yard.outcomes["g", number] = [BAD]
    await yard.publish(graph)
    await yard.play()
    yard.ran.clear()
    return yard


LINE = plan(step(), step(0), step(1), callback=work())


async def test_what_failed_and_what_waits_for_it_runs_again() -> None:
    yard = await ended(LINE, 1)
    assert (await yard.nodes(), await yard.status()) == ("sfks", GraphStatus.FAILED)
    assert await yard.reopen() == "reopened"
    head = await yard.head()
    assert (head.status, head.graph.epoch, head.finished_at) == (GraphStatus.RUNNING, 1, 0)
    assert await yard.nodes() == "sppp"
    await yard.play()
    assert (await yard.nodes(), yard.ran, await yard.status()) == ("sssk", [1, 2], GraphStatus.SUCCEEDED)


async def test_as_often_as_it_fails() -> None:
    yard = await ended(LINE, 1)
    for epoch in (1, 2, 3):
        yard.outcomes["g", 1] = [AGAIN, BAD]
        await yard.reopen()
        await yard.play()
        assert (await yard.nodes(), await yard.status()) == ("sfks", GraphStatus.FAILED)
        assert ((await yard.head()).graph.epoch, (await yard.node(1)).attempt) == (epoch, 2)
    assert yard.ran == [1, 1, CALLBACK] * 3


async def test_a_node_begins_anew_with_nothing_of_its_last_end() -> None:
    yard = await ended(LINE, 1)
    yard.outcomes["g", 1] = [AGAIN, BAD]
    await yard.reopen()
    before = await yard.node(1)
    assert (before.attempt, before.claim, before.due, before.reason, before.error) == (1, None, 0, "", None)
    assert (before.started_at, before.finished_at, before.epoch) == (0, 0, 1)


@pytest.mark.parametrize("status", ["running", "success", "cancelling", "abandoned", None])
async def test_only_what_has_ended_badly_can_be_reopened(status: str | None) -> None:
    yard = Yard()
    if status is None:
        assert await yard.reopen() == "gone"
        return
    if status == "abandoned":
        with pytest.raises(Died):
            await yard.publish(LINE, die=effects(5))
    else:
        await yard.publish(LINE)
    if status in ("success", "abandoned"):
        await yard.play()
    if status == "cancelling":
        with pytest.raises(Died):
            await yard.cancel(die=effects(3))
    assert await yard.status() == status
    assert (await yard.reopen()).startswith("held: ")
    assert (await yard.head()).graph.epoch == 0


async def test_a_handler_that_ran_runs_again_if_and_only_if_that_fails_again() -> None:
    graph = plan(step(), step(guards=(0,)), step(1), step(0))
    for again in (True, False):
        yard = await ended(graph, 0)
        assert await yard.nodes() == "fsks"
        yard.outcomes["g", 0] = [BAD] if again else []
        await yard.reopen()
        assert await yard.nodes() == "pppp"
        await yard.play()
        assert await yard.nodes() == ("fsks" if again else "sksk")


async def test_a_handler_that_failed_waits_again_for_what_it_guards() -> None:
    yard = await ended(plan(step(), step(guards=(0,))), 0, 1)
    await yard.reopen()
    sent = [node_of(one) for one in yard.waiting()]
    assert [node.number for node in sent if node is not None] == [0]
    await yard.play()
    assert (await yard.nodes(), yard.ran) == ("sk", [0])


async def test_rows_that_are_missing_among_those_of_another_are_added() -> None:
    yard = await ended(LINE, 1)
    with pytest.raises(Died):
        await yard.reopen(die=writes(2))
    await yard.table.write([Delete(Entity(*GraphKey("g", 1).node(2), etag=ANY_ETAG))])
    await yard.reopen()
    await yard.play()
    assert await yard.nodes() == "sssk"


async def test_a_handler_of_what_has_succeeded_stays_skipped() -> None:
    yard = await ended(plan(step(), step(guards=(0,)), step(1), step(), step(3)), 2)
    before = await yard.nodes()
    await yard.reopen()
    await yard.work()
    assert (before.count("k"), (await yard.nodes()).count("k")) == (3, 2)
    assert await yard.status() is GraphStatus.SUCCEEDED


async def test_a_cancelled_graph_goes_on_where_it_was() -> None:
    yard = Yard()
    await yard.publish(fan(150))
    await yard.next()
    await yard.next()
    await yard.cancel()
    await yard.reopen()
    await yard.play()
    assert (await yard.nodes(), sorted(yard.ran)) == ("s" * 152, [*range(152)])


async def test_of_a_cancelled_graph_all_can_have_succeeded() -> None:
    yard = Yard()
    await yard.publish(plan(step(), step()))
    await yard.next()
    with pytest.raises(Died):
        await yard.next(die=effects(5))
    assert await yard.cancel() == GraphStatus.CANCELLED
    yard.lose()
    await yard.reopen()
    await yard.work()
    assert (await yard.nodes(), await yard.status()) == ("ss", GraphStatus.SUCCEEDED)


async def test_blocks_in_which_nobody_runs_have_ended_in_the_new_epoch() -> None:
    yard = await ended(fan(350), 351)
    await yard.reopen()
    await yard.work()
    assert (yard.ran, await yard.status()) == ([351], GraphStatus.SUCCEEDED)


async def test_large_tasks_and_results_are_copied_in_as_many_transactions_as_they_need() -> None:
    big = {"args": ["x" * 200_000], "kwargs": {}}
    yard = Yard()
    size = 30
    for number in range(size):
        yard.outcomes["g", number] = [Succeeded('"' + "y" * 200_000 + '"')]
    yard.outcomes["g", size] = [BAD]
    await yard.publish(plan(*(step(payload=big) for _ in range(size)), step(*range(size))))
    await yard.play()
    assert size * 400_000 > 2 * MAX_TRANSACTION_BYTES
    assert await yard.reopen() == "reopened"
    await yard.play()
    assert await yard.nodes() == "s" * (size + 1)
    assert len((await yard.node(3)).result) == 200_002


async def test_a_result_in_many_rows_is_read_in_a_later_epoch() -> None:
    text = '"' + "z" * 3_000_000 + '"'
    yard = Yard()
    yard.outcomes["g", 0], yard.outcomes["g", 1] = [Succeeded(text)], [BAD]
    await yard.publish(plan(step(), Step(work(payload={"args": [None], "kwargs": {}}), (0,), (), (Input(0, (0,)),))))
    await yard.play()
    await yard.reopen()
    await yard.play()
    assert await yard.nodes() == "ss"
    graph = GraphKey("g", 1)
    state, effect = started(graph, [0])
    while effect is not None:
        answer: Any = await performed(effect, yard.table, yard.clock)
        state, effect = resolved(state, answer)
    assert len(values_of(state)[Source(graph, 0)]) == 3_000_000


# -- death, and company ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(3, 30))
async def test_whoever_dies_anywhere_leaves_it_to_the_watchdog(count: int) -> None:
    yard = await ended(plan(*(step() for _ in range(150)), step(*range(150)), callback=work()), 120)
    try:
        await yard.reopen(die=effects(count))
    except Died:
        yard.lose()
    await yard.play()
    assert (await yard.nodes(), sorted(yard.ran)) == ("s" * 151 + "k", [120, 150])
    assert ((await yard.head()).graph.epoch, await yard.status()) == (1, GraphStatus.SUCCEEDED)


async def test_whoever_dies_before_the_watchdog_knows_has_done_nothing() -> None:
    yard = await ended(LINE, 1)
    with pytest.raises(Died):
        await yard.reopen(die=effects(2))
    await yard.play()
    assert ((await yard.head()).graph.epoch, await yard.status()) == (0, GraphStatus.FAILED)


@pytest.mark.parametrize("count", range(1, 20))
async def test_two_at_once_do_the_same(count: int) -> None:
    yard = await ended(plan(*(step() for _ in range(120)), step(*range(120)), callback=work()), 3, 110)
    seen, endings = 0, []

    async def another(_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == count:
            endings.append(await yard.reopen())
            await yard.work(count % 2)

    endings.append(await yard.reopen(meanwhile=another))
    assert "reopened" in endings
    await yard.play()
    assert (await yard.nodes(), sorted(yard.ran)) == ("s" * 121 + "k", [3, 110, 120])
    assert (await yard.head()).graph.epoch == 1


async def test_a_zombie_of_the_epoch_before_changes_nothing() -> None:
    yard = await ended(LINE, 1)
    old = next(one for one in yard.sent if (node := node_of(one)) and node.number == 1)
    await yard.reopen()
    assert await yard.deliver(old) == "gone"
    assert await yard.nodes() == "sppp"
    await yard.play()
    assert await yard.nodes() == "sssk"


async def test_a_delay_counts_from_when_it_is_sent_again() -> None:
    yard = await ended(plan(step(delay=600.0, queue="slow")), 0)
    at = yard.clock()
    await yard.reopen()
    (message,) = (one for one in yard.waiting() if node_of(one))
    assert (message.queue, message.not_before) == ("slow", at + 600)


async def test_the_watchdog_does_not_reopen_what_another_one_reopened_meanwhile() -> None:
    yard = await ended(LINE, 1)
    with pytest.raises(Died):
        await yard.reopen(die=effects(3))
    (watch,) = yard.waiting()
    reads = 0

    async def faster(effect: Any) -> None:
        nonlocal reads
        reads += isinstance(effect, Read)
        if reads == 2:  # the head has been read once: it was that of the epoch before
            reads += 1
            yard.outcomes["g", 1] = [BAD]
            await yard.reopen()
            await yard.work()

    await yard.deliver(watch, meanwhile=faster)
    await yard.play()
    assert ((await yard.head()).graph.epoch, await yard.status()) == (1, GraphStatus.FAILED)
