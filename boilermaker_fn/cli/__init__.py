"""How does one look at tasks, and run them, without writing code? The command `boilermaker-fn`."""

from __future__ import annotations

import importlib.util
import sys

from ..errors import MissingExtra

_NEEDED = ("click", "rich")


def main() -> None:
    """The entry point. Without the extra `cli` it prints the install line and exits with 2."""
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        print(MissingExtra("the command line", "cli"), file=sys.stderr)  # click, which prints, is what is missing
        sys.exit(2)
    from .commands import cli

    cli(prog_name="boilermaker-fn")
