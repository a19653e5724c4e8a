"""What do the end-to-end tests look at? The queues with the SDK, the rows, and what the tasks noted."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from azure.servicebus import ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient

from boilermaker_fn import Boilermaker
from boilermaker_fn.messages import DEAD_LETTER_SUFFIX, origin_of
from boilermaker_fn.service_bus import AzureServiceBus
from boilermaker_fn.tables import AzureTable
from tests.e2e.app.journal import VARIABLE, Journal
from tests.e2e.processes import PATIENCE, Process, boilermaker_fn, module
from tests.emulated import EmulatorProcess

QUEUE: Final = "e2e-tasks"
LAKE: Final = "e2e-lake"
APP: Final = Path(__file__).parent / "app"

_numbers = itertools.count(1)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """An emulator, a table of a storage account, a directory for what is noted; and the processes that use them."""

    emulator: EmulatorProcess
    storage: str
    table: str
    directory: Path

    @property
    def settings(self) -> dict[str, str]:
        """The app settings, as the Functions host has them."""
        return {
            "ServiceBusConnection": self.emulator.connection_string,
            "SERVICE_BUS_QUEUE_NAME": QUEUE,
            "DEAD_LETTER_QUEUE_NAME": LAKE,
            "AzureWebJobsStorage": self.storage,
            "BOILERMAKER_TABLE_NAME": self.table,
            VARIABLE: str(self.directory / "journal"),
        }

    @property
    def journal(self) -> Journal:
        """What the tasks noted."""
        return Journal(self.directory / "journal")

    @contextmanager
    def host(self, *, grace: float = 20) -> Iterator[Process]:
        """A Functions host that serves the app."""
        with self._process("host", module("tests.e2e.host_process", str(APP), str(grace))) as process:
            process.wait_for("listening")
            yield process

    @contextmanager
    def worker(self, *, concurrency: int, grace: float = 20) -> Iterator[Process]:
        """A worker of the app, outside Functions."""
        options = ("--concurrency", str(concurrency), "--grace", str(grace))
        with self._process("worker", boilermaker_fn("worker", "tasks", *options)) as process:
            yield process

    @contextmanager
    def producer(self, **settings: str) -> Iterator[Producer]:
        """Who publishes; `settings` replace those of the place."""
        with self._process("producer", module("tests.e2e.producer"), **settings) as process:
            yield Producer(process)

    async def peek(self, queue: str) -> list[ServiceBusReceivedMessage]:
        """The messages of a queue, in any state."""
        return await messages_in(self.emulator.connection_string, queue)

    async def letter(self, task_id: str) -> dict[str, Any]:
        """The properties of the one dead letter of a task, once it is there."""

        async def look() -> list[dict[str, Any]]:
            properties = [properties_of(letter) for letter in await self.peek(LAKE)]
            return [one for one in properties if one["task_id"] == task_id]

        (letter,) = await until(look)
        return letter

    async def until_empty(self) -> None:
        """Wait until nothing is queued or set aside."""

        async def look() -> bool:
            return not await self.peek(QUEUE) and not await self.peek(QUEUE + DEAD_LETTER_SUFFIX)

        await until(look)

    async def until_started(self, *keys: str, times: int = 1) -> None:
        """Wait until the tasks with these keys were started, so many times."""

        async def look() -> bool:
            return all(len(self.journal.entries(key)) >= times for key in keys)

        await until(look)

    @asynccontextmanager
    async def observer(self) -> AsyncIterator[Boilermaker]:
        """An app that runs nothing: its handles tell what became of tasks."""
        engine = AzureServiceBus(
            service_bus_queue_name=QUEUE,
            connection_string=self.emulator.connection_string,
            dead_letter_queue_name=LAKE,
        )
        app = Boilermaker(
            None, engine, results_storage=AzureTable(table_name=self.table, connection_string=self.storage)
        )
        try:
            yield app
        finally:
            await app.close()

    @contextmanager
    def _process(self, name: str, command: list[str], **settings: str) -> Iterator[Process]:
        log = self.directory / f"{name}-{next(_numbers)}.log"
        with Process(command, log, settings={**self.settings, **settings}, directory=APP) as process:
            yield process


class Producer:
    """A process that publishes what it is told to."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._read = 0

    async def publish(self, *wanted: dict[str, Any]) -> dict[str, Any]:
        """Publish these tasks (see producer.py); what became of that."""
        self._process.write(json.dumps(wanted))
        answer = await asyncio.to_thread(self._process.wait_for, r"(?m)^\{.*\}$", self._read)
        self._read = answer.end()
        return json.loads(answer[0])


def named(task_id: str, do: str, *args: Any, **more: Any) -> dict[str, Any]:
    """A task for the producer, with an id chosen here; `more` is what follows it."""
    return {"do": do, "args": args, "options": {"task_id": task_id}, **more}


async def messages_in(connection: str, queue: str) -> list[ServiceBusReceivedMessage]:
    """All messages of a queue, in any state."""
    below = ServiceBusSubQueue.DEAD_LETTER if queue.endswith(DEAD_LETTER_SUFFIX) else None
    found: list[ServiceBusReceivedMessage] = []
    async with (
        ServiceBusClient.from_connection_string(connection) as client,
        client.get_queue_receiver(origin_of(queue), sub_queue=below) as receiver,
    ):
        first = 0
        while more := await receiver.peek_messages(max_message_count=250, sequence_number=first):
            found += more
            first = (more[-1].sequence_number or 0) + 1
    return found


def properties_of(message: ServiceBusReceivedMessage) -> dict[str, Any]:
    """Application properties as text and numbers; the SDK gives bytes."""
    given = message.application_properties or {}
    return {str(_text(name)): _text(value) for name, value in given.items()}


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


async def until(look: Callable[[], Awaitable[T]]) -> T:
    """Look again and again until there is something to see. Raises AssertionError with what there was instead."""
    seen: T | None = None
    try:
        async with asyncio.timeout(PATIENCE):
            while not (seen := await look()):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"still {seen!r} after {PATIENCE:g} s") from None
    return seen
