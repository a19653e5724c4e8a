"""Who takes messages from Service Bus to a function app? In Azure the host; in tests this stand-in, over the real SDK.

For each trigger of the app it receives in peek-lock, as many at once as host.json says, renews locks while functions
run, completes what returned and abandons what raised. A worker process that dies is started again. Stopping takes
nothing more and gives what runs its grace; then the worker process ends, and what was running there is abandoned.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from azure.servicebus import ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from azure.servicebus.exceptions import ServiceBusError

from boilermaker_fn import host_settings
from boilermaker_fn.functions import CONNECTION
from boilermaker_fn.host_settings import HostSettings
from boilermaker_fn.messages import DEAD_LETTER_SUFFIX, origin_of
from tests.e2e.place import properties_of
from tests.host.host import FunctionsHost, Incoming, RequestFailed, RuntimeDied

#: Longest wait for a message, in seconds.
_WAIT: Final = 1.0


@dataclass(frozen=True, slots=True)
class Trigger:
    """A function and the queue whose messages it gets."""

    function: str
    queue: str


def triggers(functions: Iterable[Any], settings: Mapping[str, str]) -> list[Trigger]:
    """The Service Bus triggers of an app's functions; `%NAME%` stands for a setting."""
    found = []
    for function in functions:
        for binding in map(json.loads, function.raw_bindings):
            if binding["type"] == "serviceBusTrigger":
                queue = re.sub("%([^%]+)%", lambda name: settings[name[1]], binding["queueName"])
                found.append(Trigger(function.name, queue))
    return found


class Runtime:
    """The worker process of a host, which is started again when it dies."""

    def __init__(self, directory: Path, settings: Mapping[str, str]) -> None:
        self._directory = directory
        self._settings = settings
        self._worker = self._started()
        self._restarting = asyncio.Lock()
        self._stopping = False

    @property
    def functions(self) -> list[Any]:
        """The metadata of the app's functions."""
        return self._worker.metadata

    async def invoke(self, function: str, message: Incoming) -> None:
        """Invoke a function. Raises RequestFailed, RuntimeDied."""
        worker = self._worker
        try:
            await worker.invoke(function, message)
        except RuntimeDied:
            async with self._restarting:
                if worker is self._worker and not self._stopping:
                    await asyncio.to_thread(worker.__exit__, None, None, None)
                    self._worker = await asyncio.to_thread(self._started)
            raise

    async def stop(self) -> None:
        """End the process; what runs there fails."""
        if not self._stopping:
            self._stopping = True
            await asyncio.to_thread(self._worker.terminate)
            await asyncio.to_thread(self._worker.__exit__, None, None, None)

    def _started(self) -> FunctionsHost:
        return FunctionsHost(self._directory, self._settings).__enter__()


class ServiceBusHost:
    """Serves the function app in `directory` until it is told to stop. `grace` is in seconds."""

    def __init__(self, directory: Path, settings: Mapping[str, str], *, grace: float) -> None:
        self._directory = directory
        self._settings = settings
        self._grace = grace

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, then drain."""
        limits, runtime = host_settings.read(self._directory), Runtime(self._directory, self._settings)
        assert limits is not None
        async with AsyncExitStack() as stack:
            stack.push_async_callback(runtime.stop)
            client = ServiceBusClient.from_connection_string(self._settings[CONNECTION])
            await stack.enter_async_context(client)
            listeners = [
                await stack.enter_async_context(Listener(client, runtime, trigger, limits))
                for trigger in triggers(runtime.functions, self._settings)
            ]
            print("listening", flush=True)
            await asyncio.gather(*(listener.listen(stopping) for listener in listeners))
            await asyncio.gather(*(listener.finished(self._grace) for listener in listeners))
            await runtime.stop()


class Listener:
    """Hands the messages of one trigger to its function."""

    def __init__(self, client: ServiceBusClient, runtime: Runtime, trigger: Trigger, limits: HostSettings) -> None:
        self._receiver = _receiver(client, trigger.queue)
        self._runtime = runtime
        self._trigger = trigger
        self._limits = limits
        self._places = asyncio.Semaphore(limits.concurrent_calls)
        self._running: set[asyncio.Task[None]] = set()
        self._settling = asyncio.Lock()  # settlements of one receiver at the same time hold each other up

    async def __aenter__(self) -> Self:
        """Open the receiver."""
        await self._receiver.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Settle what came to an end, and close the receiver."""
        await asyncio.gather(*self._running)
        await self._receiver.__aexit__(*error)

    async def listen(self, stopping: asyncio.Event) -> None:
        """Receive and start until told to stop."""
        while not stopping.is_set():
            await self._places.acquire()
            self._places.release()
            free = self._limits.concurrent_calls - len(self._running)
            for message in await self._receiver.receive_messages(max_message_count=free, max_wait_time=_WAIT):
                await self._places.acquire()
                task = asyncio.ensure_future(self._serve(message))
                self._running.add(task)
                task.add_done_callback(self._done)

    async def finished(self, grace: float) -> None:
        """Wait until nothing runs any more, at most for `grace` seconds."""
        if self._running:
            await asyncio.wait(self._running, timeout=grace)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._places.release()

    async def _serve(self, message: ServiceBusReceivedMessage) -> None:
        renewing = asyncio.ensure_future(self._renew(message))
        try:
            await self._runtime.invoke(self._trigger.function, incoming(message))
        except (RequestFailed, RuntimeDied) as error:
            print(f"{self._trigger.function} raised: {error}", flush=True)
            settle = self._receiver.abandon_message
        else:
            settle = self._receiver.complete_message
        finally:
            renewing.cancel()
        try:
            async with self._settling:
                await settle(message)
        except ServiceBusError as error:
            print(f"{self._trigger.function}, message {message.message_id} was not settled: {error}", flush=True)

    async def _renew(self, message: ServiceBusReceivedMessage) -> None:
        try:
            async with asyncio.timeout(self._limits.lock_renewal):
                while message.locked_until_utc is not None:
                    await asyncio.sleep((message.locked_until_utc.timestamp() - time.time()) / 2)
                    await self._receiver.renew_message_lock(message)
        except (ServiceBusError, TimeoutError) as error:
            print(f"{self._trigger.function}, message {message.message_id} is no longer locked: {error}", flush=True)


def incoming(message: ServiceBusReceivedMessage) -> Incoming:
    """A message as the Service Bus extension hands it over; it counts deliveries from 1, the SDK from 0."""
    body, count = b"".join(message.body), (message.delivery_count or 0) + 1
    return Incoming(body, message.message_id, message.sequence_number, count, properties_of(message))


def _receiver(client: ServiceBusClient, queue: str) -> ServiceBusReceiver:
    below = ServiceBusSubQueue.DEAD_LETTER if queue.endswith(DEAD_LETTER_SUFFIX) else None
    return client.get_queue_receiver(origin_of(queue), sub_queue=below)
