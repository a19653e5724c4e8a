from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.infra.bicep import Resource, Template, deployed
from tests.pages import ROOT

MAIN = ROOT / "infra" / "main.bicep"


@pytest.fixture(scope="session")
def main() -> Template:
    return Template(MAIN)


@pytest.fixture(scope="session")
def templates() -> list[Template]:
    return list(deployed(MAIN))


@pytest.fixture(scope="session")
def resources(templates: list[Template]) -> Callable[[str], list[Resource]]:
    """The resources of a type (without version) that are deployed by default, or all with ""."""
    found = [resource for template in templates for resource in template.resources() if not resource.existing]
    return lambda type_: [one for one in found if not type_ or one.type.partition("@")[0] == type_]
