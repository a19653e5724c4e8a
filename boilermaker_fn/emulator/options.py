"""Which queues does the emulator have, and how do they behave? As a file for Microsoft's emulator says, or by names.

The file is JSON: `UserConfig.Namespaces[0].Queues[]`, each with `Name` and `Properties`. All that is wrong with it is
said at once, each with its place. What is not emulated is refused, never ignored.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import ConfigurationError
from ..ids import problem_with_queue
from ..local.queue import MAX_LOCK_SECONDS, Rules

# Of the service, as its documentation gives them.
_DEFAULT_WINDOW: Final = 600.0
_SHORTEST_WINDOW: Final = 20.0
_LONGEST_WINDOW: Final = 7 * 86400.0
_MAX_DELIVERIES: Final = 2000

_NO_TOPICS: Final = "topics and subscriptions are not emulated; remove it"
_NO_SESSIONS: Final = "is true: sessions are not emulated; set it to false"
_NO_FORWARDING: Final = "messages are not forwarded here; leave it empty"

_DURATION: Final = re.compile(r"P(?=.)(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.ASCII)
_IN_SECONDS: Final = (86400, 3600, 60, 1)

# Characters of a wrong value that a problem shows.
_SHOWN: Final = 60


def queues_named(*names: str) -> dict[str, Rules]:
    """Queues as this package wants them: duplicate detection over 2 h, locks of 60 s, 10 deliveries."""
    return {name: Rules() for name in names}


def queues_in(text: str, where: str = "the configuration") -> dict[str, Rules]:
    """The queues of a configuration file. Raises ConfigurationError with all problems, a line for each."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{where} is no JSON: {error}") from None
    if not isinstance(data, dict):
        raise ConfigurationError(f'{where} holds {_shown(data)}: it must be an object, {{"UserConfig": ...}}')
    problems: list[str] = []
    queues = _queues(_Section("", data, problems))
    if not queues and not problems:
        problems.append("UserConfig.Namespaces[0].Queues has no queue: name at least one")
    if problems:
        raise ConfigurationError("\n".join([f"{where} cannot be used:", *(f"  {problem}" for problem in problems)]))
    return queues


def _queues(file: _Section) -> dict[str, Rules]:
    file.knows("UserConfig")
    queues: dict[str, Rules] = {}
    if (config := file.section("UserConfig")) is None:
        return queues
    config.knows("Namespaces", "Logging")  # how Microsoft's emulator logs changes nothing about queues
    for number, namespace in enumerate(config.sections("Namespaces")):
        if number:
            namespace.problem("", "is a second namespace: put its queues into the first one")
        namespace.knows("Name", "Queues", "Topics")
        for topic in namespace.sections("Topics"):
            topic.problem("", f"is the topic {_shown(topic.values.get('Name'))}: {_NO_TOPICS}")
        for queue in namespace.sections("Queues"):
            _add(queue, queues)
    return queues


def _add(queue: _Section, queues: dict[str, Rules]) -> None:
    queue.knows("Name", "Properties")
    name = queue.values.get("Name")
    if problem := problem_with_queue(name):
        queue.problem("Name", problem)
    elif str(name).lower() in {known.lower() for known in queues}:
        queue.problem("Name", f"is {name!r}, which is there already: capitals make no difference")
    properties = queue.section("Properties") or _Section(queue.path, {}, queue.problems)
    queues[str(name)] = _rules(properties)


def _rules(properties: _Section) -> Rules:
    properties.knows(
        "DeadLetteringOnMessageExpiration",
        "DefaultMessageTimeToLive",
        "DuplicateDetectionHistoryTimeWindow",
        "ForwardDeadLetteredMessagesTo",
        "ForwardTo",
        "LockDuration",
        "MaxDeliveryCount",
        "RequiresDuplicateDetection",
        "RequiresSession",
    )
    if properties.flag("RequiresSession"):
        properties.problem("RequiresSession", _NO_SESSIONS)
    for name in ("ForwardTo", "ForwardDeadLetteredMessagesTo"):
        if properties.values.get(name):
            properties.problem(name, f"is {properties.values[name]!r}: {_NO_FORWARDING}")
    detects = properties.flag("RequiresDuplicateDetection")
    window = properties.seconds("DuplicateDetectionHistoryTimeWindow", _SHORTEST_WINDOW, _LONGEST_WINDOW)
    lock = properties.seconds("LockDuration", 1.0, MAX_LOCK_SECONDS)
    default = Rules()
    return Rules(
        lock_duration=default.lock_duration if lock is None else lock,
        max_delivery_count=properties.count("MaxDeliveryCount", _MAX_DELIVERIES, default=default.max_delivery_count),
        duplicate_window=0.0 if not detects else _DEFAULT_WINDOW if window is None else window,
        time_to_live=properties.seconds("DefaultMessageTimeToLive", 1.0, None),
        dead_letter_expired=properties.flag("DeadLetteringOnMessageExpiration"),
    )


@dataclass(frozen=True, slots=True)
class _Section:
    """One object of the file, where it stands, and the list that problems are added to."""

    path: str
    values: Mapping[str, Any]
    problems: list[str]

    def problem(self, name: str, what: str) -> None:
        self.problems.append(f"{self._place(name)} {what}")

    def knows(self, *names: str) -> None:
        """Whatever else is there is a problem."""
        for name in self.values:
            if name not in names:
                near = difflib.get_close_matches(name.lower(), [known.lower() for known in names], 1)
                meant = [known for known in names if known.lower() in near] or sorted(names)
                self.problem(name, f"is not known: did you mean {' or '.join(meant)}?")

    def section(self, name: str) -> _Section | None:
        """The object of this name; None where there is none."""
        if name not in self.values:
            return None
        return self._section(name, self.values[name])

    def sections(self, name: str) -> Iterator[_Section]:
        """The objects in the list of this name."""
        values = self.values.get(name, [])
        if not isinstance(values, list):
            self.problem(name, f"is {_shown(values)}: it must be a list")
            return
        for number, value in enumerate(values):
            if section := self._section(f"{name}[{number}]", value):
                yield section

    def flag(self, name: str) -> bool:
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            self.problem(name, f"is {_shown(value)}: it must be true or false")
            return False
        return value

    def count(self, name: str, most: int, *, default: int) -> int:
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            self.problem(name, f"is {_shown(value)}: it must be a number from 1 to {most}")
            return default
        return value

    def seconds(self, name: str, least: float, most: float | None) -> float | None:
        """A duration; None where there is none, or a wrong one."""
        value = self.values.get(name)
        if value is None:
            return None
        seconds = _seconds(value)
        if seconds is None:
            self.problem(name, f"is {_shown(value)}: it must be a duration such as PT1M, PT20S or P1DT12H")
        elif seconds < least or (most is not None and seconds > most):
            limits = f"at least {least:g} s" if most is None else f"{least:g} to {most:g} s"
            self.problem(name, f"is {_shown(value)}, which is {seconds:g} s: it must be {limits}")
        return seconds

    def _section(self, name: str, values: Any) -> _Section | None:
        if isinstance(values, dict):
            return _Section(self._place(name), values, self.problems)
        self.problem(name, f"is {_shown(values)}: it must be an object")
        return None

    def _place(self, name: str) -> str:
        return ".".join(part for part in (self.path, name) if part)


def _seconds(value: object) -> float | None:
    """A duration of ISO 8601 in days, hours, minutes and seconds, as the service writes them."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    return sum(float(part) * unit for part, unit in zip(match.groups(), _IN_SECONDS, strict=True) if part is not None)


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
