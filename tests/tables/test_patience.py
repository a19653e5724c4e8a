"""How long is something tried again, and who has to wait for a turn? On a virtual clock."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceResponseError

from boilermaker_fn.errors import Conflict, StoreUnavailable
from boilermaker_fn.tables.patience import Patience
from boilermaker_fn.tables.turns import AT_ONCE
from boilermaker_fn.testing import VirtualTimeLoop

SECONDS = 10.0


def run(work):
    """What a coroutine returned, and how much time passed."""
    loop = VirtualTimeLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work), loop.time()


def patience():
    return Patience(SECONDS, chance=lambda: 1.0)


async def hangs(unseen):
    await asyncio.Event().wait()


async def lost(unseen):
    raise ServiceResponseError("lost")


async def failure(work):
    with pytest.raises(StoreUnavailable) as caught:
        await work
    return str(caught.value)


def test_pauses_grow_and_end_before_the_deadline():
    times = []

    async def attempt(unseen):
        times.append(asyncio.get_running_loop().time())
        await lost(unseen)

    _, passed = run(failure(patience().until_answered("asking", attempt, writes=False)))
    pauses = [round(later - earlier, 2) for earlier, later in itertools.pairwise(times)]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    assert passed == pytest.approx(sum(pauses))


def test_what_does_not_answer_is_cut_off_and_asked_again():
    told = []

    async def attempt(unseen):
        told.append(unseen)
        return "there" if unseen else await hangs(unseen)

    found, passed = run(patience().until_answered("asking", attempt, writes=True))
    assert (found, told) == ("there", [False, True])
    assert passed == pytest.approx(6.05)


def test_the_deadline_ends_a_try():
    said, passed = run(failure(patience().until_answered("asking", hangs, writes=True)))
    assert passed == SECONDS
    assert "asking: no answer in time (tried 2 times; whether it was done is not known)" in said


def test_what_an_earlier_try_met_says_more_than_the_end_of_time():
    async def attempt(unseen):
        await (hangs(unseen) if unseen else lost(unseen))

    said, _ = run(failure(patience().until_answered("asking", attempt, writes=False)))
    assert "asking: lost (tried" in said


def test_what_trying_again_cannot_change_is_not_tried_again():
    async def attempt(unseen):
        raise ClientAuthenticationError("no token")

    said, passed = run(failure(patience().until_answered("asking", attempt, writes=False)))
    assert passed == 0
    assert "no token (tried once)" in said


def test_many_take_turns_however_long_it_takes_them_all():
    running, most = 0, 0

    async def attempt(unseen):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1
        return "done"

    async def crowd():
        one = patience()
        return await asyncio.gather(*(one.until_answered("asking", attempt, writes=False) for _ in range(20 * AT_ONCE)))

    found, passed = run(crowd())
    assert set(found) == {"done"}
    assert most == AT_ONCE
    assert passed == 20  # twice as long as one may take


def test_a_conflict_is_an_answer():
    async def attempt(unseen):
        await asyncio.sleep(1)
        raise Conflict("p", "r")

    async def crowd():
        one = patience()
        asking = [one.until_answered("asking", attempt, writes=True) for _ in range(20 * AT_ONCE)]
        return await asyncio.gather(*asking, return_exceptions=True)

    found, _ = run(crowd())
    assert {type(error) for error in found} == {Conflict}


def test_when_nobody_is_answered_all_give_up_together():
    async def crowd():
        one = patience()
        asking = [failure(one.until_answered("asking", hangs, writes=True)) for _ in range(3 * AT_ONCE)]
        return await asyncio.gather(*asking)

    said, passed = run(crowd())
    assert passed == SECONDS
    waited = [text for text in said if "nothing was sent" in text]
    assert len(waited) == 2 * AT_ONCE


def test_a_turn_that_is_cancelled_is_free_again():
    async def crowd():
        one = patience()
        asking = [asyncio.create_task(one.until_answered("asking", hangs, writes=True)) for _ in range(2 * AT_ONCE)]
        await asyncio.sleep(1)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

        async def attempt(unseen):
            return "done"

        return await asyncio.gather(*(one.until_answered("asking", attempt, writes=True) for _ in range(AT_ONCE)))

    found, passed = run(crowd())
    assert (len(found), passed) == (AT_ONCE, 1)
