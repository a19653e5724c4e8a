"""What is in the file?

Every change to the tables raises `VERSION`; a file of a newer version is refused, not guessed at.
"""

from __future__ import annotations

import sqlite3
from enum import Enum
from typing import Final

from ..errors import ConfigurationError

VERSION: Final = 1


class Owner(Enum):
    """Whose file it is. The value stands in its header, and tells our files from those of other programs."""

    ENGINE = 0x626D666E  # "bmfn"
    EMULATOR = 0x626D6665  # "bmfe"; its messages are AMQP, which no worker on the file could read

    def __str__(self) -> str:
        return "the embedded engine" if self is Owner.ENGINE else "the emulator"


# A message is 'ready', 'scheduled' or 'locked'. `at` is the place in the queue of a ready one, the due time of a
# scheduled one and the end of the lock of a locked one, so that one index serves all three; `available_at` keeps the
# place while it is locked.
_STATEMENTS: Final = (
    # AUTOINCREMENT, because a claim on a graph node names its message: no number may ever come twice.
    """CREATE TABLE messages (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        state TEXT NOT NULL,
        at REAL NOT NULL,
        available_at REAL NOT NULL,
        expires_at REAL,
        delivery_count INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        properties TEXT,
        body BLOB NOT NULL
    )""",
    "CREATE INDEX messages_by_state ON messages (queue, state, at)",
    "CREATE INDEX messages_by_id ON messages (queue, message_id)",
    "CREATE INDEX messages_by_queue ON messages (queue)",  # with the row id that every index ends in: for peek
    """CREATE TABLE sent (
        queue TEXT NOT NULL,
        message_id TEXT NOT NULL,
        sent_at REAL NOT NULL,
        PRIMARY KEY (queue, message_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX sent_by_time ON sent (sent_at)",
    """CREATE TABLE entities (
        partition TEXT NOT NULL,
        row TEXT NOT NULL,
        etag TEXT NOT NULL,
        properties TEXT NOT NULL,
        PRIMARY KEY (partition, row)
    ) WITHOUT ROWID""",
    "CREATE TABLE connections (last INTEGER NOT NULL)",
    "INSERT INTO connections VALUES (0)",
    f"PRAGMA user_version = {VERSION}",
)


def prepare(connection: sqlite3.Connection, owner: Owner, where: str) -> int:
    """Make the tables in a new file of `owner`; returns a number that no other connection to the file ever had or gets.

    Raises ConfigurationError when `where` is a file we must not touch.
    """
    marked = _number(connection, "PRAGMA application_id")
    if marked != owner.value:
        if marked in {other.value for other in Owner}:
            raise ConfigurationError(f"{where} belongs to {Owner(marked)}, not to {owner}: use another file")
        if _number(connection, "SELECT count(*) FROM sqlite_master"):
            raise ConfigurationError(f"{where} is a database of another program: use another file")
        for statement in (*_STATEMENTS, f"PRAGMA application_id = {owner.value}"):
            connection.execute(statement)
    version = _number(connection, "PRAGMA user_version")
    if version > VERSION:
        raise ConfigurationError(
            f"{where} was written by a newer boilermaker_fn (file version {version}, this one knows up to {VERSION}): "
            "upgrade the package, or use another file"
        )
    connection.execute("UPDATE connections SET last = last + 1")
    return _number(connection, "SELECT last FROM connections")


def _number(connection: sqlite3.Connection, statement: str) -> int:
    (number,) = connection.execute(statement).fetchone()
    return int(number)
