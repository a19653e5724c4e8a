"""How is the file opened, and what does it mean when SQLite refuses?

WAL with synchronous=NORMAL: what was committed survives the death of the process (kill -9 too); the death of the
machine can take the last moments with it, never the file's consistency.
"""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..errors import StoreUnavailable
from .schema import Owner, prepare

BUSY_SECONDS: Final = 5.0

_PAUSE_SECONDS: Final = 0.001
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

_REMEDIES: Final = {
    sqlite3.SQLITE_BUSY: f"another process has kept it locked for {BUSY_SECONDS:g} s; end or wait for that process",
    sqlite3.SQLITE_LOCKED: f"another process has kept it locked for {BUSY_SECONDS:g} s; end or wait for that process",
    sqlite3.SQLITE_FULL: "there is no room left; free disk space",
    sqlite3.SQLITE_IOERR: "reading or writing failed; check the disk, and that it is not a network drive",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that the path is a file and its directory can be written to",
    sqlite3.SQLITE_READONLY: "it is read-only; check the permissions of the file and its directory",
    sqlite3.SQLITE_PERM: "access is denied; check the permissions of the file and its directory",
    sqlite3.SQLITE_CORRUPT: "it is damaged; move it away (sqlite3's .recover can save what is readable)",
    sqlite3.SQLITE_NOTADB: "it is not an SQLite database; use another path",
}


class Connection(sqlite3.Connection):
    """`etags` are new ones: unique in the file, for ever, without a write for each."""

    etags: Iterator[str]


def connect(path: Path | None, owner: Owner = Owner.ENGINE) -> Connection:
    """Open `path` (None: memory) for `owner`, make what is missing, and leave the connection in autocommit mode.

    Raises sqlite3.Error, OSError, and ConfigurationError for a file that is not for us.
    """
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    # Waiting is done in `begin`, where a short and even pause is fair to other processes.
    connection = sqlite3.connect(
        path or ":memory:", timeout=0, isolation_level=None, check_same_thread=False, factory=Connection
    )
    try:
        if owner is Owner.EMULATOR:  # what one emulator is sent would wake nobody who waits at another one
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        _patiently(connection, "PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        begin(connection, writing=True)
        number = prepare(connection, owner, f"the file {path}")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    connection.etags = map(f"{number:x}-{{:x}}".format, itertools.count(1))
    return connection


def begin(connection: sqlite3.Connection, *, writing: bool) -> None:
    """Start a transaction, waiting up to BUSY_SECONDS for other processes. Raises sqlite3.Error."""
    _patiently(connection, "BEGIN IMMEDIATE" if writing else "BEGIN")


def unavailable(error: Exception, where: str) -> Exception:
    """The StoreUnavailable that says what `error` means for the user; `error` itself if it is not the store's fault."""
    if isinstance(error, OSError):
        return StoreUnavailable(f"{where} cannot be opened: {error}; check the path and its permissions")
    if isinstance(error, sqlite3.Error):
        remedy = _REMEDIES.get(_code(error))
        if remedy is not None:
            return StoreUnavailable(f"{where}: {error}: {remedy}. Nothing was half-done; trying again is safe")
    return error


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if _code(error) not in _BUSY or time.monotonic() >= deadline:
                raise
        else:
            return
        time.sleep(_PAUSE_SECONDS)


def _code(error: sqlite3.Error) -> int:
    """The primary result code; errors that Python's module raises by itself have none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
