"""What does a word on the command line mean as an argument of a task? JSON if it is JSON, else the text itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click

HINT = """words that are JSON are read as JSON: 7 is a number, and '"7"' is text"""


def value_of(word: str) -> Any:
    """The value a word stands for. NaN and Infinity are no JSON, and so are text."""
    try:
        return json.loads(word, parse_constant=_refused)
    except ValueError:
        return word


def keywords_of(pairs: Iterable[str]) -> dict[str, Any]:
    """The values of `name=word` pairs. Raises BadParameter."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, separator, word = pair.partition("=")
        if not separator or not name.isidentifier():
            raise click.BadParameter(f"{pair!r} is not name=value", param_hint="--kw")
        if name in values:
            raise click.BadParameter(f"{name!r} is given twice", param_hint="--kw")
        values[name] = value_of(word)
    return values


def _refused(constant: str) -> None:
    raise ValueError(constant)
