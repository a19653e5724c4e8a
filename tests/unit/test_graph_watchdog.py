"""The watchdog: whatever was lost, a published graph ends; what was never published whole goes away."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from boilermaker_fn import effects as fx
from boilermaker_fn import table_effects as tx
from boilermaker_fn.entities import Merge
from boilermaker_fn.errors import StoreUnavailable
from boilermaker_fn.graph_progress import watchdog
from boilermaker_fn.graph_progress.heads import GraphStatus
from boilermaker_fn.graph_progress.keys import CALLBACK, GraphKey
from boilermaker_fn.graph_progress.messages import WatchMessage, decoded, watch_message
from boilermaker_fn.graph_progress.rows import NodeStatus, changed
from boilermaker_fn.graph_progress.watch_state import LONGEST, State
from boilermaker_fn.messages import POSTPONED, Delivery
from tests.yard import AGAIN, BAD, HOME, RULES, Died, Yard, effects, fan, node_of, plan, sends, step, work, writes

LINE = plan(step(), step(0), step(1))


async def published(graph: Any = LINE) -> Yard:
    yard = Yard()
    await yard.publish(graph)
    return yard


# -- what can be lost --------------------------------------------------------------------------------------------------


async def test_a_lost_root_is_sent_again_under_another_id() -> None:
    yard = await published()
    (lost,) = yard.lose(0)
    assert await yard.next() == "watched"
    (again,) = (message for message in yard.waiting() if node_of(message))
    assert again.message_id != lost.message_id
    await yard.play()
    assert (await yard.nodes(), yard.ran, await yard.status()) == ("sss", [0, 1, 2], GraphStatus.SUCCEEDED)


async def test_a_lost_child_is_sent_again() -> None:
    yard = await published()
    await yard.next()
    yard.lose(1)
    await yard.play()
    assert (await yard.nodes(), yard.ran) == ("sss", [0, 1, 2])


async def test_a_child_in_another_block_is_sent_again_and_runs_once() -> None:
    yard = await published(fan(150))
    await yard.next()
    yard.lose(140)
    await yard.work()
    yard.lose(151)
    await yard.play()
    assert (await yard.nodes(), sorted(yard.ran)) == ("s" * 152, [*range(152)])


async def test_a_lost_retry_is_sent_again_when_it_is_due_and_not_before() -> None:
    yard = await published()
    yard.outcomes["g", 0] = [AGAIN]
    await yard.next()
    (retry,) = yard.lose(0)
    assert await yard.watch() == "watched"
    assert not [one for one in yard.waiting() if node_of(one)]
    assert retry.not_before is not None
    yard.clock.now = retry.not_before
    assert await yard.watch() == "watched"
    await yard.play()
    assert (await yard.nodes(), yard.ran) == ("sss", [0, 0, 1, 2])


async def test_a_claim_that_has_expired_is_taken_over() -> None:
    yard = await published()
    with pytest.raises(Died):
        await yard.next(die=lambda effect: isinstance(effect, fx.Run))
    yard.lose()
    assert await yard.watch() == "watched"  # the claim lives
    assert not [one for one in yard.waiting() if node_of(one)]
    await yard.play()
    assert (await yard.nodes(), yard.ran) == ("sss", [0, 1, 2])


@pytest.mark.parametrize("count", range(1, 12))
async def test_a_worker_that_dies_before_any_effect_and_whose_message_is_lost(count: int) -> None:
    for outcome in ([], [BAD], [AGAIN]):
        yard = await published(plan(step(), step(0), step(guards=(0,)), step(2), callback=work()))
        yard.outcomes["g", 0] = outcome * 2
        try:
            await yard.next(die=effects(count))
        except Died:
            yard.lose()
        await yard.play()
        assert await yard.nodes() == ("fskss" if outcome == [BAD] else "skskk")
        assert await yard.status() is (GraphStatus.FAILED if outcome == [BAD] else GraphStatus.SUCCEEDED)


async def test_whoever_fails_and_dies_leaves_nobody_waiting_in_other_blocks() -> None:
    yard = await published(fan(250))
    await yard.next()
    yard.outcomes["g", 100] = [BAD]
    message = next(one for one in yard.waiting() if (node := node_of(one)) and node.number == 100)
    yard.lose(100)
    with pytest.raises(Died):
        await yard.deliver(message, die=writes(3))
    await yard.work()
    await yard.watch()
    sent = [node_of(one) for one in yard.waiting()]
    assert [node.number for node in sent if node is not None] == [100]
    await yard.play()
    assert await yard.nodes() == "s" * 100 + "f" + "s" * 150 + "k"
    assert await yard.status() is GraphStatus.FAILED


async def test_a_handler_of_several_blocks_runs_when_its_message_is_lost() -> None:
    yard = await published(shared(150))
    yard.outcomes["g", 3] = [BAD]
    await yard.work()
    await yard.next()
    await yard.play()
    assert yard.ran.count(150) == 1


@pytest.mark.parametrize("bad", [(), (3,), (3, 120)])
async def test_a_handler_of_several_blocks_when_every_advance_is_lost(bad: tuple[int, ...]) -> None:
    """Each guard's end is written and its worker dies then."""
    yard = await published(shared(150))
    for number in bad:
        yard.outcomes["g", number] = [BAD]
    for message in yard.lose():
        with pytest.raises(Died):
            await yard.deliver(message, die=effects(5))
    assert (await yard.nodes()).count("p") == 2
    await yard.play()
    assert (await yard.nodes())[150:] == ("ss" if bad else "kk")
    assert yard.ran.count(150) == yard.ran.count(151) == bool(bad)
    assert await yard.status() is (GraphStatus.FAILED if bad else GraphStatus.SUCCEEDED)


