"""Does an app run inside Microsoft's own Python runtime? Indexed, loaded and invoked over the host's protocol."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from boilermaker_fn import Task
from boilermaker_fn.envelopes import decode, encode
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import DEAD_LETTER_DESCRIPTION, DEAD_LETTER_REASON
from boilermaker_fn.outcomes import Reason
from boilermaker_fn.task.result import TaskStatus
from tests.host.host import ROOT, FunctionsHost, Incoming
from tests.host.rpc import protos
from tests.host.seen import QUEUE, Seen, message, settings, task

# -- indexing ----------------------------------------------------------------------------------------------------------


def binding(queue: str) -> dict[str, str]:
    return {
        "direction": "IN",
        "type": "serviceBusTrigger",
        "name": "msg",
        "connection": "ServiceBusConnection",
        "queueName": queue,
        "dataType": "BINARY",
        "cardinality": "ONE",
    }


def test_each_queue_gets_a_trigger_and_one_for_its_dead_letters(host: FunctionsHost) -> None:
    indexed = {function.name: [json.loads(raw) for raw in function.raw_bindings] for function in host.metadata}
    assert indexed == {
        "run_task": [binding("%SERVICE_BUS_QUEUE_NAME%")],
        "reap_dead_letters": [binding("%SERVICE_BUS_QUEUE_NAME%/$deadletterqueue")],
        "run_task_letters_express": [binding("letters.express")],
        "reap_dead_letters_letters_express": [binding("letters.express/$deadletterqueue")],
        "run_task_parcels_test": [binding("parcels-test")],
        "reap_dead_letters_parcels_test": [binding("parcels-test/$deadletterqueue")],
    }


def test_bodies_are_asked_for_as_bytes(host: FunctionsHost) -> None:
    kinds = {function.bindings["msg"].data_type for function in host.metadata}
    assert kinds == {protos.BindingInfo.binary}


# -- one message -------------------------------------------------------------------------------------------------------


async def test_a_task_that_succeeds_leaves_its_result(host: FunctionsHost, seen: Seen) -> None:
    greeting = task("greet", "Ada")
    await host.invoke("run_task", message(greeting))
    row = await seen.row(greeting.task_id)
    assert row is not None
    assert (row.status, row.result, row.attempts) == (TaskStatus.Success, '"hello Ada"', 1)
    assert await seen.messages(greeting.task_id) == []


async def test_a_retry_is_a_scheduled_message(host: FunctionsHost, seen: Seen) -> None:
    hesitation = task("hesitate")
    before = time.time()
    await host.invoke("run_task", message(hesitation))
    after = time.time()
    (again,) = await seen.messages(hesitation.task_id)
    assert again.message_id == f"{hesitation.task_id}/0/1"
    assert before + 120 <= again.enqueued_at <= after + 120
    envelope = decode(again.body)
    assert isinstance(envelope, Task)
    assert envelope.attempts.attempts == 1
    assert await seen.row(hesitation.task_id) is None


async def test_the_last_attempt_fails_in_its_own_delivery(host: FunctionsHost, seen: Seen) -> None:
    hesitation = task("hesitate")
    tries = message(hesitation)
    for _ in range(2):
        await host.invoke("run_task", tries)
        newest = (await seen.messages(hesitation.task_id))[-1]
        tries = Incoming.of(replace(newest, delivery_count=1))
    await host.invoke("run_task", tries)
    row = await seen.row(hesitation.task_id)
    assert row is not None
    assert (row.status, row.attempts) == (TaskStatus.RetriesExhausted, 3)
    letter = await seen.letter(tries.body)
    assert letter.properties[DEAD_LETTER_REASON] == Reason.RetriesExhausted
    assert len(await seen.messages(hesitation.task_id)) == 2


async def test_an_exception_in_a_task_leaves_a_dead_letter_with_its_reason(host: FunctionsHost, seen: Seen) -> None:
    boiling = message(task("boil"))
    await host.invoke("run_task", boiling)
    letter = await seen.letter(boiling.body)
    assert letter.properties[DEAD_LETTER_REASON] == Reason.TaskFailed
    assert letter.properties[DEAD_LETTER_DESCRIPTION] == "ValueError: boiled over"
    assert 'raise ValueError("boiled over")' in str(letter.properties["traceback"])
    assert letter.properties["task_id"] == boiling.message_id
    assert letter.properties["origin"] == QUEUE
    row = await seen.row(str(boiling.message_id))
    assert row is not None
    assert (row.status, row.reason) == (TaskStatus.Failure, Reason.TaskFailed)


@pytest.mark.parametrize("body", [b"", b"\xff\xfegarbage", b"[]", b'{"task_id": 7}', b"[" * 60_000], ids=repr)
async def test_a_body_that_is_no_task_becomes_a_dead_letter(host: FunctionsHost, seen: Seen, body: bytes) -> None:
    await host.invoke("run_task", Incoming(body, "a-stranger"))
    letter = await seen.letter(body)
    assert letter.properties[DEAD_LETTER_REASON] == Reason.InvalidTaskFormat
    assert letter.properties["origin_message_id"] == "a-stranger"


async def test_messages_without_an_id_each_leave_their_dead_letter(host: FunctionsHost, seen: Seen) -> None:
    for body in (b"nameless one", b"nameless two"):
        nameless = Incoming(body, message_id=None, sequence_number=None, delivery_count=None)
        await host.invoke("run_task", nameless)
        assert (await seen.letter(body)).properties["origin_message_id"] == ""


async def test_an_unknown_function_is_put_off(host: FunctionsHost, seen: Seen) -> None:
    unknown = message(task("not_deployed_yet"))
    before = time.time()
    await host.invoke("run_task", unknown)
    (again,) = await seen.messages(str(unknown.message_id))
    assert again.body == unknown.body
    assert again.enqueued_at > before
    assert again.properties["boilermaker_postponed_unknown"] == 1
    await host.invoke("run_task", replace(Incoming.of(again), delivery_count=1))
    counts = [m.properties["boilermaker_postponed_unknown"] for m in await seen.messages(str(unknown.message_id))]
    assert counts == [1, 2]


async def test_names_in_the_body_do_not_pass_for_the_messages_own(host: FunctionsHost, seen: Seen) -> None:
    charging = task("charge")
    trap = {**json.loads(encode(charging)), "messageId": "another", "deliveryCount": "seven", "State": "broken"}
    await host.invoke("run_task", Incoming(json.dumps(trap).encode(), charging.task_id))
    row = await seen.row(charging.task_id)
    assert row is not None
    assert row.status is TaskStatus.Success


async def test_a_task_acknowledged_early_is_not_run_a_second_time(host: FunctionsHost, seen: Seen) -> None:
    charging = task("charge", acks_late=False)
    second = message(charging, delivery_count=2)
    await host.invoke("run_task", second)
    assert (await seen.letter(second.body)).properties[DEAD_LETTER_REASON] == Reason.LostAfterEarlyAck
    row = await seen.row(charging.task_id)
    assert row is not None
    assert (row.status, row.reason) == (TaskStatus.Failure, Reason.LostAfterEarlyAck)


async def test_a_task_delivered_twice_keeps_its_first_result(host: FunctionsHost, seen: Seen) -> None:
    greeting = task("greet", "Grace")
    await host.invoke("run_task", message(greeting))
    first = await seen.row(greeting.task_id)
    await host.invoke("run_task", message(greeting, delivery_count=2))
    assert await seen.row(greeting.task_id) == first


# -- what follows ------------------------------------------------------------------------------------------------------


async def test_a_chain_goes_on_by_messages(host: FunctionsHost, seen: Seen) -> None:
    links = [task("greet", name) for name in ("one", "two", "three")]
    links[0].chain = links[1:]
    following = message(links[0])
    for link, after in zip(links, [*links[1:], None], strict=True):
        await host.invoke("run_task", following)
        row = await seen.row(link.task_id)
        assert row is not None
        assert row.status is TaskStatus.Success
        if after is not None:
            (sent,) = await seen.messages(after.task_id)
            following = replace(Incoming.of(sent), delivery_count=1)


async def test_a_failure_sends_its_callback_to_the_queue_it_came_from(host: FunctionsHost, seen: Seen) -> None:
    handler = task("greet", "handler")
    await host.invoke("run_task_parcels_test", message(task("boil", on_failure=handler)))
    (sent,) = await seen.messages(handler.task_id, "parcels-test")
    await host.invoke("run_task_parcels_test", replace(Incoming.of(sent), delivery_count=1))
    row = await seen.row(handler.task_id)
    assert row is not None
    assert row.result == '"hello handler"'


# -- the example -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("runtime")
async def test_the_example_runs_from_the_repositorys_own_function_app(tmp_path: Path) -> None:
    order = {"order_id": "O-0001", "placed_on": "2030-01-01", "customer": "Ada", "country": "GB", "currency": "GBP"}
    order |= {"amount": "119.00", "priority": "express", "card": "visa", "courier": "swift"}
    thanks, billing = task("receipt", "O-0001", "119.00", "GBP"), task("invoice", order, "0.19")
    file = tmp_path / "orders.db"
    with FunctionsHost(ROOT, settings(file)) as shop:
        assert {function.name for function in shop.metadata} == {"run_task", "reap_dead_letters"}
        await shop.invoke("run_task", message(thanks))
        await shop.invoke("run_task", message(billing))  # in a process of its own
    engine = LocalEngine(file)
    rows = [await Seen(engine).row(one.task_id) for one in (thanks, billing)]
    await engine.close()
    assert [row and row.error for row in rows] == [None, None]
    thanked, billed = [json.loads(row.result) for row in rows if row is not None]
    assert thanked == "O-0001: 119.00 GBP received, thank you"
    assert (billed["net"], billed["tax"]) == ("100.00", "19.00")
