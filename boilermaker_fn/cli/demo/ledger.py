"""What became of every row of the file? Read from the results that are kept, and from nothing else.

So a run that was interrupted is followed as well as one that was not, by whichever process ran its tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...follow_ups import followers
from ...results import ResultStore
from ...task.result import TerminalRow
from ...task.task import Task


@dataclass(slots=True)
class Case:
    """One row of the file (`line`, the header is 1): its first task, and how that and all that followed ended.

    `label` is the order's id, or the line. `rows` are by function, in the order in which they were learnt of.
    """

    line: int
    label: str
    task: Task
    rows: dict[str, TerminalRow] = field(default_factory=dict)
    awaited: list[Task] = field(init=False)

    def __post_init__(self) -> None:
        self.awaited = [self.task]

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return not self.awaited

    @property
    def failure(self) -> TerminalRow | None:
        """What failed first; None if nothing did so far."""
        return next((row for row in self.rows.values() if not row.status.succeeded), None)

    @property
    def tries_again(self) -> int:
        """How many attempts were made beside the first ones."""
        return sum(max(0, row.attempts - 1) for row in self.rows.values())

    def learn(self, task: Task, row: TerminalRow) -> list[Task]:
        """Note how a task ended. Returns what follows, which is now waited for."""
        following = followers(task, row.status)
        self.awaited.remove(task)
        self.awaited += following
        self.rows[task.function_name] = row
        return following


class Ledger:
    """All rows of the file."""

    def __init__(self, cases: Sequence[Case], results: ResultStore) -> None:
        self.cases = cases
        self._results = results

    @property
    def ended(self) -> list[Case]:
        """Those of which nothing more will happen."""
        return [case for case in self.cases if case.ended]

    @property
    def failed(self) -> list[Case]:
        """Those that ended, and something failed."""
        return [case for case in self.ended if case.failure is not None]

    @property
    def succeeded(self) -> list[Case]:
        """Those that ended well."""
        return [case for case in self.ended if case.failure is None]

    @property
    def rows(self) -> list[TerminalRow]:
        """How all tasks ended, as far as they have."""
        return [row for case in self.cases for row in case.rows.values()]

    async def look(self) -> list[tuple[Case, TerminalRow]]:
        """Read how the tasks that are waited for ended. Returns what is new; raises StoreUnavailable."""
        news: list[tuple[Case, TerminalRow]] = []
        awaited = [(case, task) for case in self.cases for task in case.awaited]
        while awaited:
            rows = await asyncio.gather(*(self._results.read(task.task_id) for _, task in awaited))
            found = [(case, task, row) for (case, task), row in zip(awaited, rows, strict=True) if row is not None]
            awaited = [(case, follower) for case, task, row in found for follower in case.learn(task, row)]
            news += [(case, row) for case, _, row in found]
        return news
