"""What the doctor says of the embedded engine's file."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections import namedtuple
from pathlib import Path

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.cli.doctor import embedded
from boilermaker_fn.cli.doctor.findings import Level
from boilermaker_fn.local import LocalEngine

Usage = namedtuple("Usage", "total used free")


async def used(path: Path) -> None:
    """Make the file, as an app does."""
    engine = LocalEngine(path)
    await engine.inbox("orders").peek(1)
    await engine.close()


async def test_a_file_in_use(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    await used(path)
    before = path.stat().st_mtime_ns
    file, disk = embedded.examined(path)
    assert (file.level, file.found) == (Level.OK, f"{path} can be written to, in WAL mode")
    assert disk.level is Level.OK
    assert path.stat().st_mtime_ns == before


def test_a_file_to_be_made(tmp_path: Path) -> None:
    path = tmp_path / "not" / "yet" / "tasks.db"
    file, _ = embedded.examined(path)
    assert (file.level, file.found) == (Level.OK, f"{path} is made when it is first used")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    file, _ = embedded.examined(tmp_path / "data" / "tasks.db")
    assert file.level is Level.PROBLEM
    assert "BOILERMAKER_LOCAL_FILE" in file.remedy


def test_a_directory_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # who runs the tests may be root
    file, _ = embedded.examined(tmp_path / "tasks.db")
    assert (file.level, file.found) == (
        Level.PROBLEM,
        f"{tmp_path / 'tasks.db'} cannot be made: {tmp_path} cannot be written to",
    )


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\x00 and nothing more"])
def test_what_is_no_database(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    path.write_bytes(content)
    file, _ = embedded.examined(path)
    assert file.level is Level.PROBLEM
    assert path.read_bytes() == content


def test_a_directory(tmp_path: Path) -> None:
    file, _ = embedded.examined(tmp_path)
    assert file.level is Level.PROBLEM


async def test_a_file_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    await used(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    finding, _ = embedded.examined(path)
    assert finding.level is Level.PROBLEM
    assert "malformed" in finding.found or "damaged" in finding.found


async def test_a_file_that_another_process_keeps_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tasks.db"
    await used(path)
    monkeypatch.setattr(embedded, "_PATIENCE", 0.0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    file, _ = embedded.examined(path)
    other.close()
    assert (file.level, file.found) == (Level.PROBLEM, f"{path} cannot be used: database is locked")


def test_a_file_without_a_write_ahead_log(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    file, _ = embedded.examined(path)
    assert file.level is Level.WARNING
    assert file.found == f"{path} is not in WAL mode but delete"


@pytest.mark.parametrize(
    ("free", "level"), [(2 << 30, Level.OK), ((1 << 30) - 1, Level.WARNING), ((100 << 20) - 1, Level.PROBLEM)]
)
def test_room_on_the_disk(free: int, level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10 << 30, 0, free))
    _, disk = embedded.examined(tmp_path / "tasks.db")
    assert (disk.check, disk.level) == ("disk", level)


async def test_memory() -> None:
    from boilermaker_fn.cli.doctor.checkup import checkup

    found = await checkup(Boilermaker({}, LocalEngine()))
    (file,) = [finding for finding in found if finding.check == "file"]
    assert file.level is Level.WARNING
