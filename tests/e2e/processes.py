"""How does a test get processes that are gone when it is, whatever happens? Each heads a group, which dies as one."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.host.host import ROOT

#: How long a process may take for what it should do, in seconds. Tests on busy machines wait, and go on at once.
PATIENCE: Final = 90.0

_INHERITED: Final = frozenset({"PATH", "HOME", "TMPDIR", "LANG", "COVERAGE_PROCESS_CONFIG"})


class Process:
    """A command that runs until the test ends. What it writes goes to `log`."""

    def __init__(self, command: Sequence[str], log: Path, *, settings: Mapping[str, str], directory: Path) -> None:
        self._log = log
        inherited = {name: value for name, value in os.environ.items() if name in _INHERITED}
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                cwd=directory,
                env={**inherited, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **settings},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it and all that it started."""
        self.kill()

    @property
    def words(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace")

    def wait_for(self, pattern: str, after: int = 0) -> re.Match[str]:
        """Wait until it has written something like this. Raises AssertionError with what it wrote instead."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            ended = self._popen.poll() is not None
            if found := re.compile(pattern).search(self.words, after):
                return found
            if ended:
                break
            time.sleep(0.02)
        raise AssertionError(f"{self._popen.args}: no {pattern!r}, exit code {self._popen.poll()}:\n{self.words}")

    def write(self, line: str) -> None:
        """Give it a line to read. Raises AssertionError with what it wrote when it has ended."""
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(line.encode() + b"\n")
            self._popen.stdin.flush()
        except BrokenPipeError:
            raise AssertionError(f"{self._popen.args} has ended:\n{self.words}") from None

    def terminate(self) -> int:
        """SIGTERM, and wait for its end; its exit code."""
        self._popen.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; its exit code."""
        return self._popen.wait(PATIENCE)

    def kill(self) -> None:
        """SIGKILL for its whole group, and wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        if self._popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.close()


def boilermaker_fn(*arguments: str) -> list[str]:
    """The command line of the package."""
    return [str(Path(sys.executable).with_name("boilermaker-fn")), *arguments]


def module(name: str, *arguments: str) -> list[str]:
    """A module of the tests as a command."""
    return [sys.executable, "-m", name, *arguments]
