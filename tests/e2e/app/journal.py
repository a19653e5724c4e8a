"""Which task ran when, and in which process? A file that all processes of a test write to, a line for each event."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import NamedTuple, Self

VARIABLE = "E2E_JOURNAL"


class Entry(NamedTuple):
    """One event: seconds since the epoch, the process, the key that the test chose, and what happened."""

    at: float
    process: int
    key: str
    what: str


class Journal:
    """Appends entries to a file and reads them back."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def from_environment(cls) -> Self:
        """The journal that the test named."""
        return cls(Path(os.environ[VARIABLE]))

    def note(self, key: str, what: str = "started") -> int:
        """Append an entry; how many there are of this kind with it."""
        line = json.dumps(Entry(time.time(), os.getpid(), key, what)) + "\n"
        with self._path.open("a") as file:  # appending a short line is atomic
            file.write(line)
        return len(self.entries(key, what))

    def entries(self, key: str, what: str = "started") -> list[Entry]:
        """Entries of one kind, in the order in which they were made."""
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        every = (Entry(*json.loads(line)) for line in lines)
        return [entry for entry in every if (entry.key, entry.what) == (key, what)]
