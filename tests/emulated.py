"""How does a test get an emulator? In its own event loop and on its own clock, or as a process that can be killed."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

from boilermaker_fn.emulator import Emulator
from boilermaker_fn.local.queue import Rules

COMMAND: Final = Path(sys.executable).with_name("boilermaker-fn")
QUEUES: Final[Mapping[str, Rules]] = {"orders": Rules(), "orders-dead-letters": Rules()}

#: How long an emulator may take to start or to stop, in seconds. Tests on busy machines wait, and go on at once.
PATIENCE: Final = 60.0

_READY: Final = re.compile(r"^ServiceBusConnection=(\S+:(\d+)\S*)$", re.MULTILINE)


@asynccontextmanager
async def emulated(
    queues: Mapping[str, Rules] = QUEUES, *, clock: Callable[[], float] = time.time, path: Path | None = None
) -> AsyncIterator[Emulator]:
    """An emulator in this event loop, on a port that is free; closed afterwards."""
    async with Emulator(queues, path=path, clock=clock) as emulator:
        yield emulator


class EmulatorProcess:
    """`boilermaker-fn emulator` on a data file, in `directory`; as a context manager it is gone afterwards.

    It starts on a port that is free, and again on the same one. Its methods block: in an event loop that something
    else lives in, call them by `asyncio.to_thread`.
    """

    def __init__(self, directory: Path, queues: Mapping[str, Rules] = QUEUES) -> None:
        self.data = directory / "emulator.db"
        self.port = 0
        self.connection_string = ""
        self.log = directory / "emulator.log"
        self._config = directory / "queues.json"
        self._config.write_text(config_of(queues))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it is ready. Raises AssertionError with what it says instead."""
        options = ("--port", str(self.port), "--config", str(self._config), "--data", str(self.data))
        self._process, said = started(options, self.log)
        ready = _READY.search(said)
        if ready is None:
            self.kill()
            raise AssertionError(f"the emulator is not ready: {said}{self.log.read_text()}")
        self.connection_string, self.port = ready[1], int(ready[2])

    def kill(self) -> None:
        """`kill -9`: what it has not answered is lost, and nothing else."""
        if self._process is not None:
            self._process.kill()
            self._ended()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._ended()

    def restart(self) -> None:
        """Kill it, and start it again on its file and port."""
        self.kill()
        self.start()

    def _ended(self) -> int:
        assert self._process is not None
        code = self._process.wait(timeout=PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        return code


def started(options: Sequence[str], log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """The command's process, and what it has printed when it is ready or has ended. Its errors are added to `log`."""
    with log.open("ab") as errors:
        process = subprocess.Popen([COMMAND, "emulator", *options], stdout=subprocess.PIPE, stderr=errors)
    assert process.stdout is not None
    output, said, deadline = process.stdout.fileno(), "", time.monotonic() + PATIENCE
    while not _READY.search(said) and (left := deadline - time.monotonic()) > 0:
        if select.select([output], [], [], left)[0]:
            if not (more := os.read(output, 1 << 16)):
                break
            said += more.decode()
    return process, said


def config_of(queues: Mapping[str, Rules]) -> str:
    """The file for `--config` that has these queues."""
    listed = [{"Name": name, "Properties": _properties_of(rules)} for name, rules in queues.items()]
    return json.dumps({"UserConfig": {"Namespaces": [{"Name": "sbemulatorns", "Queues": listed}]}}, indent=2)


def _properties_of(rules: Rules) -> dict[str, object]:
    properties: dict[str, object] = {
        "LockDuration": _duration(rules.lock_duration),
        "MaxDeliveryCount": rules.max_delivery_count,
        "DeadLetteringOnMessageExpiration": rules.dead_letter_expired,
        "RequiresDuplicateDetection": bool(rules.duplicate_window),
    }
    if rules.duplicate_window:
        properties["DuplicateDetectionHistoryTimeWindow"] = _duration(rules.duplicate_window)
    if rules.time_to_live is not None:
        properties["DefaultMessageTimeToLive"] = _duration(rules.time_to_live)
    return properties


def _duration(seconds: float) -> str:
    return f"PT{seconds:f}S"
