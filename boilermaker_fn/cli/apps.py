"""Which app does `module:attribute` mean? It is imported; if it cannot be, the user is told what is wrong."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType

import click

from ..app import Boilermaker
from ..errors import BoilermakerError


def loaded(ctx: click.Context, param: click.Parameter, value: str | None) -> Boilermaker | None:
    """The app that a parameter names, as click's callback for it; None stays None.

    Raises BadParameter (exit code 2) saying what is missing. Errors of this package while importing pass.
    """
    if value is None:
        return None
    name, _, attribute = value.partition(":")
    module = _module(name)
    found = getattr(module, attribute or "app", None)
    if not isinstance(found, Boilermaker):
        raise click.BadParameter(_problem_with(module, attribute or "app", found))
    return found


def _module(name: str) -> ModuleType:
    # An entry point has its own directory on the path, not the one the user is in.
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    if not name or name.startswith(".") or "/" in name or name.endswith(".py"):
        raise click.BadParameter(f"{name!r} is not the name of a module: write package.module:app")
    try:
        return importlib.import_module(name)
    except BoilermakerError:
        raise
    except ModuleNotFoundError as error:
        raise click.BadParameter(_not_found(name, error)) from error
    except Exception as error:  # anything can happen in a user's module
        raise click.BadParameter(_broken(name, error)) from error


def _not_found(name: str, error: ModuleNotFoundError) -> str:
    if error.name is not None and f"{name}.".startswith(f"{error.name}."):
        return f"there is no module {name!r}: run the command in the directory it is in, or install it"
    return f"module {name!r} cannot be imported: {error}; install what it needs"


def _broken(name: str, error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"module {name!r} cannot be imported: {type(error).__name__}: {error}{where}"


def _problem_with(module: ModuleType, attribute: str, found: object) -> str:
    apps = [name for name, value in vars(module).items() if isinstance(value, Boilermaker)]
    hint = f"; try {' or '.join(f'{module.__name__}:{name}' for name in apps)}" if apps else ""
    if found is None:
        return f"module {module.__name__!r} has no {attribute!r}{hint}"
    return f"{module.__name__}:{attribute} is of type {type(found).__name__}, not a Boilermaker{hint}"
