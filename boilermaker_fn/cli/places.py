"""Where does a command look for tasks? At an app's place, or at the one the environment names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from ..app import Boilermaker
from ..errors import TaskNotFound
from ..handle import TaskHandle
from ..ids import problem_with_id
from ..json_values import JsonValue
from ..task.result import TaskResult
from ..wiring import Wiring, wired
from .apps import loaded
from .exits import NothingFound

C = TypeVar("C", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Place:
    """A wiring, and the queues in which tasks may wait there."""

    wiring: Wiring
    queues: tuple[str, ...]

    def handle(self, task_id: str) -> TaskHandle[Any]:
        """The handle of a task here; its value stays JSON data."""
        return TaskHandle(task_id, self.wiring, queues=self.queues, value=JsonValue())

    async def info(self, task_id: str) -> TaskResult:
        """All that is known of a task. Raises NothingFound when there is none."""
        try:
            return await self.handle(task_id).info()
        except TaskNotFound as error:
            looked = f"looked in {', '.join(self.queues)} and the results of {self.wiring.engine.name}"
            raise NothingFound(f"{error} ({looked}; --app or BOILERMAKER_LOCAL_FILE name another place)") from error


@asynccontextmanager
async def place(app: Boilermaker | None) -> AsyncIterator[Place]:
    """The place of `app`, or of the environment; closed afterwards. Raises ConfigurationError."""
    if app is None:
        wiring = wired(None, None)
        try:
            yield Place(wiring, (wiring.queue,))
        finally:
            await wiring.close()
    else:
        try:
            yield Place(app.shell.wiring, app.shell.queues)
        finally:
            await app.close()


def app_option(command: C) -> C:
    """Adds `--app`."""
    return click.option(
        "--app", callback=loaded, metavar="APP", help="Look where this app keeps its tasks, module:attribute."
    )(command)


def json_option(command: C) -> C:
    """Adds `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for programs.")(command)


def checked_id(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuses what cannot be a task's id."""
    if value is not None and (problem := problem_with_id(value)):
        raise click.BadParameter(problem)
    return value
