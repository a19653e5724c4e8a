"""Does anybody wait for a link that was detached while nothing was sent?

The emulator detaches links that were idle for two seconds, as Service Bus does after ten minutes; upkeep is scaled
down with it. Each publish comes after three idle seconds, long after the detach, and is compared with publishes that
come one after another. `python -m bench.wire.idle COUNT` prints the latencies of both in seconds.
"""

from __future__ import annotations

import asyncio
import json
import logging
import statistics
import sys
import time
from typing import Any, Final

from ..rounds import printed, table

_DETACHED_AFTER: Final = 2.0
_IDLE: Final = 3.0
_COUNT: Final = 30


def report() -> None:
    """Measure, and print the table."""
    ((usual, after_idle),) = printed("-m", "bench.wire.idle", str(_COUNT))
    rows = [
        [name, f"{statistics.median(of) * 1000:.1f}", f"{max(of) * 1000:.1f}"]
        for name, of in (("one after another", usual), (f"after {_IDLE:g} idle seconds each", after_idle))
    ]
    title = f"Publishing when the server detaches idle links after {_DETACHED_AFTER:g} s"
    table(title, ["", "median, ms", "longest, ms"], rows)


async def _measured(count: int) -> tuple[list[float], list[float]]:
    from boilermaker_fn import Boilermaker
    from boilermaker_fn.emulator import Emulator, Faults
    from boilermaker_fn.local.queue import Rules
    from boilermaker_fn.service_bus import AzureServiceBus
    from boilermaker_fn.service_bus.sender_link import Upkeep

    async def nothing(state: Any) -> None: ...

    async with Emulator({"work": Rules()}, faults=Faults(detach_idle_links_after=_DETACHED_AFTER)) as emulator:
        engine = AzureServiceBus(
            None, "work", connection_string=emulator.connection_string, upkeep=Upkeep(look=0.2, idle=1.0, stale=1.8)
        )
        app = Boilermaker(None, engine).register_async(nothing)
        await app.apply_async(nothing)

        async def timed() -> float:
            started = time.perf_counter()
            await app.apply_async(nothing)
            return time.perf_counter() - started

        usual = [await timed() for _ in range(count)]
        after_idle = []
        for _ in range(count):
            await asyncio.sleep(_IDLE)
            after_idle.append(await timed())
        await app.close()
    return usual, after_idle


if __name__ == "__main__":
    logging.disable()
    print(json.dumps(asyncio.run(_measured(int(sys.argv[1])))), flush=True)
