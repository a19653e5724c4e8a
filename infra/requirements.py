"""What does a Function App install when it is published? Writes requirements.txt from pyproject.toml.

    make requirements

The remote build installs what requirements.txt says and knows no extras of this package, which is published as a
directory. So here are the package's own dependencies, and those of the extras that the published app uses.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

#: `functions` to run there at all; `cpu` because a task of the example has `cpu_bound=True`.
EXTRAS: Final = ("functions", "cpu")

_HEAD: Final = f"# What the published app needs: the package's own dependencies and its extras {', '.join(EXTRAS)}.\n"
_MADE: Final = "# Made from pyproject.toml by `make requirements`.\n"


def requirements(pyproject: str) -> str:
    """The text of requirements.txt for this text of pyproject.toml."""
    project = tomllib.loads(pyproject)["project"]
    wanted = [*project["dependencies"], *(line for extra in EXTRAS for line in project["optional-dependencies"][extra])]
    return _HEAD + _MADE + "".join(f"{line}\n" for line in sorted(wanted))


if __name__ == "__main__":
    (ROOT / "requirements.txt").write_text(requirements((ROOT / "pyproject.toml").read_text()))
