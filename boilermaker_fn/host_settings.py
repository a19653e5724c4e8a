"""How long does the Functions host let a task run? What host.json says, and what is wrong with it.

The host ends a function at `functionTimeout` by ending its process, with every other task in it; and when it stops to
renew a lock before the task ends, the task is delivered a second time while it still runs. Hence the order

    timeout of a task < functionTimeout < maxAutoLockRenewalDuration
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from .registry import Registration

#: How much earlier than its function a task ends: this share of the time, at most so many seconds. Enough to write a
#: row and to send what follows while both are slow.
_MARGIN: Final = 0.1
_MOST_MARGIN: Final = 60.0

#: Where a value stands in host.json.
_Path: TypeAlias = tuple[str, ...]
_TIMEOUT: Final[_Path] = ("functionTimeout",)
_RENEWAL: Final[_Path] = ("extensions", "serviceBus", "maxAutoLockRenewalDuration")
_CALLS: Final[_Path] = ("extensions", "serviceBus", "maxConcurrentCalls")
_COMPLETES: Final[_Path] = ("extensions", "serviceBus", "autoCompleteMessages")

#: What the host does where nothing is said, on Flex Consumption.
_DEFAULT_TIMEOUT: Final = 1800.0
_DEFAULT_RENEWAL: Final = 300.0
_DEFAULT_CALLS_PER_CORE: Final = 16

#: The setting that names the directory of the function app.
_DIRECTORY: Final = "AzureWebJobsScriptRoot"
#: App settings that begin so stand above host.json.
_OVERRIDE: Final = "AzureFunctionsJobHost"

#: A time span of .NET: [days.]hours:minutes[:seconds[.fraction]].
_SPAN: Final = r"(?:([0-9]{1,7})\.)?([01]?[0-9]|2[0-3]):([0-5]?[0-9])(?::([0-5]?[0-9](?:\.[0-9]{1,7})?))?"
_HOW_TO_WRITE: Final = "write hours:minutes:seconds, such as 00:30:00, or days.hours:minutes:seconds"
#: How the host is told that there is no limit.
_ENDLESS: Final = {_TIMEOUT: "-1", _RENEWAL: r"-(?:0\.)?0?0:00:00\.0010*"}


class HostSettings(NamedTuple):
    """The limits of a host. Times are in seconds; `math.inf` where there is no limit.

    `unreadable` has a line for each value that could not be read. A time among them is `math.nan`, so that no
    comparison finds fault with it a second time.
    """

    function_timeout: float
    lock_renewal: float
    concurrent_calls: int
    completes_messages: bool
    unreadable: tuple[str, ...] = ()

    @property
    def longest(self) -> float | None:
        """How long a task may run so that it ends before its function does, in seconds; None: for ever."""
        if math.isinf(self.function_timeout):
            return None
        return self.function_timeout - min(self.function_timeout * _MARGIN, _MOST_MARGIN)


def app_directory() -> Path:
    """The directory of the function app that this process serves."""
    return Path(os.environ.get(_DIRECTORY, ""))


def read(directory: Path) -> HostSettings | None:
    """What the host of the function app in `directory` was told.

    None where there is no host.json: no host works without one, so nobody but a test or a script has imported the app.
    """
    try:
        given = json.loads((directory / "host.json").read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        return _unreadable(f"it cannot be read as JSON, in which there are no comments: {error}")
    if not isinstance(given, dict):
        return _unreadable('it holds no object: it must begin with {"version": "2.0"')
    return _Reading(given).settings()


def problems(settings: HostSettings, registrations: Iterable[Registration]) -> list[str]:
    """All that is wrong with the settings, alone and with these tasks: a line for each, with values and remedy."""
    found = list(settings.unreadable)
    timeout, renewal = settings.function_timeout, settings.lock_renewal
    if timeout >= renewal and not math.isinf(renewal):
        higher = f", or {_name(_RENEWAL)} to {_written(timeout + 300)}" if not math.isinf(timeout) else ""
        found.append(
            f"functionTimeout is {_written(timeout)} and {_name(_RENEWAL)} {_written(renewal)}: a task would be "
            "delivered again when its lock is no longer renewed, while it still runs; set functionTimeout to "
            f"{_written(renewal * 0.8)}{higher}"
        )
    found += [
        f"task {registration.name!r} has a timeout of {registration.timeout:g} s and functionTimeout is "
        f"{_written(timeout)}: before the task timed out, the host would end the process with all other tasks in it; "
        f"lower the timeout of the task, or raise functionTimeout and {_name(_RENEWAL)}"
        for registration in registrations
        if registration.timeout is not None and registration.timeout >= timeout
    ]
    if not settings.completes_messages:
        found.append(
            f"{_name(_COMPLETES)} is false: nobody would settle messages and each task would run again and again; set "
            "it to true"
        )
    return found


class _Reading:
    """Values of a host.json, and what could not be read of them."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self._unreadable: list[str] = []

    def settings(self) -> HostSettings:
        """All values."""
        return HostSettings(
            function_timeout=self._seconds(_TIMEOUT, _DEFAULT_TIMEOUT),
            lock_renewal=self._seconds(_RENEWAL, _DEFAULT_RENEWAL),
            concurrent_calls=self._count(_CALLS, _DEFAULT_CALLS_PER_CORE * (os.cpu_count() or 1)),
            completes_messages=self._switch(_COMPLETES, default=True),
            unreadable=tuple(self._unreadable),
        )

    def _seconds(self, path: _Path, default: float) -> float:
        text = self._text(path)
        if text is None:
            return default
        if re.fullmatch(_ENDLESS[path], text):
            return math.inf
        if (span := re.fullmatch(_SPAN, text)) is None:
            self._not_read(path, text, _HOW_TO_WRITE)
            return math.nan
        days, hours, minutes, seconds = (float(part or 0) for part in span.groups())
        total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        if not total:
            self._not_read(path, text, "it must be longer than nothing")
        return total or math.nan

    def _count(self, path: _Path, default: int) -> int:
        text = self._text(path)
        if text is None:
            return default
        if re.fullmatch("[0-9]{1,9}", text) and int(text) > 0:
            return int(text)
        self._not_read(path, text, "it must be a whole number, 1 or more")
        return default

    def _switch(self, path: _Path, *, default: bool) -> bool:
        text = self._text(path)
        if text is None:
            return default
        if text.lower() not in ("true", "false"):
            self._not_read(path, text, "it must be true or false")
            return default
        return text.lower() == "true"

    def _text(self, path: _Path) -> str | None:
        """The value as the host sees it: whatever its type, as text."""
        if (override := os.environ.get("__".join((_OVERRIDE, *path)))) is not None:
            return override
        value: Any = self._given
        for name in path:
            # The host does not tell capitals from small letters.
            lowered = {key.lower(): inner for key, inner in value.items()} if isinstance(value, dict) else {}
            value = lowered.get(name.lower())
        return None if value is None else str(value)

    def _not_read(self, path: _Path, text: str, remedy: str) -> None:
        self._unreadable.append(f"{_name(path)} is {text[:100]!r}: {remedy}")


def _unreadable(why: str) -> HostSettings:
    return HostSettings(math.nan, math.nan, concurrent_calls=1, completes_messages=True, unreadable=(why,))


def _name(path: _Path) -> str:
    return ".".join(path)


def _written(seconds: float) -> str:
    """A time as host.json has it, and in seconds."""
    if math.isinf(seconds):
        return "without limit"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    span = f"{f'{days}.' if days else ''}{hours:02}:{minutes:02}:{rest:02}"
    return f"{span} ({seconds:g} s)"
