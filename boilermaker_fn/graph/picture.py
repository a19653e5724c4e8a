"""What does a graph look like, as a Mermaid flowchart? (For the picture in plain text see outline.py.)"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from .naming import function_of, short_id

if TYPE_CHECKING:
    from ..task.task import Task
    from .planning import Checked

Statuses = Mapping[str, str]

_STYLES: Final = {
    "success": "fill:#d5f0dc,stroke:#2e7d43",
    "failure": "fill:#f9d6d5,stroke:#b3261e",
    "started": "fill:#d6e6fb,stroke:#1f5fae",
    "waiting": "fill:#d6e6fb,stroke:#1f5fae,stroke-dasharray:4",
    "skipped": "fill:#eeeeee,stroke:#9e9e9e,color:#757575",
}


def mermaid(found: Checked, callback: Task | None, statuses: Statuses) -> str:
    """A flowchart: handlers are round and hang on dotted edges, and so does the all-failed callback."""
    lines = ["flowchart TD"]
    if callback is not None:
        lines.append('    subgraph all [" "]')
    for position, task in enumerate(found.tasks):
        opening, closing = ("(", ")") if found.guards[position] else ("[", "]")
        lines.append(f"    n{position}{opening}{_label(task, statuses)}{closing}")
    lines += _edges(found.parents, "-->")
    lines += _edges(found.guards, "-. failed .->")
    if callback is not None:
        lines += ["    end", f"    last([{_label(callback, statuses)}])", "    all -. any failed .-> last"]
    lines += _styles(found.tasks, callback, statuses)
    return "\n".join(lines)


def _edges(before: Sequence[tuple[int, ...]], arrow: str) -> Iterator[str]:
    """One line for all that wait for the same."""
    after: dict[tuple[int, ...], list[int]] = {}
    for position, earlier in enumerate(before):
        if earlier:
            after.setdefault(earlier, []).append(position)
    return (f"    {_nodes(earlier)} {arrow} {_nodes(later)}" for earlier, later in after.items())


def _nodes(positions: Iterable[int]) -> str:
    return " & ".join([f"n{position}" for position in positions])


def _label(task: Task, statuses: Statuses) -> str:
    parts = [function_of(task), short_id(task), *([statuses[task.task_id]] if task.task_id in statuses else [])]
    return '"' + "<br/>".join(map(_escaped, parts)) + '"'


def _escaped(text: str) -> str:
    return "".join(char if char.isalnum() or char in " _.-" else f"#{ord(char)};" for char in text)


def _styles(tasks: Sequence[Task], callback: Task | None, statuses: Statuses) -> Iterator[str]:
    members: dict[str, list[str]] = {}
    nodes = [(f"n{position}", task) for position, task in enumerate(tasks)]
    for node, task in nodes if callback is None else [*nodes, ("last", callback)]:
        members.setdefault(statuses.get(task.task_id, ""), []).append(node)
    for status, style in _STYLES.items():
        if status in members:
            yield f"    classDef {status} {style}"
            yield f"    class {','.join(members[status])} {status}"
