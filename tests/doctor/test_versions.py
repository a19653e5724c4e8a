"""What the doctor says of packages and of host.json."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.cli.doctor import versions
from boilermaker_fn.cli.doctor.findings import Finding, Level
from boilermaker_fn.host_settings import read

ROOT = Path(__file__).parent.parent.parent
GOOD = json.loads((ROOT / "host.json").read_text())


def judged(directory: Path, host: dict[str, Any] | str, app: Boilermaker | None = None) -> list[Finding]:
    (directory / "host.json").write_text(host if isinstance(host, str) else json.dumps(host))
    registered = [] if app is None else list(app.shell.registry.values())
    return versions.host(directory, read(directory), registered)


def test_what_is_installed() -> None:
    (finding,) = versions.packages()
    assert finding.level is Level.OK
    assert f"azure-servicebus {metadata.version('azure-servicebus')}" in finding.found


def test_a_package_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "7.13.9" if name == "azure-servicebus" else version(name))
    (finding,) = versions.packages()
    assert (finding.level, finding.found) == (Level.PROBLEM, "azure-servicebus 7.13.9 is too old")
    assert finding.remedy == "pip install 'azure-servicebus>=7.14'"


def test_packages_that_are_not_there_are_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version

    def without(name: str) -> str:
        if name == "azure-functions":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    (finding,) = versions.packages()
    assert finding.level is Level.OK
    assert "azure-functions" not in finding.found


def test_the_host_of_this_repository(tmp_path: Path) -> None:
    (finding,) = judged(tmp_path, GOOD)
    assert finding == Finding("host.json", Level.OK, "functionTimeout 1800 s, locks renewed for 2100 s, 32 at once")


def test_no_host_is_no_function_app(tmp_path: Path) -> None:
    assert versions.host(tmp_path, read(tmp_path), []) == []


def test_a_function_that_outlives_its_lock(tmp_path: Path) -> None:
    (finding,) = judged(tmp_path, {**GOOD, "functionTimeout": "01:00:00"})
    assert finding.level is Level.PROBLEM
    assert "functionTimeout is 01:00:00 (3600 s)" in finding.found
    assert finding.remedy.startswith("set functionTimeout to")


def test_a_task_that_outlives_its_function(tmp_path: Path) -> None:
    app = Boilermaker()

    @app.task(timeout=3000)
    async def long(state: object) -> None: ...

    (finding,) = judged(tmp_path, GOOD, app)
    assert finding.level is Level.PROBLEM
    assert "task 'long' has a timeout of 3000 s" in finding.found


@pytest.mark.parametrize(
    ("bundle", "level"),
    [
        (None, Level.PROBLEM),
        ({"id": "Other", "version": "[4.*, 5.0.0)"}, Level.PROBLEM),
        ({"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[3.*, 4.0.0)"}, Level.WARNING),
    ],
)
def test_the_extension_bundle(bundle: dict[str, str] | None, level: Level, tmp_path: Path) -> None:
    (finding,) = judged(tmp_path, {**GOOD, "extensionBundle": bundle})
    assert finding.level is level
    assert '"version": "[4.*, 5.0.0)"' in finding.remedy


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_host_that_cannot_be_read(text: str, tmp_path: Path) -> None:
    found = judged(tmp_path, text)
    assert found[0].level is Level.PROBLEM
    assert found[0].remedy
