"""What did the doctor find? One thing that is well, of concern, or wrong; with what it saw and what to do."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.StrEnum):
    """How bad it is. Only a problem loses tasks or keeps them from running."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` names what was looked at, `found` is what was seen there, `remedy` what to do about it."""

    check: str
    level: Level
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, found)


def warning(check: str, found: str, remedy: str) -> Finding:
    """Of concern."""
    return Finding(check, Level.WARNING, found, remedy)


def problem(check: str, found: str, remedy: str) -> Finding:
    """Wrong."""
    return Finding(check, Level.PROBLEM, found, remedy)


def worst(findings: list[Finding]) -> Level:
    """The level of the worst of them."""
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.PROBLEM, Level.WARNING) if level in levels), Level.OK)
