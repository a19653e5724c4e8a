"""What did a message lead to? Read from the file in which the tasks of the worker live."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from boilermaker_fn import Task
from boilermaker_fn.envelopes import encode
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import Delivery, task_id_of
from boilermaker_fn.results import ResultStore
from boilermaker_fn.task.result import TerminalRow
from tests.host.host import Incoming

QUEUE = "host-tasks"
LAKE = "host-tasks-dead-letters"


def settings(file: Path) -> dict[str, str]:
    """The app settings under which the worker runs."""
    return {"SERVICE_BUS_QUEUE_NAME": QUEUE, "BOILERMAKER_LOCAL_FILE": str(file)}


class Seen:
    """What a message led to, by the id of its task."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine

    async def messages(self, task_id: str, queue: str = QUEUE) -> list[Delivery]:
        """Messages of a task, scheduled ones too."""
        return [m for m in await self._engine.inbox(queue).peek(10_000) if task_id_of(m.message_id) == task_id]

    async def letter(self, body: bytes) -> Delivery:
        """The one dead letter with this body."""
        (letter,) = [m for m in await self._engine.inbox(LAKE).peek(10_000) if m.body == body]
        return letter

    async def row(self, task_id: str) -> TerminalRow | None:
        """The terminal row of a task."""
        assert self._engine.table is not None
        return await ResultStore(self._engine.table).read(task_id)


def task(function: str, *args: Any, **fields: Any) -> Task:
    """A task for a function of the worker."""
    return Task(function_name=function, payload={"args": list(args), "kwargs": {}}, **fields)


def message(of: Task, **fields: Any) -> Incoming:
    """The message that asks for a task."""
    return Incoming(encode(of), of.task_id, **fields)
