"""Does a queue's management answer as Service Bus does, also to requests that the SDK would not make?"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from boilermaker_fn.emulator import Emulator, Faults
from boilermaker_fn.emulator.amqp.messages import (
    APPLICATION_PROPERTIES,
    MESSAGE_ANNOTATIONS,
    VALUE,
    encode_properties,
    encode_section,
)
from boilermaker_fn.emulator.amqp.performatives import Detach
from boilermaker_fn.emulator.amqp.values import Array, Symbol, Timestamp
from boilermaker_fn.local.queue import Rules
from tests.emulator.peer import Peer, message, opened

LONGS, UUIDS = 0x81, 0x98


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator({"work": Rules()}) as one:
        yield one


@pytest.fixture
async def peer(emulator: Emulator) -> AsyncIterator[Peer]:
    """A client with links to the management of `work`."""
    async with opened(emulator.port) as one:
        await one.sender("work")
        await one.sender("work/$management", 10)
        await one.receiver("work/$management", 11, credit=100, locked=False)
        yield one


async def ask(peer: Peer, operation: str, **body: Any) -> tuple[int, Any]:
    """Status, and the result or the condition of the error."""
    properties, result = await peer.ask(
        f"com.microsoft:{operation}", {key.replace("_", "-"): body[key] for key in body}
    )
    assert properties["statusCode"] == properties["status-code"]
    return properties["statusCode"], properties.get("errorCondition", result)


def scheduled(message_id: str, at: float) -> dict[str, Any]:
    annotations = {Symbol("x-opt-scheduled-enqueue-time"): Timestamp.of(at)}
    return {"message-id": message_id, "message": encode_section(MESSAGE_ANNOTATIONS, annotations) + message(message_id)}


async def locked(emulator: Emulator, peer: Peer) -> UUID:
    """The lock of a message that was sent and received."""
    await peer.put(message(uuid4().hex))
    (delivery,) = await emulator.broker.receive("work", 1, locked=True)
    return UUID(int=delivery.sequence_number << 64 | delivery.delivery_count)


async def test_scheduling_looking_and_cancelling(emulator: Emulator, peer: Peer) -> None:
    due = time.time() + 100
    status, body = await ask(peer, "schedule-message", messages=[scheduled("a", due), scheduled("b", due)])
    assert (status, body["sequence-numbers"].code) == (200, LONGS)
    numbers = body["sequence-numbers"].values
    status, body = await ask(peer, "peek-message", from_sequence_number=0, message_count=10)
    assert (status, len(body["messages"])) == (200, 2)
    assert await ask(peer, "cancel-scheduled-message", sequence_numbers=Array(LONGS, numbers[:1])) == (200, None)
    assert [one.message_id for one in await emulator.broker.peek("work", 10, 0)] == ["b"]
    assert await ask(peer, "cancel-scheduled-message", sequence_numbers=Array(LONGS, numbers[:1])) == (
        404,
        "com.microsoft:message-not-found",
    )


async def test_there_may_be_nothing_to_see(peer: Peer) -> None:
    assert await ask(peer, "peek-message", from_sequence_number=5, message_count=10) == (204, None)


async def test_locks_are_renewed_and_lost(emulator: Emulator, peer: Peer) -> None:
    lock = await locked(emulator, peer)
    status, body = await ask(peer, "renew-lock", lock_tokens=Array(UUIDS, [lock]))
    assert status == 200
    assert abs(body["expirations"].values[0] / 1000 - time.time() - 60) < 30
    assert await ask(peer, "renew-lock", lock_tokens=[uuid4()]) == (410, "com.microsoft:message-lock-lost")


async def test_settling_by_lock(emulator: Emulator, peer: Peer) -> None:
    completed, abandoned, suspended = [await locked(emulator, peer) for _ in range(3)]

    async def settle(status: str, lock: UUID, **body: Any) -> tuple[int, Any]:
        return await ask(
            peer, "update-disposition", disposition_status=status, lock_tokens=Array(UUIDS, [lock]), **body
        )

    assert await settle("completed", completed) == (200, None)
    assert await settle("completed", completed) == (410, "com.microsoft:message-lock-lost")
    assert await settle("abandoned", abandoned, properties_to_modify={"tried": 1}) == (200, None)
    assert await settle("suspended", suspended, deadletter_reason="r", deadletter_description="d") == (200, None)
    (back,) = await emulator.broker.receive("work", 10, locked=True)
    assert back.properties == {"tried": 1}
    (dead,) = await emulator.broker.receive("work/$deadletterqueue", 10, locked=True)
    assert dead.properties == {"DeadLetterReason": "r", "DeadLetterErrorDescription": "d"}


@pytest.mark.parametrize(
    "operation",
    [
        "receive-by-sequence-number", "get-message-sessions", "renew-session-lock", "get-session-state",
        "set-session-state", "add-rule", "remove-rule", "enumerate-rules", "anything",
    ],
)  # fmt: skip
async def test_what_is_left_out_is_named(peer: Peer, operation: str) -> None:
    properties, _ = await peer.ask(f"com.microsoft:{operation}", {})
    assert (properties["statusCode"], properties["errorCondition"]) == (501, "amqp:not-implemented")
    assert operation in properties["statusDescription"]


async def test_deferral_is_left_out(emulator: Emulator, peer: Peer) -> None:
    lock = await locked(emulator, peer)
    assert await ask(peer, "update-disposition", disposition_status="defered", lock_tokens=[lock]) == (
        501,
        "amqp:not-implemented",
    )


@pytest.mark.parametrize(
    ("operation", "body", "condition"),
    [
        ("schedule-message", None, "amqp:decode-error"),
        ("schedule-message", {}, "amqp:decode-error"),
        ("schedule-message", {"messages": [1]}, "amqp:decode-error"),
        ("schedule-message", {"messages": [{"message": "text"}]}, "amqp:decode-error"),
        ("schedule-message", {"messages": [{"message": b"\x45"}]}, "amqp:decode-error"),
        ("schedule-message", {"messages": [{"message": message("m" * 129)}]}, "com.microsoft:argument-error"),
        ("cancel-scheduled-message", {"sequence-numbers": []}, "amqp:decode-error"),
        ("cancel-scheduled-message", {"sequence-numbers": ["1"]}, "amqp:decode-error"),
        ("cancel-scheduled-message", {"sequence-numbers": [-1]}, "com.microsoft:message-not-found"),
        ("renew-lock", {"lock-tokens": [1]}, "amqp:decode-error"),
        ("renew-lock", {"lock-tokens": [UUID(int=2**128 - 1)]}, "com.microsoft:message-lock-lost"),
        ("peek-message", {"message-count": "many"}, "com.microsoft:argument-error"),
        ("peek-message", {"message-count": 0}, "com.microsoft:argument-error"),
        ("update-disposition", {"disposition-status": ["completed"]}, "amqp:not-implemented"),
        ("update-disposition", {"disposition-status": "completed"}, "amqp:decode-error"),
    ],
)
async def test_requests_that_make_no_sense_are_answered(
    emulator: Emulator, peer: Peer, operation: str, body: Any, condition: str
) -> None:
    properties, _ = await peer.ask(f"com.microsoft:{operation}", body)
    assert properties["errorCondition"] == condition
    assert properties["statusCode"] >= 400
    assert await emulator.broker.peek("work", 10, 0) == []


async def test_nothing_is_scheduled_in_a_dead_letter_queue(emulator: Emulator, peer: Peer) -> None:
    await peer.sender("work/$deadletterqueue/$management", 20)
    await peer.receiver("work/$deadletterqueue/$management", 21, credit=10, locked=False)
    properties, _ = await peer.ask("com.microsoft:schedule-message", {"messages": [scheduled("a", time.time())]}, 20)
    assert properties["errorCondition"] == "amqp:not-allowed"
    properties, _ = await peer.ask("com.microsoft:peek-message", {"message-count": 1}, 20)
    assert properties["statusCode"] == 204


async def test_scheduling_is_throttled_too(emulator: Emulator, peer: Peer) -> None:
    emulator.faults = Faults(busy=True)
    assert await ask(peer, "schedule-message", messages=[scheduled("a", 0)]) == (503, "com.microsoft:server-busy")


async def test_what_is_no_request_costs_the_link(peer: Peer) -> None:
    peer.transfer(message("1"), 10)
    assert (await peer.until(Detach)).error.condition == "amqp:decode-error"


async def test_answers_nobody_waits_for_are_dropped(emulator: Emulator, peer: Peer) -> None:
    await peer.sender("$cbs", 30)  # and no link to answer on
    peer.transfer(request("put-token", "1"), 30)
    assert (await ask(peer, "peek-message", message_count=1))[0] == 204


async def test_tokens_are_taken_or_refused(emulator: Emulator, peer: Peer) -> None:
    await peer.sender("$cbs", 30)
    await peer.receiver("$cbs", 31, credit=10, locked=False)
    assert (await peer.ask("put-token", "token", 30))[0]["status-code"] == 202
    assert (await peer.ask("delete-token", "token", 30))[0]["status-code"] == 501
    emulator.faults = Faults(refuse_tokens=True)
    refused, _ = await peer.ask("put-token", "token", 30)
    assert (refused["status-code"], refused["errorCondition"]) == (401, "amqp:unauthorized-access")


async def test_the_answer_comes_on_the_link_that_was_asked_for(peer: Peer) -> None:
    await peer.receiver("work/$management", 12, credit=10, locked=False)
    peer.transfer(request("com.microsoft:peek-message", "1", reply_to="me"), 10)
    assert (await peer.get())[0].handle == 11
    peer.transfer(request("com.microsoft:peek-message", "1", reply_to="somebody else"), 10)
    assert (await peer.get())[0].handle == 11


def request(operation: str, message_id: str, **properties: Any) -> bytes:
    return (
        encode_properties(message_id=message_id, **properties)
        + encode_section(APPLICATION_PROPERTIES, {"operation": operation})
        + encode_section(VALUE, {"message-count": 1})
    )
