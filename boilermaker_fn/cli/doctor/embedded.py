"""Is the file of the embedded engine fit for tasks? It is looked at as it is: none is made, and nothing is written."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from ...local.connection import BUSY_SECONDS
from .findings import Finding, ok, problem, warning

_CHECK: Final = "file"
_LITTLE_ROOM: Final = 1 << 30
_NO_ROOM: Final = 100 << 20
#: How long another process may keep it locked, in seconds; as for the engine.
_PATIENCE: Final = BUSY_SECONDS


def examined(path: Path | None) -> list[Finding]:
    """What there is to say of the file; None: memory."""
    if path is None:
        return [warning(_CHECK, "tasks live in memory: they end with the process", "give LocalEngine a path")]
    path = path.absolute()
    return [_opened(path) if path.exists() else _to_be_made(path), _room(_nearest(path))]


def _to_be_made(path: Path) -> Finding:
    directory = _nearest(path)
    if not directory.is_dir() or not os.access(directory, os.W_OK | os.X_OK):
        remedy = "let this user write there, or name another file in BOILERMAKER_LOCAL_FILE"
        return problem(_CHECK, f"{path} cannot be made: {directory} cannot be written to", remedy)
    return ok(_CHECK, f"{path} is made when it is first used")


def _opened(path: Path) -> Finding:
    remedy = "let this user write to it and its directory, or name another file in BOILERMAKER_LOCAL_FILE"
    try:
        with closing(
            sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_PATIENCE)
        ) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return problem(_CHECK, f"{path} cannot be used: {error}", remedy)
    if state != "ok":
        remedy = "move it away; sqlite3's .recover can save what is readable"
        return problem(_CHECK, f"{path} is damaged: {state}", remedy)
    if mode != "wal":
        remedy = "put it on a local disk, not on a network drive, where write-ahead logging cannot work"
        return warning(_CHECK, f"{path} is not in WAL mode but {mode}", remedy)
    return ok(_CHECK, f"{path} can be written to, in WAL mode")


def _room(directory: Path) -> Finding:
    free = shutil.disk_usage(directory).free
    found = f"{free / (1 << 30):.1f} GiB are free"
    if free < _NO_ROOM:
        return problem("disk", f"{found}: publishing fails when it is full", "free disk space")
    if free < _LITTLE_ROOM:
        return warning("disk", found, "free disk space")
    return ok("disk", found)


def _nearest(path: Path) -> Path:
    """The file's directory, or the closest one above it that exists."""
    return next(parent for parent in path.parents if parent.exists())
