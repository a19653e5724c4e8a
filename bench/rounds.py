"""How are contestants measured? Each round in a fresh process, all of them in turn, and then medians.

The machine may be busy with other work. Taking turns spreads that over all contestants, a ratio is formed inside a
round before the median is taken, and CPU time stands beside wall time because it depends less on what else runs.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

VENV = Path(".bench-venv")
PYTHON = VENV / "bin" / "python"

_PEERS = ("flowrra==0.1.8", "redis", "boilermaker-servicebus==1.4.1", "celery==5.7.0")


class Measured(NamedTuple):
    """One round of one contestant: seconds for all it did, and what else it counted."""

    wall: float
    cpu: float
    counted: int = 0


Rounds = Mapping[str, Sequence[Measured]]


def prepare() -> None:
    """Make the environment in which this package and its peers run side by side, on the same dependencies."""
    wanted = VENV / "peers.txt"
    if wanted.exists() and wanted.read_text() == "\n".join(_PEERS):
        return
    print(f"installing {', '.join(_PEERS)} into {VENV}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "-qq", "-e", ".[functions,cpu]", *_PEERS], check=True)
    wanted.write_text("\n".join(_PEERS))


def printed(*arguments: str) -> list[Any]:
    """Run `python ARGUMENTS` in the environment of the peers; it prints what it measured, a line of JSON at a time."""
    done = subprocess.run([PYTHON, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def measured(*arguments: str) -> Measured:
    """The one measurement that `python ARGUMENTS` prints."""
    (line,) = printed(*arguments)
    return Measured(*line)


def in_turn(contestants: Mapping[str, Callable[[], Measured]], rounds: int) -> Rounds:
    """Let all run once, `rounds` times over; the order is turned round each time."""
    results: dict[str, list[Measured]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            results[name].append(contestants[name]())
    return results


def ratio(ours: Sequence[Measured], theirs: Sequence[Measured], of: Callable[[Measured], float]) -> float:
    """How many times more `theirs` needs than `ours`: above 1, we are faster. The median over the rounds."""
    return statistics.median(of(their) / of(our) for our, their in zip(ours, theirs, strict=True))


def median(results: Sequence[Measured], of: Callable[[Measured], float]) -> float:
    """The median over the rounds."""
    return statistics.median(map(of, results))


def wall(result: Measured) -> float:
    """Seconds on the clock."""
    return result.wall


def cpu(result: Measured) -> float:
    """Seconds of processor time of the contestant's process, all threads."""
    return result.cpu


def counted(result: Measured) -> float:
    """What the contestant counted."""
    return float(result.counted)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    print(f"\n{title}\n")
    for row in (columns, ["-" * width for width in widths], *rows):
        first, *others = [f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)]
        print("  ".join([first.strip().ljust(widths[0]), *others]), flush=True)
