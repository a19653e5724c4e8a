"""Would the simulation notice? Each of these is a bug somebody could write; the seeds must find it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from boilermaker_fn import delivery, envelopes, follow_ups
from boilermaker_fn import effects as fx
from boilermaker_fn.delivery import TRANSITIONS, Phase, State
from boilermaker_fn.ids import new_task_id
from boilermaker_fn.messages import Delivery
from boilermaker_fn.runner import Runner

from .seeded import complaints_of

#: A bug that as many seeds do not show would pass in CI.
PATIENCE = 1500

Break = Callable[[pytest.MonkeyPatch], None]


def settles_before_it_sends(patch: pytest.MonkeyPatch) -> None:
    """Sends in the background, and does not wait for it."""
    send = Runner._send
    tasks: list[asyncio.Task[Any]] = []

    async def in_background(self: Runner, effect: fx.Send, of: Delivery) -> fx.Event:
        async def sending() -> None:
            try:
                await send(self, effect, of)
            except BaseException:  # as with a process that dies
                return

        tasks.append(asyncio.ensure_future(sending()))
        return fx.Sent()

    patch.setattr(Runner, "_send", in_background)


def writes_the_row_after_sending(patch: pytest.MonkeyPatch) -> None:
    """Sends what follows its own outcome, then writes the row."""
    follow = delivery._follow

    def conclude(state: State, row: Any, now: float) -> Any:
        if not delivery.keeps_row(state.rules, delivery._task(state)):
            return follow(state, row, now)
        state, effect = follow(state._replace(row=row), row, now)
        return state, fx.WriteRow(row) if isinstance(effect, fx.Settle) else effect

    def sent(state: State, event: fx.Sent) -> Any:
        if state.row is None or state.ending == "postponed":
            return delivery._settle(state, state.ending)
        return state._replace(phase=Phase.WRITING), fx.WriteRow(state.row)

    def written(state: State, event: fx.RowWritten) -> Any:
        return delivery._settle(state, state.ending)

    patch.setattr(delivery, "_conclude", conclude)
    patch.setitem(TRANSITIONS, (Phase.SENDING, fx.Sent), sent)
    patch.setitem(TRANSITIONS, (Phase.WRITING, fx.RowWritten), written)


def does_not_read_the_row(patch: pytest.MonkeyPatch) -> None:
    """Runs whatever is delivered."""

    def delivered(state: State, event: Any) -> Any:
        state, effect = delivery._delivered(state, event)
        if isinstance(effect, fx.ReadRow):
            return delivery._not_settled_yet(state, delivery._task(state), event.now)
        return state, effect

    patch.setitem(TRANSITIONS, (Phase.NEW, fx.Delivered), delivered)


def ignores_the_row_that_won(patch: pytest.MonkeyPatch) -> None:
    """Sends what follows its own outcome, whichever is stored."""

    def written(state: State, event: fx.RowWritten) -> Any:
        assert state.row is not None
        return delivery._follow(state, state.row, event.now)

    patch.setitem(TRANSITIONS, (Phase.WRITING, fx.RowWritten), written)


def settles_what_was_not_sent(patch: pytest.MonkeyPatch) -> None:
    """Takes a refusal for an answer."""
    patch.setitem(
        TRANSITIONS, (Phase.SENDING, fx.NotAccepted), lambda state, event: delivery._settle(state, state.ending)
    )


def goes_on_without_the_store(patch: pytest.MonkeyPatch) -> None:
    """Takes a row that may not be written for written."""

    def store_down(state: State, event: fx.StoreDown) -> Any:
        assert state.row is not None
        return delivery._follow(state, state.row, event.now)

    patch.setitem(TRANSITIONS, (Phase.WRITING, fx.StoreDown), store_down)


def forgets_what_the_stored_row_calls_for(patch: pytest.MonkeyPatch) -> None:
    """Settles a task that has ended, and repeats nothing."""
    read = TRANSITIONS[Phase.READING, fx.RowRead]

    def row_read(state: State, event: fx.RowRead) -> Any:
        return read(state, event) if event.row is None else delivery._settle(state, event.row.status)

    patch.setitem(TRANSITIONS, (Phase.READING, fx.RowRead), row_read)


def starts_again_what_was_acknowledged_early(patch: pytest.MonkeyPatch) -> None:
    """Looks at no delivery count."""
    patch.setattr(delivery, "was_delivered_before", lambda message: False)


def forgets_that_it_ran_when_it_postpones(patch: pytest.MonkeyPatch) -> None:
    """Puts off a task with acks_late=False after it ran as if it had not."""

    def postponed(*arguments: Any, **options: Any) -> Any:
        return follow_ups.postponed(*arguments, **{**options, "ran": False})

    patch.setattr(delivery, "postponed", postponed)


def numbers_attempts_wrongly(patch: pytest.MonkeyPatch) -> None:
    """Gives the next attempt the id of this one."""
    patch.setattr(
        follow_ups, "attempt_id", lambda task_id, generation, attempts: f"{task_id}/0/1" if attempts else task_id
    )


def sends_under_new_ids(patch: pytest.MonkeyPatch) -> None:
    """Names what it sends at random, so that a repeated step is not recognised."""
    for module in (follow_ups, envelopes):
        patch.setattr(module, "attempt_id", lambda task_id, generation, attempts: f"{task_id}/{new_task_id()}")


BUGS: list[Break] = [
    settles_before_it_sends,
    writes_the_row_after_sending,
    does_not_read_the_row,
    ignores_the_row_that_won,
    settles_what_was_not_sent,
    goes_on_without_the_store,
    forgets_what_the_stored_row_calls_for,
    starts_again_what_was_acknowledged_early,
    forgets_that_it_ran_when_it_postpones,
    numbers_attempts_wrongly,
    sends_under_new_ids,
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_the_simulation_can_fail(bug: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch)
    assert any(complaints_of(seed) for seed in range(PATIENCE))
