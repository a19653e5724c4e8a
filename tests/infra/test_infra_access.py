"""Who may do what? Identities only, each with the role it needs on the one thing it needs it for."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.infra.bicep import Resource, Template, deployed
from tests.pages import ROOT

MAIN = ROOT / "infra" / "main.bicep"

ROLES = {
    "090c5cfd-751d-490a-894a-3ce6f1109419": "Service Bus Data Owner",
    "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39": "Service Bus Data Sender",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
}

QUEUE = "Microsoft.ServiceBus/namespaces/queues"
TABLE = "Microsoft.Storage/storageAccounts/tableServices/tables"
ACCOUNT = "Microsoft.Storage/storageAccounts"
INSIGHTS = "Microsoft.Insights/components"

#: What is worked out on deployment only.
WHO = {
    "identity.properties.principalId": "app",
    "producerUsesTable ? producerPrincipalId : ''": "producer",
}

Find = Callable[[str], list[Resource]]


def assignments() -> set[tuple[str, str, str, str]]:
    """Who, the role, the type of what it is for, and that one's symbol."""
    found = []
    for template in deployed(MAIN, {"producerPrincipalId": "producer", "operatorPrincipalId": "operator"}):
        types = {one.symbol: one.type.partition("@")[0] for one in template.resources()}
        for one in template.resources():
            if not one.type.startswith("Microsoft.Authorization/roleAssignments@"):
                continue
            scope, principal = str(one.body["scope"]), one.body["properties"]["principalId"]
            assert scope in types, f"{one.file.name}: {one.symbol} has no resource for its scope"
            named = re.fullmatch(rf"guid\({scope}\.id, (\w+), \w+\)", one.body["name"])
            assert named, f"{one.file.name}: {one.symbol} could clash with another: {one.body['name']}"
            assert template.name(named[1]) == principal, one.symbol
            role = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", one.body["properties"]["roleDefinitionId"])
            assert role, one.symbol
            found.append((WHO.get(principal, principal), ROLES[role[0]], types[scope], scope))
    assert len(set(found)) == len(found)
    return set(found)


def test_roles_are_as_few_and_as_narrow_as_can_be() -> None:
    assert assignments() == {
        ("app", "Service Bus Data Owner", QUEUE, "queue"),
        ("app", "Service Bus Data Sender", QUEUE, "deadLetters"),
        ("app", "Storage Blob Data Owner", ACCOUNT, "account"),
        ("app", "Storage Table Data Contributor", TABLE, "table"),
        ("app", "Monitoring Metrics Publisher", INSIGHTS, "insights"),
        ("producer", "Service Bus Data Sender", QUEUE, "queue"),
        ("producer", "Storage Table Data Contributor", TABLE, "table"),
        ("operator", "Service Bus Data Owner", QUEUE, "queue"),
        ("operator", "Service Bus Data Owner", QUEUE, "deadLetters"),
        ("operator", "Storage Table Data Contributor", TABLE, "table"),
    }


def test_nobody_else_has_a_role_unless_named(main: Template, templates: list[Template]) -> None:
    assert main.default("producerPrincipalId") == main.default("operatorPrincipalId") == ""
    for template in templates:
        lines = template.path.read_text().splitlines()
        for line in lines:
            if "Microsoft.Authorization/roleAssignments@" in line and re.match(r"resource (producer|operator)", line):
                assert re.search(r"= if \(!empty\((producer|operator)PrincipalId\)", line), line


def test_the_producer_gets_the_table_only_on_request(main: Template) -> None:
    assert main.default("producerUsesTable") is False  # and is asked, see WHO


def test_no_keys(resources: Find) -> None:
    closed = {
        "Microsoft.ServiceBus/namespaces": ("disableLocalAuth", True),
        "Microsoft.Storage/storageAccounts": ("allowSharedKeyAccess", False),
        "Microsoft.Insights/components": ("DisableLocalAuth", True),
        "Microsoft.Web/sites/basicPublishingCredentialsPolicies": ("allow", False),
    }
    for type_, (name, value) in closed.items():
        found = resources(type_)
        assert found, type_
        assert all(one.body["properties"][name] is value for one in found), type_
    (workspace,) = resources("Microsoft.OperationalInsights/workspaces")
    assert workspace.body["properties"]["features"] == {"disableLocalAuth": True}
    passwords = resources("Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {one.body["name"] for one in passwords} == {"scm", "ftp"}


def test_no_secret_is_read_or_written() -> None:
    for file in sorted((ROOT / "infra").rglob("*.bicep*")):
        text = re.sub(r"//.*", "", file.read_text())
        assert not re.search(r"\blist[A-Z]\w*\(|AccountKey|SharedAccess(Key|Signature)|@secure|getSecret", text), file
        # That of Application Insights says where to send, and lets nobody in.
        strings = re.findall(r"\S*connection_?string\S*", text, re.IGNORECASE)
        assert all(re.search("insights|monitoring|outputs|connectionString$", one, re.IGNORECASE) for one in strings), (
            strings
        )


def test_a_subnet_closes_queues_and_storage_to_others(templates: list[Template], resources: Find) -> None:
    (rules,) = resources("Microsoft.ServiceBus/namespaces/networkRuleSets")
    assert rules.body["properties"]["defaultAction"] == "Deny"
    (account,) = resources("Microsoft.Storage/storageAccounts")
    assert account.body["properties"]["networkAcls"]["defaultAction"] == "empty(allowedSubnetIds) ? 'Allow' : 'Deny'"
    (app,) = resources("Microsoft.Web/sites")
    assert app.body["properties"]["virtualNetworkSubnetId"] == "empty(subnetId) ? null : subnetId"
    allowed = {str(t.name("allowedSubnetIds")) for t in templates if "allowedSubnetIds" in t.of_kind("parameter")}
    assert allowed == {"empty(subnetId) ? [] : concat([subnetId], producerSubnetIds)"}
