"""Do the files hold together? Each parses, refers only to what is there, and has nothing that nobody uses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.infra.bicep import Template, deployed, names_used, outputs_used
from tests.pages import ROOT

INFRA = ROOT / "infra"
FILES = sorted(INFRA.rglob("*.bicep"))
PARAMETERS = (INFRA / "main.bicepparam").read_text()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(INFRA)))
def test_a_file_is_bicep_and_uses_what_it_declares(file: Path) -> None:
    template = Template(file)
    assert not template.problems()
    declared = {*template.of_kind("parameter"), *template.of_kind("variable")}
    assert declared <= names_used(template)
    assert declared  # the reader found the declarations


def test_every_file_is_deployed(templates: list[Template]) -> None:
    assert {template.path.resolve() for template in templates} == set(FILES)


def test_modules_get_what_they_ask_for(templates: list[Template]) -> None:
    for template in templates:
        for module in template.modules():
            asked = Template(module.path)
            required = {name for name in asked.of_kind("parameter") if not has_default(asked, name)}
            where = f"{template.path.name}: {module.symbol}"
            assert required <= set(module.params) <= set(asked.of_kind("parameter")), where
            read = {output for symbol, output in outputs_used(template) if symbol == module.symbol}
            assert read == set(asked.of_kind("output")), f"{where}: outputs are there to be read"


def has_default(template: Template, parameter: str) -> bool:
    try:
        template.default(parameter)
    except KeyError:
        return False
    return True


# -- parameters


def environment() -> dict[str, tuple[str, str]]:
    """For each parameter of main.bicepparam the variable it comes from, and its default."""
    read = r"readEnvironmentVariable\('(\w+)', '([^']*)'\)"
    assigned = re.findall(r"^param (\w+) = (.+(?:\n  .+)*)", PARAMETERS, re.MULTILINE)
    return {name: re.findall(read, expression)[-1] for name, expression in assigned}


def test_parameters_are_those_of_the_template(main: Template) -> None:
    assert "using 'main.bicep'" in PARAMETERS
    # The region is that of the resource group.
    assert set(environment()) == set(main.of_kind("parameter")) - {"location"}


def test_an_environment_without_the_variables_gives_the_defaults(main: Template) -> None:
    for name, (variable, default) in environment().items():
        assert default == written(main.default(name)), variable


def written(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value).lower() if isinstance(value, bool) else str(value)


def test_variables_are_documented() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    missing = [variable for variable, _ in environment().values() if f"`{variable}`" not in page]
    assert missing == ["AZURE_ENV_NAME"]  # azd sets it


# -- azd


def azure_yaml() -> dict[str, Any]:
    """azure.yaml, of which only nested mappings of plain words are needed."""
    root: dict[str, Any] = {}
    open_: list[tuple[int, dict[str, Any]]] = [(-1, root)]
    for line in (ROOT / "azure.yaml").read_text().splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = re.fullmatch(r"( *)(\w+):(?: ([\w./-]+))?", line)
        assert found, f"azure.yaml: {line!r}"
        depth = len(found[1])
        while open_[-1][0] >= depth:
            open_.pop()
        value: Any = found[3] or {}
        open_[-1][1][found[2]] = value
        if not found[3]:
            open_.append((depth, value))
    return root


def test_azd_finds_what_to_provision_and_to_deploy() -> None:
    project = azure_yaml()
    assert (ROOT / project["infra"]["path"] / f"{project['infra']['module']}.bicep").is_file()
    assert list(project["services"]) == ["app"]
    service = project["services"]["app"]
    assert (service["language"], service["host"]) == ("python", "function")
    for file in ("function_app.py", "host.json"):
        assert (ROOT / service["project"] / file).is_file()


def test_azd_finds_the_app_by_its_tags() -> None:
    (app,) = [text for file in FILES for text in re.findall(r"'azd-service-name': '(\w+)'", file.read_text())]
    assert app in azure_yaml()["services"]
    tagged = [r for t in deployed(INFRA / "main.bicep") for r in t.resources() if r.body.get("location")]
    assert len(tagged) >= 10
    for resource in tagged:
        assert "azd-env-name" in resource.body["tags"] or resource.body["tags"].startswith("union(tags, "), resource
