"""What does the command print into a pipe, and on a terminal? Run as processes, as a shell would."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("boilermaker-fn")
APP = """
from boilermaker_fn import Boilermaker

app = Boilermaker()

@app.task
async def add(state, a: int, b: int) -> int:
    return a + b

@app.task
async def fail(state) -> None:
    raise ValueError("a long story: " + "and then " * 40 + "the end")
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "storyteller.py").write_text(APP)
    return tmp_path


def environment(place: Path) -> dict[str, str]:
    return {**os.environ, "BOILERMAKER_LOCAL_FILE": str(place / "local.db"), "FORCE_COLOR": "1", "COLUMNS": "60"}


def run(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *words], cwd=place, env=environment(place), capture_output=True, text=True, timeout=60, check=False
    )


def test_a_worker_runs_what_another_process_enqueues(place: Path) -> None:
    with (place / "worker.log").open("w") as log:
        worker = subprocess.Popen([COMMAND, "worker", "storyteller"], cwd=place, env=environment(place), stderr=log)
        try:
            added = run(place, "enqueue", "storyteller", "add", "40", "2", "--task-id", "sum", "--wait", "50")
            failed = run(place, "enqueue", "storyteller", "fail", "--task-id", "story", "--wait", "50")
        finally:
            worker.send_signal(signal.SIGTERM)
            code = worker.wait(timeout=30)
    assert (added.returncode, added.stdout, added.stderr) == (0, "sum\n42\n", "")
    assert (failed.returncode, failed.stdout) == (1, "story\n")
    assert "the end" in failed.stderr
    assert code == 0, (place / "worker.log").read_text()

    piped = run(place, "deadletters", "list")
    assert "\x1b" not in piped.stdout
    assert [line.endswith("the end") for line in piped.stdout.splitlines()] == [False, True]

    shown = on_a_terminal(place, "deadletters", "list")
    assert "\x1b[" in shown
    assert "the end" not in shown  # it is 60 columns wide


def on_a_terminal(place: Path, *words: str) -> str:
    ours, theirs = pty.openpty()
    with subprocess.Popen([COMMAND, *words], cwd=place, env=environment(place), stdout=theirs) as process:
        os.close(theirs)
        assert process.wait(timeout=60) == 0
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    return shown