def shared(width: int) -> Any:
    """So many steps, a handler of all of them, and one that waits for it."""
    return plan(*(step() for _ in range(width)), step(guards=tuple(range(width))), step(width))


async def test_a_pending_handler_is_never_sent_while_what_it_guards_has_not_failed() -> None:
    yard = await published(plan(step(), step(0), step(guards=(0,)), step(guards=(0, 1))))
    await yard.next()
    yard.lose(2)
    for _ in range(3):
        await yard.watch()
    assert {node.number for one in yard.sent if (node := node_of(one))} == {0, 2}
    await yard.play()
    assert (await yard.nodes(), yard.ran) == ("sksk", [0, 2])


@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.parametrize("count", range(1, 14))
async def test_whoever_dies_at_the_end_of_a_graph_leaves_it_to_the_watchdog(count: int, bad: bool) -> None:
    yard = await published(plan(step(), step(), callback=work()))
    yard.outcomes["g", 0] = [BAD] if bad else []
    await yard.next()
    for die in (effects(count), effects(count)):
        try:
            await yard.next(die=die)
        except Died:
            yard.lose()
    await yard.play()
    assert await yard.nodes() == ("fss" if bad else "ssk")
    assert yard.ran.count(CALLBACK) == bad
    assert await yard.status() is (GraphStatus.FAILED if bad else GraphStatus.SUCCEEDED)


async def test_the_callback_is_sent_again_when_it_was_lost_or_has_died() -> None:
    yard = await published(plan(step(), callback=work()))
    yard.outcomes["g", 0] = [BAD]
    await yard.next()
    (message,) = yard.lose(CALLBACK)
    await yard.watch()
    assert [node_of(one) for one in yard.waiting() if node_of(one)] != [node_of(message)]
    with pytest.raises(Died):
        await yard.next(die=lambda effect: isinstance(effect, fx.Run))
    yard.lose()
    await yard.play()
    assert (await yard.nodes(), await yard.status()) == ("fs", GraphStatus.FAILED)


# -- when, and where to ------------------------------------------------------------------------------------------------


async def test_what_waits_for_its_time_is_never_early() -> None:
    yard = await published(plan(step(delay=3600.0, queue="slow"), step(0)))
    yard.lose()
    at = yard.clock()
    await yard.watch()
    (again,) = (message for message in yard.waiting() if node_of(message))
    assert (again.queue, again.not_before) == ("slow", at + 3600)
    await yard.play()
    assert await yard.nodes() == "ss"


