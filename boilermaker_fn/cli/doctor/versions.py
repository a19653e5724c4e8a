"""Do Python, the packages and the Functions host fit each other?"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from ...host_settings import HostSettings, problems
from ...registry import Registration
from .findings import Finding, ok, problem, warning

_PACKAGE: Final = "boilermaker_fn"
_SHOWN: Final = ("azure-servicebus", "azure-data-tables", "azure-identity", "azure-functions")
_NEEDED: Final = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)")

_BUNDLE: Final = "Microsoft.Azure.Functions.ExtensionBundle"
_BUNDLE_VERSION: Final = "[4.*, 5.0.0)"


def packages() -> list[Finding]:
    """What is installed, and what is older than it must be."""
    installed = {name: version for name in _SHOWN if (version := _version(name)) is not None}
    text = ", ".join(f"{name} {version}" for name, version in installed.items())
    wrong = list(_too_old())
    return wrong or [ok("versions", f"Python {platform.python_version()}, {_PACKAGE} {_version(_PACKAGE)}, {text}")]


def host(directory: Path, settings: HostSettings | None, registered: Iterable[Registration]) -> list[Finding]:
    """What there is to say of host.json in `directory`; nothing where there is none."""
    if settings is None:
        return []
    found = []
    for line in problems(settings, registered):
        text, _, remedy = line.rpartition("; ")
        found.append(problem("host.json", text or line, remedy if text else "correct it"))
    if (finding := _bundle(directory)) is not None:
        found.append(finding)
    return found or [
        ok(
            "host.json",
            f"functionTimeout {settings.function_timeout:g} s, locks renewed for {settings.lock_renewal:g} s, "
            f"{settings.concurrent_calls} at once",
        )
    ]


def _bundle(directory: Path) -> Finding | None:
    remedy = f'write "extensionBundle": {{"id": "{_BUNDLE}", "version": "{_BUNDLE_VERSION}"}}'
    try:
        given: Any = json.loads((directory / "host.json").read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return None  # said already
    bundle = given.get("extensionBundle") if isinstance(given, dict) else None
    if not isinstance(bundle, dict) or not str(bundle.get("id", "")).startswith(_BUNDLE):
        return problem("host.json", "has no extensionBundle: the host would have no Service Bus trigger", remedy)
    if not str(bundle.get("version", "")).startswith("[4."):
        return warning("host.json", f"has the extension bundle {bundle.get('version')}, which is untested here", remedy)
    return None


def _too_old() -> Iterator[Finding]:
    for line in metadata.requires(_PACKAGE) or ():
        requirement, _, condition = line.partition(";")
        if "extra" in condition or not (needed := _NEEDED.match(requirement)):
            continue
        name, least = needed.groups()
        version = _version(name)
        if version is not None and _numbers(version) < _numbers(least):
            yield problem("versions", f"{name} {version} is too old", f"pip install '{name}>={least}'")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
