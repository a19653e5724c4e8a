"""What is published, and what does it run in? The files that .funcignore lets through, and an environment for them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from pathspec import GitIgnoreSpec

ROOT: Final = Path(__file__).parents[2]

#: Plays the part of Azure's image; an app does not bring it along.
_RUNTIME: Final = ("azure-functions-runtime", "grpcio", "protobuf")

#: Whether a path is left out; it is relative, and has a slash at its end if it is a directory.
Ignored: TypeAlias = Callable[[str], bool]
#: What a tool makes of the text of .funcignore.
Reading: TypeAlias = Callable[[str], Ignored]


def as_git(text: str) -> Ignored:
    """How `azd` and VS Code read .funcignore."""
    return GitIgnoreSpec.from_lines(text.splitlines()).match_file


def as_core_tools(text: str) -> Ignored:
    """How `func` (Azure Functions Core Tools 4) reads .funcignore: each line is how an ignored path begins.

    There, `*` is one or more characters of a name, and `**` one or more of a path.
    """
    lines = [line.strip().removeprefix("/") for line in text.splitlines() if line.strip() and line[0] != "#"]
    assert not any(line.startswith("!") for line in lines), "func gives a line with ! another meaning than Git"
    patterns = [re.escape(line).replace(r"\*\*", ".+").replace(r"\*", "[^/]+") for line in lines]
    beginning = re.compile("|".join(patterns))
    return lambda path: beginning.match(path) is not None


def published(root: Path, ignored: Ignored) -> Iterator[str]:
    """The files that are not ignored, relative to `root`."""
    for place, directories, files in os.walk(root):
        below = Path(place).relative_to(root)
        directories[:] = [name for name in directories if not ignored(f"{(below / name).as_posix()}/")]
        yield from (path for name in files if not ignored(path := (below / name).as_posix()))


def copied(root: Path, to: Path) -> Path:
    """Copy what is published to an empty directory."""
    for file in published(root, as_git((root / ".funcignore").read_text())):
        target = to / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / file, target)
    return to


def installed(requirements: Path, at: Path) -> Path:
    """Make a virtual environment with nothing but what is required; returns its interpreter."""
    python = at / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", at], check=True)
    _pip(python, "--requirement", str(requirements))
    return python


def with_runtime(python: Path) -> Path:
    """Add what plays the host, and what it speaks."""
    _pip(python, *_RUNTIME)
    return python


def front(at: Path) -> Path:
    """A directory to import the test's side of the host from, without the rest of the repository."""
    target = at / "tests" / "host"
    target.mkdir(parents=True)
    for name in ("front.py", "rpc.py"):
        shutil.copyfile(ROOT / "tests" / "host" / name, target / name)
    return at


def _pip(python: Path, *wanted: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    done = subprocess.run(
        [*command, "--constraint", str(ROOT / "constraints.txt"), *wanted], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
