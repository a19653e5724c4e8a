"""A table service on loopback: Azurite, from npm, with what it holds in memory."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

COMMAND = Path(__file__).parent.parent / ".azurite" / "node_modules" / ".bin" / "azurite-table"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # known to everybody
_TRIES = 5


def connection_string(port: int, key: str = KEY) -> str:
    """How to reach a table service on a port of loopback."""
    return f"AccountName={ACCOUNT};AccountKey={key};TableEndpoint=http://127.0.0.1:{port}/{ACCOUNT}"


def a_table_name() -> str:
    """One that no other test has."""
    return f"t{uuid4().hex}"


@contextmanager
def running(*options: str) -> Iterator[int]:
    """A new Azurite, until the end of the block; its port. Skips where it is not installed, but not under CI."""
    if not COMMAND.exists():
        why = "Azurite is not installed: make azurite"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    process, port = _started(options)
    try:
        yield port
    finally:
        process.kill()
        process.communicate()


def _started(options: Sequence[str]) -> tuple[subprocess.Popen[str], int]:
    # Azurite does not tell the port the system chose, so it is given one that was free a moment ago.
    said = ""
    for _ in range(_TRIES):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        command = [COMMAND, "--silent", "--disableTelemetry", "--inMemoryPersistence", f"--tablePort={port}", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if "successfully started" in line:
                return process, port
        process.communicate()
    pytest.fail(f"Azurite does not start: {said}")
