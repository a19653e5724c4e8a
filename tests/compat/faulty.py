"""What the tests of faults share: a transport that counts and refuses, and three tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from boilermaker_fn.errors import NotSent
from boilermaker_fn.messages import Message
from boilermaker_fn.task import Task
from tests.stage import Stage


class CountingTransport:
    """Passes messages on, counts operations, and refuses what it is told to refuse."""

    def __init__(self, inner: object) -> None:
        self.inner = inner
        self.operations: list[list[Message]] = []
        self.refused: set[str] = set()

    @property
    def max_message_bytes(self) -> int:
        return self.inner.max_message_bytes

    async def send(self, messages: Sequence[Message], *, numbered: bool = False) -> Mapping[str, int]:
        self.operations.append(list(messages))
        taken = [message for message in messages if message.message_id not in self.refused]
        numbers = await self.inner.send(taken, numbered=numbered)
        if refused := [(m.message_id, OSError("no route")) for m in messages if m.message_id in self.refused]:
            raise NotSent(refused)
        return numbers


def registered(stage: Stage, **options: object) -> None:
    """`work`, `after` and `rescue`, which put their names into the state."""

    @stage.app.task(**options)
    async def work(state: list[str], behaviour: object = None) -> str:
        state.append("work")
        if isinstance(behaviour, str):
            raise ValueError(behaviour)
        return "done"

    @stage.app.task()
    async def after(state: list[str]) -> None:
        state.append("after")

    @stage.app.task()
    async def rescue(state: list[str]) -> None:
        state.append("rescue")


def task(stage: Stage, name: str, *args: object) -> Task:
    return stage.app.create_task(stage.app.shell.registry[name].fn, *args)