async def test_a_retry_does_not_wait_for_its_first_time_again() -> None:
    yard = await published(plan(step(delay=3600.0)))
    yard.outcomes["g", 0] = [AGAIN]
    await yard.work(3600)
    yard.lose()
    yard.clock.now += 60
    await yard.watch()
    (again,) = (message for message in yard.waiting() if node_of(message))
    assert again.not_before is None


async def test_the_distance_between_two_looks_grows() -> None:
    yard = await published(plan(step(delay=30 * 86400.0)))
    looks = []
    for _ in range(10):
        (watch,) = (one for one in yard.waiting() if isinstance(decoded(one.body), WatchMessage))
        looks.append(watch.not_before)
        yard.lose()
        await yard.next()
    distances = [later - earlier for earlier, later in pairwise(looks)]
    assert distances == [600, 1200, 2400, 4800, 9600, 19200, LONGEST, LONGEST, LONGEST]


async def test_a_graph_that_goes_on_well_is_left_alone() -> None:
    yard = await published(fan(20))
    await yard.work()
    before = len(yard.sent)
    await yard.play()
    assert (len(yard.sent), yard.operations > 0) == (before, True)


# -- publishers that die -----------------------------------------------------------------------------------------------


async def dead_publisher(die: Callable[[Any], bool], graph: Any) -> Yard:
    yard = Yard()
    with pytest.raises(Died):
        await yard.publish(graph, die=die)
    return yard


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
async def test_what_a_dead_publisher_left_goes_away_behind_a_head_that_says_so(count: int) -> None:
    graph = plan(*(step() for _ in range(250)), callback=work())
    yard = await dead_publisher(writes(count), graph)
    await yard.play()
    assert await yard.status() is GraphStatus.ABANDONED
    for block in range(3):
        assert not await yard.rows(GraphKey("g").block_partition(block))
    assert [row.row for row in await yard.rows(GraphKey("g").head_partition)] == ["head"]
    assert not yard.ran


async def test_a_publisher_has_its_time() -> None:
    yard = await dead_publisher(writes(3), LINE)
    assert await yard.next() == "watched"
    assert await yard.publish(LINE) == "published"
    await yard.play()
    assert await yard.nodes() == "sss"


async def test_a_publisher_that_is_too_late_meets_the_head() -> None:
    """It has written all but the head when the watchdog comes, and goes on afterwards."""
    yard = Yard()

    async def watched(effect: Any) -> None:
        if isinstance(effect, tx.Write) and effect.operations[-1].entity.row == "head":
            yard.clock.now += 1000
            await yard.watch()

    assert "given up" in await yard.publish(LINE, meanwhile=watched)
    assert await yard.status() is GraphStatus.ABANDONED
    await yard.play()
    assert not yard.ran


async def test_a_publisher_that_died_after_the_head_is_finished() -> None:
    yard = await dead_publisher(sends(2), LINE)
    await yard.play()
    assert (await yard.nodes(), yard.ran) == ("sss", [0, 1, 2])


async def test_removing_goes_on_where_a_watchdog_died() -> None:
    yard = await dead_publisher(writes(4), plan(*(step() for _ in range(250))))
    yard.clock.now += 1000
    (watch,) = yard.waiting()
    with pytest.raises(Died):
        await yard.deliver(watch, die=writes(3))
    assert await yard.status() is GraphStatus.ABANDONED
    assert await yard.watch() == "abandoned"
    assert not await yard.rows(GraphKey("g").block_partition(0))
    assert not await yard.rows(GraphKey("g").block_partition(1))


# -- when it has nothing to do -----------------------------------------------------------------------------------------


async def test_after_the_end_it_comes_once_more_and_no_more() -> None:
    yard = await published()
    await yard.work()
    assert await yard.next() == "over"
    assert not yard.waiting()


async def test_a_graph_that_was_purged_stays_away() -> None:
    yard = await published(plan(step(delay=86400.0)))
    await yard.next()
    yard.lose()
    key = GraphKey("g")
    await yard.table.write([changed_away(key)])
    assert await yard.next() == "gone"
    assert await yard.table.read(*key.head) is None


