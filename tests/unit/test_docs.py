"""Is every page true? Its Python runs, what it claims is so, its links lead somewhere, its tables are the code's.

How a page runs says tests/pages.py. Blocks that are not run stand in NOT_RUN, with the page's reason.
"""

from __future__ import annotations

import logging
import re
import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import structlog

from boilermaker_fn import Boilermaker
from boilermaker_fn.config import Config
from boilermaker_fn.options import PublishOptions
from boilermaker_fn.outcomes import Reason
from boilermaker_fn.registry import Registration, TaskOptions
from tests.pages import ROOT, blocks_of, claimed, name_of, prose_of, run, run_scripts, with_claims

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

NOT_RUN = [("docs/worker.md", "it works until it is stopped")]


# -- the code runs


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, Any]]:
    """The namespace of an empty module, in an empty directory; what its blocks leave behind is taken down."""
    for variable in environment_variables():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    known = set(sys.modules)
    yield vars(module)
    for value in list(vars(module).values()):
        if isinstance(value, Boilermaker):
            await value.close()
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
async def test_the_code_of_a_page_runs(page: Path, place: dict[str, Any]) -> None:
    for block in blocks_of(page):
        if block.why is None and block.language == "python":
            await run(block, place)
        elif block.why is None and block.language in ("bash", "sh", "console"):
            await run_scripts(block)


def test_a_claim_that_is_wrong_is_found() -> None:
    async_part = "try:\n    1 + 1  # -> 3\nfinally:\n    pass\n"
    for source in ("1 + 1  # -> 3", "1 / 0  # -> 0", "int('x')\n# -> ValueError: other", async_part):
        with pytest.raises(AssertionError):
            exec(compile(with_claims(source, "page"), "page", "exec"), {"__claimed__": claimed})
    for source in ("1 + 1  # -> 2", "1 / 0  # -> ZeroDivisionError: ...", "def f():\n    1  # -> 2"):
        exec(compile(with_claims(source, "page"), "page", "exec"), {"__claimed__": claimed})


def test_the_blocks_that_are_not_run_are_known() -> None:
    found = [(name_of(page), block.why) for page in PAGES for block in blocks_of(page) if block.why is not None]
    assert sorted(found) == sorted(NOT_RUN), "add it to NOT_RUN, or better: let it run"


# -- links


def anchors_of(page: Path) -> set[str]:
    """The headings' anchors, as GitHub makes them."""
    text = prose_of(page)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = prose_of(page)
    broken = []
    for link in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page if not path else (page.parent / path).resolve()
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors_of(target)):
            broken.append(link)
    assert not broken


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"({page.name}" not in index] == ["README.md"]


# -- tables


def table(page: str, heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without their `code` marks."""
    _, _, section = (ROOT / "docs" / page).read_text().partition(f"\n{heading}\n")
    assert section, f"{page} has no heading {heading!r}"
    lines = re.search(r"(?:^\|.*\|\n)+", section, re.MULTILINE)
    assert lines, f"{page}, {heading!r}: no table"
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[0].splitlines()[2:]]
    return [[cell.strip("` |") for cell in row] for row in rows]


def test_task_options_are_those_of_the_code() -> None:
    rows = table("tasks.md", "## Options")
    assert {row[0] for row in rows} == {*TaskOptions.__annotations__, "cpu_bound"}
    defaults = Registration._field_defaults
    for name, default, *_ in rows:
        if name in defaults and name in TaskOptions.__annotations__:
            assert default == repr(defaults[name]), name


def test_publish_options_are_those_of_the_code() -> None:
    rows = table("publishing.md", "## Options")
    assert [(row[0], row[1]) for row in rows] == [(f.name, repr(f.default)) for f in fields(PublishOptions)]


def environment_variables() -> set[str]:
    fields = {name: field for name, field in Config.model_fields.items() if name != "service_bus_credential"}
    return {str(field.validation_alias or name.upper()) for name, field in fields.items()}


def test_settings_are_those_of_the_code() -> None:
    assert {row[0] for row in table("settings.md", "## Environment variables")} == environment_variables()


def test_reasons_are_those_of_the_code() -> None:
    assert {row[0] for row in table("failures.md", "## Reasons")} >= set(Reason)


# -- commands


def command_lines() -> list[tuple[str, list[str]]]:
    lines = []
    for page in PAGES:
        text = page.read_text()
        shell = [line for block in blocks_of(page) if block.language != "python" for line in block.code.splitlines()]
        for line in [*shell, *re.findall(r"`(boilermaker-fn [^`]+)`", text)]:
            words = shlex.split(line.removeprefix("$ "), comments=True) if "boilermaker-fn" in line else []
            while words and "=" in words[0]:
                words.pop(0)
            if words[:1] == ["boilermaker-fn"]:
                lines.append((f"{name_of(page)}: {line}", words[1:]))
    return lines


def test_commands_exist() -> None:
    click = pytest.importorskip("click")
    commands = pytest.importorskip("boilermaker_fn.cli.commands")
    for where, words in command_lines():
        command = commands.cli
        options: set[str] = {"--help"}
        for word in words:
            if word.startswith("-"):
                known = options | {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
                assert word.partition("=")[0] in known, f"{where}: {command.name} has no option {word}"
            elif isinstance(command, click.Group):
                assert word in command.commands, f"{where}: there is no command {word!r}"
                command = command.commands[word]
