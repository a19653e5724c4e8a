"""Which variables look like settings and are none? Nobody reads a misspelt one, and tasks go elsewhere."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Final

from ...settings import Settings
from .findings import Finding, warning

#: How ours begin, without what is between words. The host has many others of its own (`AzureWebJobsStorage__...`).
_OURS: Final = ("servicebus", "deadletterqueue", "tablestorage", "boilermaker")
#: How much of a name must be that of a setting, from 0 to 1.
_ALIKE: Final = 0.86


def misspelt(environment: Mapping[str, str]) -> Iterator[Finding]:
    """A warning for each variable that is nearly the name of a setting which is not set."""
    given = {name.lower() for name, value in environment.items() if value}
    settings = {name.lower(): name for name in _settings()}
    missing = [name for name in settings if name not in given]
    for name in sorted(environment):
        lowered = name.lower()
        if lowered in settings or not "".join(filter(str.isalnum, lowered)).startswith(_OURS):
            continue
        for meant in difflib.get_close_matches(lowered, missing, n=1, cutoff=_ALIKE):
            found = f"{name} is set, and nothing here reads it"
            yield warning("settings", found, f"if {settings[meant]} is meant, call it that")


def _settings() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        yield str(field.validation_alias or name.upper())
