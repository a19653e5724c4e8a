"""Which run is this? One that was interrupted goes on; after one that is finished the next starts clean.

A run's number is part of the ids of its tasks. It is kept in one row beside the results.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...entities import ANY_ETAG, Entity, Insert, Replace
from ...errors import Conflict
from ...ports import Table

_PARTITION, _ROW = "demo", "run"


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the demo; `continued` says that an earlier process began it."""

    number: int
    continued: bool = False

    @property
    def name(self) -> str:
        """What the ids of its tasks begin with."""
        return f"demo-{self.number}"

    @property
    def story(self) -> str:
        """In one line, what kind of run it is."""
        if self.continued:
            return f"{self.name} was not finished: it goes on where it was"
        if self.number > 1:
            return f"demo-{self.number - 1} is finished: {self.name} starts clean"
        return f"{self.name} is the first run on this file: it starts clean"


async def begin(table: Table) -> Run:
    """The run to work on, noted as not finished."""
    kept = await table.read(_PARTITION, _ROW)
    if kept is None:
        run = Run(1)
        try:
            await table.write([Insert(_entity(run, finished=False))])
        except Conflict:  # another process begins it at this moment
            return replace(run, continued=True)
        return run
    number = int(str(kept.values["number"]))
    if not kept.values["finished"]:
        return Run(number, continued=True)
    run = Run(number + 1)
    try:
        await table.write([Replace(_entity(run, finished=False, etag=kept.etag))])
    except Conflict:
        return replace(run, continued=True)
    return run


async def finish(table: Table, run: Run) -> None:
    """Note that all of the run has ended."""
    await table.write([Replace(_entity(run, finished=True, etag=ANY_ETAG))])


def _entity(run: Run, *, finished: bool, etag: str = "") -> Entity:
    return Entity(_PARTITION, _ROW, {"number": run.number, "finished": finished}, etag)
