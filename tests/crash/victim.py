"""The app whose workers are killed: `python -m tests.crash.victim FILE` works the queue in FILE until it is."""

from __future__ import annotations

import asyncio
import sys

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy
from boilermaker_fn.local import LocalEngine


def app_on(path: str) -> Boilermaker:
    app = Boilermaker({"seen": set()}, LocalEngine(path, lock_duration=1.0, max_delivery_count=100))
    app.register_many_async([plain, follower, flaky], policy=RetryPolicy(max_tries=50, delay=0))
    return app


async def plain(state: dict, number: int) -> int:
    await asyncio.sleep(0.002)
    return number


async def follower(state: dict, number: int) -> int:
    return -number


async def flaky(state: dict, number: int) -> int:
    # Every worker process fails it once.
    if number not in state["seen"]:
        state["seen"].add(number)
        raise RetryException("once more")
    return number


if __name__ == "__main__":
    asyncio.run(app_on(sys.argv[1]).run())
