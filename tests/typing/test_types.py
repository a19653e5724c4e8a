"""Do type checkers see what the API promises? mypy --strict and pyright must agree, line by line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def mypy_errors(path: Path) -> dict[int, str]:
    """The errors mypy finds, by line."""
    run = _run("mypy", "--strict", "--output=json", str(path))
    found = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    assert run.returncode in (0, 1), run.stderr
    return {error["line"]: error["message"] for error in found if error["severity"] == "error"}


def pyright_errors(path: Path) -> dict[int, str]:
    """The errors pyright finds, by line. It is a Node program that its package fetches once."""
    run = _run("pyright", "--outputjson", "--pythonpath", sys.executable, str(path))
    try:
        found = json.loads(run.stdout)["generalDiagnostics"]
    except ValueError:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"pyright could not be fetched: {(run.stderr or run.stdout).strip()[-200:]}")
    errors = (error for error in found if error["severity"] == "error")
    return {error["range"]["start"]["line"] + 1: error["message"] for error in errors}


def _run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", tool, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


both = pytest.mark.parametrize("errors_of", [mypy_errors, pyright_errors], ids=["mypy", "pyright"])


@both
def test_what_is_right_is_accepted_with_the_right_types(errors_of) -> None:
    assert errors_of(HERE / "right.py") == {}


@both
def test_what_is_wrong_is_refused(errors_of) -> None:
    path = HERE / "wrong.py"
    expected = {number for number, line in enumerate(path.read_text().splitlines(), 1) if line.endswith("# refused")}
    assert len(expected) > 20
    assert set(errors_of(path)) == expected
