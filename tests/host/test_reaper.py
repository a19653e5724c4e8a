"""Does the trigger on the dead-letter queue record what the broker gave up, whatever that is?"""

from __future__ import annotations

from pathlib import Path

import pytest

from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import DEAD_LETTER_DESCRIPTION, DEAD_LETTER_REASON
from boilermaker_fn.outcomes import Reason
from boilermaker_fn.task.result import TaskStatus
from tests.host.host import FunctionsHost, Incoming
from tests.host.seen import LAKE, QUEUE, Seen, message, task

GIVEN_UP = {DEAD_LETTER_REASON: "MaxDeliveryCountExceeded", DEAD_LETTER_DESCRIPTION: "delivered 5 times"}


async def test_the_reaper_records_the_failure_and_runs_nothing(host: FunctionsHost, seen: Seen) -> None:
    handler = task("greet", "the reaper's")
    poison = task("greet", "nobody", on_failure=handler)
    given_up = message(poison, delivery_count=6, properties=GIVEN_UP)
    await host.invoke("reap_dead_letters", given_up)
    row = await seen.row(poison.task_id)
    assert row is not None
    assert (row.status, row.reason, row.result) == (TaskStatus.Failure, "MaxDeliveryCountExceeded", "null")
    assert len(await seen.messages(handler.task_id)) == 1
    letter = await seen.letter(given_up.body)
    assert letter.properties[DEAD_LETTER_REASON] == "MaxDeliveryCountExceeded"
    assert letter.properties["origin"] == QUEUE


STRANGE: dict[str, Incoming] = {
    "empty": Incoming(b""),
    "not text": Incoming(b"\xff reaped"),
    "deep": Incoming(b"[" * 50_000),
    "as large as a message": Incoming(b"x" * 250_000),
    "long id": Incoming(b"reaped, long id", "i" * 128),
    "large properties": Incoming(b"reaped, large properties", properties={"p": "x" * 32_000, "q": "y" * 33_400}),
    "strange properties": Incoming(
        b"reaped, strange properties", properties={"n": None, "list": [1], "boilermaker_postponed": "many", "": True}
    ),
}


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
async def test_the_reaper_never_raises_for_what_it_is_given(
    host: FunctionsHost, seen: Seen, file: Path, strange: Incoming
) -> None:
    await host.invoke("reap_dead_letters", strange)
    engine = LocalEngine(file)
    letters = await engine.inbox(LAKE).peek(10_000)
    await engine.close()
    (letter,) = [m for m in letters if m.message_id == f"{QUEUE}:{strange.sequence_number}/dead"]
    assert letter.properties[DEAD_LETTER_REASON] == Reason.InvalidTaskFormat
    assert strange.body.startswith(letter.body)
