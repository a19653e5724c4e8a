"""Does what is published run by itself? Its files in a directory, its requirements in an environment, nothing else."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest

from boilermaker_fn.local import LocalEngine
from boilermaker_fn.task.result import TaskStatus
from tests.host.host import FunctionsHost
from tests.host.seen import Seen, message, settings, task
from tests.publish import package

ROOT = package.ROOT


# -- what is published


def test_requirements_are_those_of_pyproject() -> None:
    spec = importlib.util.spec_from_file_location("requirements", ROOT / "infra" / "requirements.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    wanted = script.requirements((ROOT / "pyproject.toml").read_text())
    assert (ROOT / "requirements.txt").read_text() == wanted, "run `make requirements`"


@pytest.mark.parametrize("reading", [package.as_git, package.as_core_tools])
def test_every_tool_publishes_the_app_and_what_it_needs(reading: package.Reading) -> None:
    files = set(package.published(ROOT, reading((ROOT / ".funcignore").read_text())))
    assert {file.partition("/")[0] for file in files} == {
        "boilermaker_fn",
        "examples",
        "function_app.py",
        "host.json",
        "requirements.txt",
    }
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "boilermaker_fn").rglob("*.py")}
    assert code <= files
    assert {Path(file).suffix for file in files} <= {".py", ".typed", ".json", ".txt", ".csv"}


@pytest.mark.parametrize("reading", [package.as_git, package.as_core_tools])
@pytest.mark.parametrize(
    "left_behind",
    [
        ".env",
        ".git/config",
        ".venv/lib/python3.13/site-packages/azure/core.py",
        ".boilermaker/local.db",
        "local.settings.json",
        "shop.db",
        "boilermaker_fn/shop.db",
        "boilermaker_fn/local/__pycache__/queue.cpython-313.pyc",
        "__pycache__/function_app.cpython-313.pyc",
        "node_modules/azurite/package.json",
        "infra/main.bicep",
        "tests/conftest.py",
        "venv/bin/python",
    ],
)
def test_what_lies_around_is_left_behind(reading: package.Reading, left_behind: str) -> None:
    assert reading((ROOT / ".funcignore").read_text())(left_behind)


# -- how it runs


@pytest.mark.slow
async def test_it_is_indexed_loaded_and_runs_tasks(published: Path, environment: Path, tmp_path: Path) -> None:
    places = "import boilermaker_fn, examples.orders as orders; print(boilermaker_fn.__file__); print(orders.__file__)"
    ran = subprocess.run([environment, "-c", places], cwd=published, capture_output=True, text=True, check=True)
    assert all(Path(line).is_relative_to(published) for line in ran.stdout.splitlines())

    python, front = package.with_runtime(environment), package.front(tmp_path / "front")
    file = tmp_path / "tasks.db"
    order = {"order_id": "O-0001", "placed_on": "2030-01-01", "customer": "Ada", "country": "GB", "currency": "GBP"}
    order |= {"amount": "119.00", "priority": "express", "card": "visa", "courier": "swift"}
    thanks, billing = task("receipt", "O-0001", "119.00", "GBP"), task("invoice", order, "0.19")
    with FunctionsHost(published, settings(file), python=python, path=front) as host:
        assert {function.name for function in host.metadata} == {"run_task", "reap_dead_letters"}
        await host.invoke("run_task", message(thanks))
        await host.invoke("run_task", message(billing))  # in a process of its own
    engine = LocalEngine(file)
    rows = [await Seen(engine).row(one.task_id) for one in (thanks, billing)]
    await engine.close()
    assert [row and row.status for row in rows] == [TaskStatus.Success, TaskStatus.Success]
    assert [row and row.error for row in rows] == [None, None]
    assert rows[0] is not None
    assert rows[0].result == '"O-0001: 119.00 GBP received, thank you"'
