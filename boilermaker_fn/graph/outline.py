"""What does a graph look like, in plain text? A line for each task, or for many alike, and what it waits for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from .naming import function_of, short_id

if TYPE_CHECKING:
    from ..task.task import Task
    from .planning import Checked

#: Of more lines than this only the first and the last are shown.
_MOST_LINES: Final = 60
_LAST_LINES: Final = 20


class _Before(NamedTuple):
    """How many tasks of which line somebody waits for."""

    line: int
    tasks: int


class _Line:
    """Tasks of one function that wait for the same, or for one of the same each; or, as a `run`, for each other."""

    def __init__(self, function: str, parents: tuple[_Before, ...], guards: tuple[_Before, ...]) -> None:
        self.function = function
        self.parents = parents
        self.guards = guards
        self.members: list[Task] = []
        self.run = False


def outline(graph_id: str, found: Checked, callback: Task | None, statuses: Mapping[str, str]) -> str:
    """The graph in at most about 60 lines of ASCII."""
    lines = _Lines(found).lines
    rows = [
        (f"{number}", _title(line), _condition(line, lines), _standing(line.members, statuses))
        for number, line in enumerate(lines, 1)
    ]
    if callback is not None:
        rows.append(("-", _ascii(callback), "last, if any failed", _standing([callback], statuses)))
    count = len(found.tasks)
    heading = f"graph {graph_id}: {count} task{'' if count == 1 else 's'}"
    return "\n".join([heading, *_shortened(_columns(rows))])


class _Lines:
    def __init__(self, found: Checked) -> None:
        self.lines: list[_Line] = []
        self._found = found
        self._line_of = [0] * len(found.tasks)
        self._known: dict[tuple[str, tuple[_Before, ...], tuple[_Before, ...]], int] = {}
        self._counted: dict[int, tuple[_Before, ...]] = {}
        self._children = Counter(parent for parents in found.parents for parent in parents)
        for position in found.order:
            self._place(position)

    def _place(self, position: int) -> None:
        task = self._found.tasks[position]
        number = self._run_before(position)
        if number is None:
            parents = self._before(self._found.parents[position])
            key = (function_of(task), parents, self._before(self._found.guards[position]))
            number = self._known.setdefault(key, len(self.lines))
            if number == len(self.lines):
                self.lines.append(_Line(*key))
        self.lines[number].members.append(task)
        self._line_of[position] = number

    def _run_before(self, position: int) -> int | None:
        """The line of the only parent, if that is all alone too and of the same function."""
        parents = self._found.parents[position]
        if len(parents) != 1 or self._found.guards[position] or self._children[parents[0]] != 1:
            return None
        number = self._line_of[parents[0]]
        line = self.lines[number]
        if line.function != function_of(self._found.tasks[position]) or (len(line.members) > 1 and not line.run):
            return None
        if not line.run:
            line.run = True
            del self._known[line.function, line.parents, line.guards]  # who else would fit stands beside it
        return number

    def _before(self, positions: tuple[int, ...]) -> tuple[_Before, ...]:
        known = self._counted.get(id(positions))
        if known is None:
            counts = Counter(self._line_of[position] for position in positions)
            known = self._counted[id(positions)] = tuple(sorted(_Before(*item) for item in counts.items()))
        return known


def _condition(line: _Line, lines: Sequence[_Line]) -> str:
    if line.guards:
        names = [_named(one, lines) for one in line.guards]
        return f"{_each(line, names)}if {' or '.join(names)} failed"
    # Whoever waits for one of a run waits for its last.
    names = [f"#{one.line + 1}" if lines[one.line].run else _named(one, lines) for one in line.parents]
    return f"{_each(line, names)}after {', '.join(names)}" if names else ""


def _named(before: _Before, lines: Sequence[_Line]) -> str:
    name = f"#{before.line + 1}"
    if before.tasks == len(lines[before.line].members):
        return name
    return f"{'one' if before.tasks == 1 else before.tasks} of {name}"


def _each(line: _Line, names: Sequence[str]) -> str:
    return "each " if len(line.members) > 1 and not line.run and any(" of " in name for name in names) else ""


def _title(line: _Line) -> str:
    if len(line.members) == 1:
        return _ascii(line.members[0])
    return f"{_plain(line.function)} x {len(line.members)}{', one after another' if line.run else ''}"


def _standing(tasks: Sequence[Task], statuses: Mapping[str, str]) -> str:
    counts = Counter(statuses[task.task_id] for task in tasks if task.task_id in statuses)
    if len(tasks) == 1:
        return _plain("".join(counts))
    return _plain(", ".join(f"{count} {status}" for status, count in counts.items()))


def _ascii(task: Task) -> str:
    return _plain(f"{function_of(task)} ({short_id(task)})")


def _plain(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _shortened(lines: Sequence[str]) -> Iterator[str]:
    if len(lines) <= _MOST_LINES:
        yield from lines
        return
    first = _MOST_LINES - _LAST_LINES - 1
    yield from lines[:first]
    yield f"  ... {len(lines) - first - _LAST_LINES} more lines ..."
    yield from lines[-_LAST_LINES:]
