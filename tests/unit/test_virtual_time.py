"""Does time on a VirtualTimeLoop pass only when nothing else can happen, and never while work outside is awaited?"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from boilermaker_fn.testing import Deadlock, VirtualTimeLoop, virtual_time
from boilermaker_fn.threads import DaemonThreads

YEAR = 365 * 86_400.0
#: No test below would end in time if this were waited for.
LONG = 3 * YEAR


def run(work: Coroutine[Any, Any, Any], start: float = 0.0) -> tuple[Any, float]:
    """What a coroutine returned, and how much virtual time passed."""
    loop = VirtualTimeLoop(start)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work), loop.time() - start


async def noted(seen: list[str], name: str, seconds: float) -> None:
    await asyncio.sleep(seconds)
    seen.append(name)


def test_a_sleep_takes_virtual_time_only() -> None:
    async def sleeper() -> str:
        await asyncio.sleep(LONG)
        return "done"

    assert run(sleeper()) == ("done", LONG)


@pytest.mark.parametrize("start", [0.0, 2**24 + 0.5, 1_893_456_000.0, 4_000_000_000.0])
def test_timers_fire_in_their_order_and_exactly(start: float) -> None:
    # Where floats are coarse too: the default clock resolution of asyncio would be lost in rounding.
    async def all_of_them() -> list[str]:
        seen: list[str] = []
        await asyncio.gather(*(noted(seen, str(s), s) for s in (86_400 * 3, 0.25, 60, 0.5)))
        return seen

    assert run(all_of_them(), start) == (["0.25", "0.5", "60", "259200"], 86_400 * 3)


def test_many_short_sleeps_add_up() -> None:
    async def sleepy() -> None:
        for _ in range(1000):
            await asyncio.sleep(0.5)

    assert run(sleepy(), 1_893_456_000.0)[1] == 500


def test_a_timeout_strikes_at_its_time() -> None:
    async def limited() -> str:
        try:
            async with asyncio.timeout(30):
                await asyncio.sleep(LONG)
        except TimeoutError:
            return "timed out"
        return "slept"

    assert run(limited()) == ("timed out", 30)


@pytest.mark.parametrize("executor", [None, DaemonThreads()])
def test_time_stands_still_while_a_thread_works(executor: DaemonThreads | None) -> None:
    release = threading.Event()

    async def both() -> list[str]:
        seen: list[str] = []
        sleeper = asyncio.ensure_future(noted(seen, "timer", LONG))
        call = asyncio.get_running_loop().run_in_executor(executor, release.wait, 30)
        threading.Timer(0.02, release.set).start()
        seen.append(f"thread {await call}")
        await sleeper
        return seen

    assert run(both()) == (["thread True", "timer"], LONG)


def test_a_timeout_of_work_in_a_thread_is_real() -> None:
    release = threading.Event()

    async def limited() -> bool:
        call = asyncio.get_running_loop().run_in_executor(DaemonThreads(), release.wait, 30)
        done, _ = await asyncio.wait({call}, timeout=0.05)
        release.set()
        return bool(done)

    began = time.monotonic()
    ended_in_time, passed = run(limited())
    assert not ended_in_time
    assert passed >= 0.05
    assert time.monotonic() - began >= 0.05


def test_work_nobody_waits_for_any_more_does_not_hold_time() -> None:
    release = threading.Event()

    async def gives_up() -> None:
        call = asyncio.get_running_loop().run_in_executor(DaemonThreads(), release.wait, 30)
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.sleep(LONG)
        release.set()

    assert run(gives_up())[1] == LONG


def test_real_time_of_long_work_is_put_on_the_clock() -> None:
    async def works() -> None:
        await asyncio.to_thread(time.sleep, 0.15)

    passed = run(works())[1]
    assert passed >= 0.1


def test_a_thread_wakes_the_loop() -> None:
    async def woken() -> str:
        loop, heard = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
        threading.Thread(target=loop.call_soon_threadsafe, args=(heard.set_result, "hello")).start()
        return await heard

    assert run(woken()) == ("hello", 0)


def test_a_socket_is_heard_before_time_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_time, "_FOR_SOCKETS", 30)

    async def talks() -> tuple[bytes, float]:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            loop = asyncio.get_running_loop()
            threading.Timer(0.005, theirs.send, [b"hello"]).start()
            async with asyncio.timeout(LONG):
                return await loop.sock_recv(ours, 10), loop.time()

    assert run(talks())[0] == (b"hello", 0)


def test_a_deadlock_is_said_and_the_loop_can_still_be_closed() -> None:
    async def waits_for_ever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="waits_for_ever") as caught:
        run(waits_for_ever())
    assert len(caught.value.waiting) == 1


def test_at_rest_comes_after_all_that_is_due_now_and_before_time_passes() -> None:
    async def scene() -> list[str]:
        seen: list[str] = []
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)

        async def steps() -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            seen.append(f"thread {await asyncio.to_thread(int, '7')}")
            await asyncio.sleep(1)
            seen.append("later")

        going = asyncio.ensure_future(steps())
        await loop.at_rest()
        seen.append(f"at rest at {loop.time()}")
        await going
        return seen

    assert run(scene()) == (["thread 7", "at rest at 0.0", "later"], 1)


def test_the_default_executor_is_joined_at_the_end() -> None:
    loop = VirtualTimeLoop()
    with contextlib.closing(loop):
        loop.run_until_complete(asyncio.to_thread(int, "7"))
        loop.run_until_complete(loop.shutdown_default_executor(30))
        assert loop.time() == 0


def test_errors_in_threads_arrive() -> None:
    async def fails() -> None:
        await asyncio.to_thread(int, "seven")

    with pytest.raises(ValueError, match="seven"):
        run(fails())
