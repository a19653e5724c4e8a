"""Who publishes and who works? `python -m bench.wire.contestants NAME COUNT CONNECTION_STRING` measures one.

What is timed: publishing from the first call to the last return, with links open before; working from a queue that
holds all tasks, from the first run to the last. Tasks do nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ..rounds import Measured

_AT_ONCE = 16
_BATCH = 400
_WARM_UP = 20


class Stopwatch:
    """Counts, from the first to the `count`-th; `done` is set then."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._count = count
        self._began = (0.0, 0.0)
        self.measured: Measured | None = None
        self.done = asyncio.Event()

    def start(self) -> None:
        """Now."""
        self._began = (time.perf_counter(), time.process_time())

    def one(self) -> None:
        """One more is done; the first one starts the time if nobody has."""
        if self._left == self._count and not self._began[0]:
            self.start()
        self._left -= 1
        if not self._left:
            self.stop()

    def stop(self) -> None:
        """That was the last."""
        wall, cpu = self._began
        self.measured = Measured(time.perf_counter() - wall, time.process_time() - cpu, self._count)
        self.done.set()


async def _timed(count: int, publish: Callable[[], Awaitable[Any]], at_once: int) -> Measured:
    for _ in range(_WARM_UP):
        await publish()
    watch = Stopwatch(count)
    watch.start()

    async def producer() -> None:
        for _ in range(count // at_once):
            await publish()

    await asyncio.gather(*(producer() for _ in range(at_once)))
    watch.stop()
    assert watch.measured is not None
    return watch.measured


# -- ours


def _our_app(connection: str, watch: Stopwatch | None = None) -> Any:
    from boilermaker_fn import Boilermaker
    from boilermaker_fn.service_bus import AzureServiceBus

    async def nothing(state: Any) -> None:
        if watch is not None:
            watch.one()

    app = Boilermaker(None, AzureServiceBus(None, "work", connection_string=connection))
    return app.register_async(nothing), nothing


async def ours_single(count: int, connection: str) -> Measured:
    """16 producers, each of which awaits one `apply_async` after another."""
    app, nothing = _our_app(connection)
    try:
        return await _timed(count, lambda: app.apply_async(nothing), _AT_ONCE)
    finally:
        await app.close()


async def ours_batched(count: int, connection: str) -> Measured:
    """`publish_many` of 400 tasks at a time, about what a batch of the service holds."""
    app, nothing = _our_app(connection)
    try:
        await app.apply_async(nothing)
        watch = Stopwatch(count)
        watch.start()
        for _ in range(count // _BATCH):
            await app.publish_many([app.create_task(nothing) for _ in range(_BATCH)])
        watch.stop()
        assert watch.measured is not None
        return watch.measured
    finally:
        await app.close()


async def ours_working(count: int, connection: str) -> Measured:
    """A worker with 16 places."""
    watch = Stopwatch(count)
    app, nothing = _our_app(connection, watch)
    for _ in range(count // _BATCH):
        await app.publish_many([app.create_task(nothing) for _ in range(_BATCH)])
    worker = app.worker(concurrency=_AT_ONCE)
    await worker.start()
    await watch.done.wait()
    await worker.stop()
    await app.close()
    assert watch.measured is not None
    return watch.measured


# -- boilermaker-servicebus


def _ancestor(connection: str, watch: Stopwatch | None = None) -> Any:
    from aio_azure_clients_toolbox import ManagedAzureServiceBusSender
    from boilermaker import Boilermaker, retries
    from boilermaker.sample import STATIC_DEBUG_TASK

    async def nothing(state: Any) -> None:
        if watch is not None:
            watch.one()

    class State:
        pass

    state = State()
    client = ManagedAzureServiceBusSender(
        "sb://127.0.0.1", "work", connection_string=connection, ready_message=STATIC_DEBUG_TASK.model_dump_json()
    )
    app = Boilermaker(state, client)
    app.kept = state  # it keeps a weak reference only
    app.register_async(nothing, policy=retries.NoRetry())
    return app, nothing


async def ancestor_single(count: int, connection: str) -> Measured:
    """16 producers, as ours."""
    app, nothing = _ancestor(connection)
    return await _timed(count, lambda: app.apply_async(nothing), _AT_ONCE)


async def ancestor_in_turn(count: int, connection: str) -> Measured:
    """One after another: it has no call that publishes several."""
    app, nothing = _ancestor(connection)
    return await _timed(count, lambda: app.apply_async(nothing), 1)


async def ancestor_working(count: int, connection: str) -> Measured:
    """Its worker runs one task at a time."""
    watch = Stopwatch(count)
    producer, task = _our_app(connection)
    for _ in range(count // _BATCH):  # the same envelopes: that is what makes messages move over
        await producer.publish_many([producer.create_task(task) for _ in range(_BATCH)])
    await producer.close()
    app, _ = _ancestor(connection, watch)
    running = asyncio.ensure_future(app.run())
    await watch.done.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert watch.measured is not None
    return watch.measured


# -- the SDK alone


async def sdk_batches(count: int, connection: str) -> Measured:
    """What the SDK can do: batches of 400 messages as large as ours, and nothing else."""
    from azure.servicebus import ServiceBusMessage
    from azure.servicebus.aio import ServiceBusClient

    async with (
        ServiceBusClient.from_connection_string(connection) as client,
        client.get_queue_sender("work") as sender,
    ):
        await sender.send_messages(ServiceBusMessage(b"{}"))
        watch = Stopwatch(count)
        watch.start()
        for start in range(0, count, _BATCH):
            batch = await sender.create_message_batch()
            for number in range(start, start + _BATCH):
                batch.add_message(ServiceBusMessage(b"x" * 400, message_id=f"{time.time_ns()}-{number}"))
            await sender.send_messages(batch)
        watch.stop()
    assert watch.measured is not None
    return watch.measured


CONTESTANTS = {
    one.__name__: one
    for one in (
        ours_single,
        ours_batched,
        ours_working,
        ancestor_single,
        ancestor_in_turn,
        ancestor_working,
        sdk_batches,
    )
}


if __name__ == "__main__":
    logging.disable()
    name, wanted, where = sys.argv[1:]
    print(json.dumps(asyncio.run(CONTESTANTS[name](int(wanted), where))), flush=True)
