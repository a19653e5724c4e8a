"""What the tests of the published package share: the package, in its environment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.publish import package


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what `func azure functionapp publish` would send."""
    return package.copied(package.ROOT, tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="session")
def environment(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has what the published requirements.txt says, and nothing else."""
    if sys.version_info < (3, 13):
        pytest.skip("Microsoft's runtime needs Python 3.13")
    return package.installed(published / "requirements.txt", tmp_path_factory.mktemp("environment"))
