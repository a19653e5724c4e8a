"""The app whose workers are under fire: `python -m tests.fire.shop CONNECTION_STRING DIRECTORY`.

Its tasks are told by numbers. Each run is noted in a file, for the test to count them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any, Final

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.retries import RetryMode
from boilermaker_fn.service_bus import AzureServiceBus

QUEUE: Final = "fire-tasks"
LAKE: Final = "fire-lake"
LOCK: Final = 5

AGAIN_AT_ONCE: Final = RetryPolicy(max_tries=50, delay=0, retry_mode=RetryMode.Fixed)
AGAIN_LATER: Final = RetryPolicy(max_tries=50, delay=1, retry_mode=RetryMode.Fixed)


def app_on(connection_string: str, directory: Path) -> Boilermaker:
    """The app with its queue behind `connection_string`; rows and runs are kept in `directory`."""
    engine = AzureServiceBus(
        connection_string=connection_string, service_bus_queue_name=QUEUE, dead_letter_queue_name=LAKE
    )
    rows = LocalEngine(directory / "rows.db").table
    app = Boilermaker({"seen": set(), "runs": directory / "runs"}, engine, results_storage=rows)
    app.register_many_async([plain, fail, stall])
    app.register_async(flaky, policy=AGAIN_AT_ONCE)
    return app.register_async(moody, policy=AGAIN_LATER)


async def plain(state: dict[str, Any], number: int) -> int:
    note(state, number)
    await asyncio.sleep(0.002 if number % 10 else 1.5)
    return number


async def flaky(state: dict[str, Any], number: int) -> int:
    """Fail once in every process, and ask to be tried again at once."""
    note(state, number)
    if first(state, number):
        raise RetryException("once more")
    return number


async def moody(state: dict[str, Any], number: int) -> int:
    """Fail once in every process, and ask to be tried again later."""
    return await flaky(state, number)


async def fail(state: dict[str, Any], number: int) -> int:
    """Fail for good."""
    note(state, number)
    raise ValueError(f"number {number}")


async def stall(state: dict[str, Any], number: int) -> int:
    """Keep this process from renewing any lock until they are lost, once."""
    note(state, number)
    if first(state, number):
        time.sleep(LOCK + 1)  # on the loop, as a careless task would
    return number


def note(state: dict[str, Any], number: int) -> None:
    with state["runs"].open("a") as file:  # appending a short line is atomic
        file.write(f"{number}\n")


def first(state: dict[str, Any], number: int) -> bool:
    seen = number in state["seen"]
    state["seen"].add(number)
    return not seen


if __name__ == "__main__":
    asyncio.run(app_on(sys.argv[1], Path(sys.argv[2])).run(concurrency=32, grace=0))
