"""What becomes of several pieces of work that share one transaction?

*Work* is a plain function of the connection. It checks, then writes: work that raises has changed nothing, and the
others of its batch go on. Where that does not hold (SQLite itself refused, or work broke the rule) the whole batch is
rolled back and every piece done again in a transaction of its own, so that only what cannot be done fails. So work can
run twice, and must have no effects but those on the connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from .connection import Connection, begin, connect, unavailable
from .schema import Owner

T = TypeVar("T")
Work: TypeAlias = Callable[[Connection], T]

#: What work returned, or what it raised; StoreUnavailable when the file is to blame.
Outcome: TypeAlias = tuple[Any, Exception | None]


class Transactions:
    """One connection, opened when it is first used. Not for several threads at once."""

    def __init__(self, path: Path | None, name: str, owner: Owner) -> None:
        self._path = path
        self._owner = owner
        self._name = name
        self._connection: Connection | None = None
        self._identity: tuple[int, int] | None = None

    def do(self, batch: Sequence[Work[Any]], *, writing: bool) -> list[Outcome]:
        """Do all in one transaction. What is returned is durable."""
        try:
            connection = self._connected()
            begin(connection, writing=writing)
        except Exception as error:  # a programming error too must reach the callers, not end the thread
            return [(None, unavailable(error, self._name)) for _ in batch]
        try:
            outcomes = [_attempt(connection, work) for work in batch]
            connection.execute("COMMIT")
        except BaseException as error:
            self._roll_back(connection)
            if not isinstance(error, Exception):
                raise
            if len(batch) == 1:
                return [(None, unavailable(error, self._name))]
            return [outcome for work in batch for outcome in self.do([work], writing=writing)]
        return outcomes

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _roll_back(self, connection: Connection) -> None:
        try:
            if connection.in_transaction:  # some errors have rolled back already
                connection.execute("ROLLBACK")
        except sqlite3.Error:  # the disk is gone, perhaps: closing rolls back too, and the next batch opens anew
            self.close()

    def _connected(self) -> Connection:
        """The connection; a new one when the file was removed or replaced under the old one."""
        if self._connection is not None and self._identity != _identity(self._path):
            self.close()
        if self._connection is None:
            self._connection = connect(self._path, self._owner)
            self._identity = _identity(self._path)
        return self._connection


def _attempt(connection: Connection, work: Work[Any]) -> Outcome:
    changes = connection.total_changes
    try:
        return work(connection), None
    except sqlite3.Error:
        raise
    except Exception as error:
        if connection.total_changes != changes:
            raise
        return None, error


def _identity(path: Path | None) -> tuple[int, int] | None:
    if path is None:
        return None
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_dev, status.st_ino
