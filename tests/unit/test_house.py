"""Does the house stand as docs/architecture.md draws it? Imports point down, and no module holds two concepts."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import boilermaker_fn

PACKAGE = Path(boilermaker_fn.__file__).parent
MAX_LINES = 300

# From the ground up; a module may import from its own row and from rows before it.
ROWS: dict[str, list[str]] = {
    "base": ["errors", "ids", "exc", "per_loop", "connection_strings", "graph_errors"],
    "domain": ["failure", "retries", "messages", "entities", "outcomes", "effects", "table_effects", "task", "graph"],
    "core": ["envelopes", "dead_letters", "follow_ups", "rules", "result_rows", "delivery", "graph_progress"],
    "ports": ["ports"],
    "adapters": ["local", "service_bus", "tables", "telemetry"],
    "wiring": ["results", "graph_purging", "settings_problems", "settings", "config", "wiring"],
    "shell": [
        "describe", "json_values", "signature", "registry", "attempts", "threads", "processes", "blocking", "execution",
        "options", "handle", "performing", "runner", "publishing", "graph_states", "graph_results", "graph_control",
        "graph_handle", "graph_publishing", "shell", "publisher", "sync_client", "worker", "app",
        "host_settings",
    ],
    "doors": ["functions", "emulator", "cli", "testing"],
}  # fmt: skip
ROW_OF = {name: number for number, names in enumerate(ROWS.values()) for name in names}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "examples" not in path.relative_to(PACKAGE).parts)


def unit_of(path: Path) -> str:
    """The first part of a module's path: the name of its row's entry."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """The entries of this package that a module imports when it is imported, or later."""
    depth = len(path.relative_to(PACKAGE).parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            name = node.module or ""
            if node.level:
                if node.level < depth:
                    continue
                name = f"boilermaker_fn.{name}"
            if name == "boilermaker_fn." or name == "boilermaker_fn":
                found |= {alias.name for alias in node.names}
            elif name.startswith("boilermaker_fn."):
                found.add(name.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("boilermaker_fn.")}
    return found


def only_for_types(path: Path) -> set[str]:
    """What is imported under `if TYPE_CHECKING:` only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for inner in node.body:
                if isinstance(inner, ast.ImportFrom) and inner.level:
                    found.add((inner.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    unit = unit_of(path)
    if unit == "__init__":
        return
    assert unit in ROW_OF, f"{unit} is in no row: give it its place in ROWS and in docs/architecture.md"
    upwards = {name for name in imported(path) - only_for_types(path) if name in ROW_OF and ROW_OF[name] > ROW_OF[unit]}
    assert not upwards, f"{path.name} imports {sorted(upwards)} from above"


def modules_of(names: list[str]) -> list[Path]:
    return [path for path in modules() if unit_of(path) in names]


def test_the_rows_are_those_of_the_documentation() -> None:
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    layers = re.findall(r"^\| (\w+) \| (`.*?) \|", page, re.MULTILINE)
    drawn = {row: set(re.findall(r"`(\w+)/?`", units)) for row, units in layers}
    assert {row: set(names) for row, names in ROWS.items()} == {row: drawn.get(row) for row in ROWS}


@pytest.mark.parametrize("path", modules_of(ROWS["core"]), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_core_is_pure(path: Path) -> None:
    source = ast.parse(path.read_text())
    awaits = [node for node in ast.walk(source) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    names = {alias.name for node in ast.walk(source) if isinstance(node, ast.Import) for alias in node.names}
    assert not awaits
    assert not names & {"asyncio", "time", "random", "azure", "sqlite3"}
    assert "ports" not in imported(path)


def test_ports_do_not_know_the_core() -> None:
    assert not imported(PACKAGE / "ports.py") & set(ROWS["core"])


def test_adapters_do_not_know_each_other() -> None:
    for adapter in ROWS["adapters"]:
        others = set(ROWS["adapters"]) - {adapter}
        for path in (PACKAGE / adapter).rglob("*.py"):
            assert not imported(path) & others, path.name


def test_only_wiring_chooses_adapters() -> None:
    choosers = {unit_of(path) for path in modules() if "local" in imported(path)}
    assert choosers <= {"local", "wiring", "testing", "emulator", "cli"}, choosers


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_is_short_and_says_what_it_answers(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(text)), "a module's first lines say which question it answers"
