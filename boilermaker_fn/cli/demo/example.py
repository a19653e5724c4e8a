"""Where is the example? Inside the installed package, or beside it in a checkout."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import boilermaker_fn

from ...errors import ConfigurationError

_PACKAGE = Path(boilermaker_fn.__file__).parent


def tasks() -> ModuleType:
    """The module `tasks` of the example. Raises ConfigurationError if it is not there, MissingExtra without `cpu`."""
    return _module("tasks")


def reading() -> ModuleType:
    """The module `reading` of the example. Raises as `tasks` does."""
    return _module("reading")


def closing() -> ModuleType:
    """The module `closing` of the example. Raises as `tasks` does."""
    return _module("closing")


def _module(name: str) -> ModuleType:
    if (_PACKAGE / "examples" / "orders").is_dir():
        return importlib.import_module(f"boilermaker_fn.examples.orders.{name}")
    checkout = _PACKAGE.parent
    folder = checkout / "examples" / "orders"
    if not folder.is_dir():
        raise ConfigurationError(f"the example is neither in {_PACKAGE} nor in {checkout}: install the package again")
    if str(checkout) not in sys.path:
        sys.path.append(str(checkout))  # at the end: whatever else is named `examples` stays what it is
    module = importlib.import_module(f"examples.orders.{name}")
    if Path(module.__file__ or "").parent != folder:
        raise ConfigurationError(f"{module.__file__} is in the way of {folder}: run the demo from another directory")
    return module
