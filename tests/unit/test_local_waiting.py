"""Waiting in memory costs no time and few wake-ups when the loop's time is virtual."""

from __future__ import annotations

import asyncio
import selectors

import pytest

from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import Message

HOUR = 3600.0


class _Skipping(selectors.DefaultSelector):
    """Advances its time instead of waiting."""

    now = 0.0
    waits = 0

    def select(self, timeout=None):
        self.now += timeout or 0.0
        self.waits += bool(timeout)
        return super().select(0)


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self.skipping = _Skipping()
        super().__init__(self.skipping)

    def time(self):
        return self.skipping.now


@pytest.fixture
def run():
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        yield runner.run


def virtual_engine(**options):
    return LocalEngine(clock=asyncio.get_running_loop().time, **options)


def message(message_id, **options):
    return Message("q", message_id, b"", **options)


def test_a_receive_sleeps_until_the_next_due_time(run):
    async def scenario():
        engine = virtual_engine()
        await engine.transport.send([message("a", not_before=HOUR)])
        deliveries = await engine.inbox("q").receive(10, 2 * HOUR)
        loop = asyncio.get_running_loop()
        await engine.close()
        return [delivery.message_id for delivery in deliveries], loop.time(), loop.skipping.waits

    ids, now, waits = run(scenario())
    assert ids == ["a"]
    assert now == pytest.approx(HOUR, abs=0.01)
    assert waits <= 3


def test_a_receive_sleeps_until_a_lock_ends(run):
    async def scenario():
        engine = virtual_engine(lock_duration=60.0)
        await engine.transport.send([message("a")])
        await engine.inbox("q").receive(1, 0)
        (again,) = await engine.inbox("q").receive(1, HOUR)
        return again.delivery_count, asyncio.get_running_loop().time(), asyncio.get_running_loop().skipping.waits

    count, now, waits = run(scenario())
    assert count == 2
    assert now == pytest.approx(60.0, abs=0.01)
    assert waits <= 3


def test_a_receive_in_vain_is_one_sleep(run):
    async def scenario():
        engine = virtual_engine()
        assert await engine.inbox("q").receive(1, HOUR) == []
        return asyncio.get_running_loop().time(), asyncio.get_running_loop().skipping.waits

    now, waits = run(scenario())
    assert now == pytest.approx(HOUR, abs=0.01)
    assert waits <= 2


def test_an_earlier_message_shortens_the_sleep(run):
    async def scenario():
        engine = virtual_engine()
        await engine.transport.send([message("late", not_before=HOUR)])
        receiving = asyncio.create_task(engine.inbox("q").receive(1, 2 * HOUR))
        await asyncio.sleep(10)
        await engine.transport.send([message("early", not_before=20.0)])
        (delivery,) = await receiving
        return delivery.message_id, asyncio.get_running_loop().time()

    message_id, now = run(scenario())
    assert message_id == "early"
    assert now == pytest.approx(20.0, abs=0.01)
