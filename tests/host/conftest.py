"""What the tests in Microsoft's runtime share: one host with one worker process, and the file its tasks live in."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from boilermaker_fn.local import LocalEngine
from tests.host.host import ROOT, FunctionsHost
from tests.host.seen import Seen, settings


@pytest.fixture(scope="session")
def runtime() -> None:
    """Microsoft's runtime exists for Python 3.13 and later."""
    if sys.version_info >= (3, 13) and importlib.util.find_spec("azure_functions_runtime") is not None:
        return
    missing = "azure-functions-runtime is not installed (it needs Python 3.13): pip install 'boilermaker_fn[dev]'"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("host") / "tasks.db"


@pytest.fixture(scope="session")
def host(runtime: None, file: Path) -> Iterator[FunctionsHost]:
    with FunctionsHost(ROOT / "tests/host/app", settings(file)) as running:
        yield running


@pytest.fixture
async def seen(file: Path) -> AsyncIterator[Seen]:
    engine = LocalEngine(file)
    yield Seen(engine)
    await engine.close()