def changed_away(key: GraphKey) -> Any:
    from boilermaker_fn.entities import ANY_ETAG, Delete, Entity

    return Delete(Entity(*key.head, etag=ANY_ETAG))


async def test_an_earlier_epoch_is_left_alone() -> None:
    yard = await published()
    yard.outcomes["g", 0] = [BAD]
    (old,) = (one for one in yard.waiting() if isinstance(decoded(one.body), WatchMessage))
    await yard.work()
    await yard.reopen()
    assert await yard.deliver(old) == "outdated"


# -- the table, and the broker -----------------------------------------------------------------------------------------


class Down:
    """A table that does not answer."""

    async def read(self, *_: Any) -> None:
        raise StoreUnavailable("no answer")

    query = write = read


async def test_a_store_that_is_down_puts_it_off() -> None:
    yard = await published()
    yard.lose()
    table, yard.table = yard.table, Down()  # type: ignore[assignment]
    assert await yard.next() == "postponed"
    (again,) = yard.waiting()
    assert (again.properties[POSTPONED], again.not_before) == (1, yard.clock() + 5)
    yard.table = table
    await yard.play()
    assert await yard.nodes() == "sss"


async def test_one_that_the_broker_gave_up_comes_again_in_its_queue() -> None:
    yard = await published()
    yard.lose()
    (watch,) = yard.waiting()
    yard._queue.clear()
    delivery = Delivery(f"{HOME}/$deadletterqueue", watch.message_id, watch.body, 1, 10)
    content = decoded(watch.body)
    assert isinstance(content, WatchMessage)
    _, effect = watchdog.step(State(RULES, delivery, content), fx.SetAside(yard.clock()))
    assert isinstance(effect, fx.Send)
    assert [one.queue for one in effect.messages] == [HOME]
    yard.send(*effect.messages)
    await yard.play()
    assert await yard.nodes() == "sss"


async def test_a_worker_without_a_table_leaves_it_to_others() -> None:
    watch = WatchMessage(GraphKey("g"), 1, until=5.0)
    message = watch_message(watch, queue=HOME, not_before=0)
    delivery = Delivery(HOME, message.message_id, message.body, 1, 1)
    _, effect = watchdog.step(State(RULES._replace(keeps_rows=False), delivery, watch), fx.Delivered(10.0))
    assert isinstance(effect, fx.Send)
    assert [decoded(one.body) for one in effect.messages] == [watch._replace(round=2)]


async def test_what_no_queue_takes_is_told_its_node() -> None:
    yard = await published(plan(step(queue="nowhere"), callback=work()))
    yard.lose()
    (watch,) = yard.waiting()
    content = decoded(watch.body)
    assert isinstance(content, WatchMessage)
    state: Any = State(RULES, Delivery(HOME, watch.message_id, watch.body, 1, 1), content)
    state, effect = watchdog.step(state, fx.Delivered(yard.clock()))
    while not isinstance(effect, fx.Send):
        state, effect = watchdog.step(state, await yard._perform(state, effect))
    lost, following = effect.messages
    assert lost.queue == "nowhere"
    state, effect = watchdog.step(state, fx.Undeliverable(((lost, "no such queue"),), (following,), yard.clock()))
    assert isinstance(effect, fx.Send)
    assert {one.queue for one in effect.messages} == {HOME}
    yard.send(*effect.messages)
    await yard.play()
    assert (await yard.nodes(), (await yard.node(0)).reason) == ("fs", "Undeliverable")


async def test_a_row_of_somebody_waiting_is_asked_about() -> None:
    """Whoever waits for a graph of its own is told to look again."""
    yard = await published(LINE)
    yard.lose()
    row = await yard.node(0)
    waiting = {"status": str(NodeStatus.WAITING), "subgraph": "sub"}
    operation = changed(GraphKey("g"), 0, row.etag, **waiting)
    assert isinstance(operation, Merge)
    await yard.table.write([operation])
    await yard.watch()
    assert [node.number for one in yard.waiting() if (node := node_of(one))] == [0]
