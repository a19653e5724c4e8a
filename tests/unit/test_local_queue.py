"""The queue state machine by itself: clocks that jump, and the cost of a long queue."""

from __future__ import annotations

import re

import pytest

from boilermaker_fn.local import queue as queue_module
from boilermaker_fn.local import scheduling, settling
from boilermaker_fn.local import table as table_module
from boilermaker_fn.local.connection import connect
from boilermaker_fn.local.queue import MAX_LOCK_SECONDS, Rules, enqueue, next_due, receive
from boilermaker_fn.local.settling import complete
from boilermaker_fn.messages import DEAD_LETTER_SUFFIX, Message

NOON = 1_800_000_000.0
DAY = 86_400.0
RULES = Rules(lock_duration=60.0, max_delivery_count=3, duplicate_window=600.0)


@pytest.fixture
def connection():
    connection = connect(None)
    yield connection
    connection.close()


def send(connection, now, *ids, **options):
    enqueue(connection, now, [Message("q", message_id, b"", **options) for message_id in ids], RULES)


def take(connection, now, count=10, queue="q"):
    return receive(connection, now, queue, count, RULES).deliveries


def ids(deliveries):
    return [delivery.message_id for delivery in deliveries]


# The clock jumps back


def test_ready_messages_stay_ready_in_their_order(connection):
    send(connection, NOON, "a", "b")
    send(connection, NOON - DAY, "c")
    assert ids(take(connection, NOON - DAY)) == ["a", "b", "c"]


def test_a_lock_neither_ends_at_once_nor_lasts_long(connection):
    send(connection, NOON, "a")
    (held,) = take(connection, NOON)
    now = NOON - DAY
    assert take(connection, now) == []
    assert take(connection, now + MAX_LOCK_SECONDS - 1) == []
    (again,) = take(connection, now + MAX_LOCK_SECONDS)
    assert (again.message_id, again.delivery_count) == ("a", 2)
    assert again.lock_token != held.lock_token


def test_a_held_message_can_be_completed(connection):
    send(connection, NOON, "a")
    (held,) = take(connection, NOON)
    complete(connection, NOON - DAY, held)
    assert take(connection, NOON + DAY) == []


def test_a_duplicate_is_still_a_duplicate(connection):
    send(connection, NOON, "a")
    send(connection, NOON - DAY, "a")
    assert ids(take(connection, NOON + DAY)) == ["a"]


def test_a_schedule_is_kept(connection):
    send(connection, NOON, "a", not_before=NOON + 10)
    assert take(connection, NOON - DAY) == []
    assert ids(take(connection, NOON + 10)) == ["a"]


# When to look again


def test_the_next_due_time_is_that_of_a_schedule_or_a_lock(connection):
    assert next_due(connection, "q") is None
    send(connection, NOON, "later", not_before=NOON + 100)
    assert next_due(connection, "q") == NOON + 100
    send(connection, NOON, "now")
    assert next_due(connection, "q") == 0.0
    take(connection, NOON)
    assert next_due(connection, "q") == NOON + RULES.lock_duration


def test_many_that_expired_are_set_aside_in_several_steps(connection):
    send(connection, NOON, *(f"m{number}" for number in range(2500)), expires_at=NOON + 1)
    send(connection, NOON, "good")
    rounds = 0
    while not (found := take(connection, NOON + 2)):
        assert next_due(connection, "q") == 0.0
        rounds += 1
    assert ids(found) == ["good"]
    assert rounds > 1
    (dead,) = connection.execute(
        "SELECT count(*) FROM messages WHERE queue = ?", ("q" + DEAD_LETTER_SUFFIX,)
    ).fetchone()
    assert dead == 2500


def test_what_was_sent_long_ago_is_forgotten(connection):
    send(connection, NOON, *(f"m{number}" for number in range(1500)))
    send(connection, NOON + 601, "a")
    send(connection, NOON + 602, "b")
    assert connection.execute("SELECT count(*) FROM sent").fetchone() == (2,)


def test_what_was_sent_long_ago_is_no_duplicate_even_before_it_is_forgotten(connection):
    send(connection, NOON, *(f"m{number:04}" for number in range(2500)))
    for delivery in take(connection, NOON, 2500):
        complete(connection, NOON, delivery)
    send(connection, NOON + 601, "m2499")
    (kept,) = connection.execute("SELECT count(*) FROM sent").fetchone()
    assert kept > 1000
    assert ids(take(connection, NOON + 601)) == ["m2499"]


# Cost


STATEMENTS = {
    f"{module.__name__.rsplit('.', 1)[1]}{name}": text
    for module in (queue_module, scheduling, settling, table_module)
    for name, text in vars(module).items()
    if isinstance(text, str) and re.match("(SELECT|UPDATE|DELETE|INSERT) ", text)
}


def test_all_statements_are_known():
    assert len(STATEMENTS) >= 25


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_every_statement_goes_by_an_index(connection, statement):
    parameters = (1,) * max(statement.count("?"), *map(int, re.findall(r"\?(\d)", statement)), 0)
    numbered = {int(number) for number in re.findall(r"\?(\d)", statement)}
    plan = connection.execute(
        f"EXPLAIN QUERY PLAN {statement}", parameters[: max(numbered)] if numbered else parameters
    )
    details = [detail for _, _, _, detail in plan]
    assert [detail for detail in details if detail.startswith("SCAN") and detail != "SCAN CONSTANT ROW"] == []
    assert [detail for detail in details if "TEMP B-TREE" in detail] == []


@pytest.mark.parametrize("state", ["ready", "scheduled", "locked"])
def test_a_long_queue_costs_no_more_than_a_short_one(connection, state):
    def steps_of_a_cycle(now):
        count = 0

        def step():
            nonlocal count
            count += 1

        connection.set_progress_handler(step, 1)
        send(connection, now, f"new{now}")
        deliveries = take(connection, now, 1)
        complete(connection, now, deliveries[0])
        next_due(connection, "q")
        connection.set_progress_handler(None, 1)
        return count

    send(connection, NOON, "one", "two")
    short = steps_of_a_cycle(NOON)
    rules = Rules(duplicate_window=600.0)
    options = {"not_before": NOON + DAY} if state == "scheduled" else {}
    enqueue(connection, NOON, [Message("q", f"m{number}", b"", **options) for number in range(20_000)], rules)
    if state == "locked":
        receive(connection, NOON, "q", 19_000, rules)
    assert steps_of_a_cycle(NOON + 1) < 2 * short
