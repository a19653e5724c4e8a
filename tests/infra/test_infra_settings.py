"""Do the app and its infrastructure mean the same? Settings, names of queues and tables, and what queues must do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import AliasChoices

from boilermaker_fn.config import Config
from boilermaker_fn.functions import CONNECTION
from boilermaker_fn.retries import RetryPolicy
from boilermaker_fn.settings import configured
from tests.infra.bicep import Code, Resource, Template, deployed
from tests.pages import ROOT

#: Settings that the Functions host needs, whoever else reads them.
NEEDED_BY_THE_HOST = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
    f"{CONNECTION}__clientId",
    f"{CONNECTION}__credential",
    f"{CONNECTION}__fullyQualifiedNamespace",
}

#: Settings that libraries read.
OF_LIBRARIES = {"PYDANTIC_DISABLE_PLUGINS"}

#: Fields of Config that are not set in the cloud.
NOT_SET = {
    "azure_credential_include_msi",  # in the cloud it is included
    "boilermaker_local_file",  # the disk is lost with the instance
    "container_app_name",  # set by Container Apps
    "host_storage_connection_string",  # no keys
    "host_table_url",  # the table's URL is given
    "service_bus_connection_string",  # no keys
    "service_bus_credential",  # an object
    "service_bus_namespace_url",  # that of the trigger
    "table_storage_connection_string",  # no keys
    "trigger_connection_string",  # no keys
    "website_instance_id",  # set by App Service
    "website_site_name",  # set by Functions
}

MAIN = ROOT / "infra" / "main.bicep"
HOST = json.loads((ROOT / "host.json").read_text())
SAMPLE = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]

Find = Callable[[str], list[Resource]]


@pytest.fixture
def settings(resources: Find) -> dict[str, Any]:
    (app,) = resources("Microsoft.Web/sites")
    pairs = [(one["name"], one["value"]) for one in app.body["properties"]["siteConfig"]["appSettings"]]
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set().union(*names_of_fields().values()):
        monkeypatch.delenv(name, raising=False)


def names_of_fields() -> dict[str, set[str]]:
    """For each field of Config the variables that it is read from."""
    found = {}
    for name, field in Config.model_fields.items():
        alias = field.validation_alias or name
        names = alias.choices if isinstance(alias, AliasChoices) else [alias]
        found[name] = {str(one).upper() if str(one).islower() else str(one) for one in names}
    return found


# -- settings


def test_every_setting_is_read(settings: dict[str, Any]) -> None:
    assert set(settings) - set().union(*names_of_fields().values()) <= NEEDED_BY_THE_HOST | OF_LIBRARIES


def test_the_host_gets_what_it_needs(settings: dict[str, Any]) -> None:
    assert set(settings) >= NEEDED_BY_THE_HOST


def test_every_field_of_the_configuration_is_set_or_known_not_to_be(settings: dict[str, Any]) -> None:
    assert {field for field, names in names_of_fields().items() if not names & set(settings)} == NOT_SET


def test_flex_consumption_refuses_some_settings(settings: dict[str, Any]) -> None:
    assert not {"FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION", "WEBSITE_RUN_FROM_PACKAGE"} & set(settings)


def test_the_app_starts_with_its_settings(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, settings)
    monkeypatch.setenv("WEBSITE_SITE_NAME", "an-app")
    config = configured()
    assert config.uses_service_bus
    assert config.service_bus_host == "ns.servicebus.windows.net"
    assert config.table_endpoint == "https://account.table.core.windows.net/"
    assert config.azure_client_id == "a-client"


def test_a_producer_starts_with_the_outputs(main: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, main.outputs())
    config = configured()
    assert config.service_bus_host == "ns.servicebus.windows.net"
    assert config.table_endpoint == "https://account.table.core.windows.net/"
    assert config.azure_client_id is None  # it comes as itself
    names = set().union(*names_of_fields().values())
    assert set(main.outputs()) - names == {"AZURE_FUNCTION_APP_NAME", "FUNCTION_APP_URL", "WORK_QUEUES"}


#: What is known on deployment only, by the expression in main.bicep.
ON_DEPLOYMENT = {
    "serviceBus.outputs.host": "ns.servicebus.windows.net",
    "storage.outputs.tableServiceUrl": "https://account.table.core.windows.net/",
    "storage.outputs.accountName": "account",
    "identity.properties.clientId": "a-client",
}


def put(monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, ON_DEPLOYMENT.get(value, "on-deployment") if isinstance(value, Code) else value)


def test_identities_are_named_wherever_they_are_used(settings: dict[str, Any]) -> None:
    for connection in (CONNECTION, "AzureWebJobsStorage"):
        assert settings[f"{connection}__credential"] == "managedidentity"
        assert settings[f"{connection}__clientId"] == settings["AZURE_CLIENT_ID"] == "identity.properties.clientId"
    assert settings["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"] == "'ClientId=${identityClientId};Authorization=AAD'"


def test_the_app_runs_on_flex_consumption_with_the_tested_python(resources: Find) -> None:
    (plan,), (app,) = resources("Microsoft.Web/serverfarms"), resources("Microsoft.Web/sites")
    assert plan.body["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    config = app.body["properties"]["functionAppConfig"]
    assert config["runtime"] == {"name": "python", "version": (ROOT / ".python-version").read_text().strip()}
    assert config["deployment"]["storage"]["authentication"]["type"] == "UserAssignedIdentity"


# -- names


def test_names_are_those_of_the_code(settings: dict[str, Any], main: Template) -> None:
    config = Config()
    names = {
        "SERVICE_BUS_QUEUE_NAME": config.service_bus_queue_name,
        "DEAD_LETTER_QUEUE_NAME": config.dead_letter_queue,
        "BOILERMAKER_TABLE_NAME": config.boilermaker_table_name,
    }
    for name, value in names.items():
        assert settings[name] == value
        assert main.outputs()[name] == value
        assert SAMPLE.get(name, value) == value
    assert {"SERVICE_BUS_QUEUE_NAME", "DEAD_LETTER_QUEUE_NAME"} <= set(SAMPLE)


def test_what_settings_name_is_deployed(settings: dict[str, Any], resources: Find) -> None:
    queues = [queue.body["name"] for queue in resources("Microsoft.ServiceBus/namespaces/queues")]
    assert sorted(queues) == sorted([settings["SERVICE_BUS_QUEUE_NAME"], settings["DEAD_LETTER_QUEUE_NAME"]])
    tables = resources("Microsoft.Storage/storageAccounts/tableServices/tables")
    assert [table.body["name"] for table in tables] == [settings["BOILERMAKER_TABLE_NAME"]]


# -- queues


def test_every_work_queue_is_made_watched_and_owned() -> None:
    found = [one for each in deployed(MAIN, {"workQueues": ["first", "letters"]}) for one in each.resources()]
    queues = [one for one in found if one.type.startswith("Microsoft.ServiceBus/namespaces/queues@")]
    assert {queue.body["name"] for queue in queues} == {"first", "letters", "first-dead-letters"}
    assert [one.symbol for one in found].count("appOwns") == 2
    (backlog,) = [one for one in found if one.symbol == "backlog"]
    (criterion,) = backlog.body["properties"]["criteria"]["allOf"]
    assert criterion["dimensions"][0]["values"] == ["first", "letters"]


def test_queues_do_what_the_app_relies_on(resources: Find, settings: dict[str, Any]) -> None:
    renewal = clock(HOST["extensions"]["serviceBus"]["maxAutoLockRenewalDuration"])
    for queue in resources("Microsoft.ServiceBus/namespaces/queues"):
        options = queue.body["properties"]
        assert options["requiresDuplicateDetection"] is True
        assert seconds(options["duplicateDetectionHistoryTimeWindow"]) > max(renewal, RetryPolicy().delay_max)
        assert options["deadLetteringOnMessageExpiration"] is True
        assert 30 <= seconds(options["lockDuration"]) <= 300
        assert "defaultMessageTimeToLive" not in options  # tasks expire by `expires`, dead letters never
        if queue.body["name"] == settings["DEAD_LETTER_QUEUE_NAME"]:
            assert options["maxDeliveryCount"] >= 100  # people look more than once
        else:
            assert 3 <= options["maxDeliveryCount"] <= 10


def seconds(duration: str) -> int:
    """`PT1H30M`, in seconds."""
    found = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", duration)
    assert found, duration
    days, hours, minutes, rest = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def clock(duration: str) -> int:
    """`00:35:00`, in seconds."""
    hours, minutes, rest = map(int, duration.split(":"))
    return (hours * 60 + minutes) * 60 + rest


# -- alerts


def test_alerts_watch_every_queue(resources: Find, settings: dict[str, Any]) -> None:
    work, dead = settings["SERVICE_BUS_QUEUE_NAME"], settings["DEAD_LETTER_QUEUE_NAME"]
    seen = {}
    for alert in resources("Microsoft.Insights/metricAlerts"):
        (criterion,) = alert.body["properties"]["criteria"]["allOf"]
        entities = [d["values"] for d in criterion.get("dimensions", []) if d["name"] == "EntityName"]
        where = str(entities[0]) if entities else None
        seen[criterion["metricName"], where] = (
            criterion["timeAggregation"],
            criterion["threshold"],
            alert.body["properties"]["windowSize"],
        )
        assert criterion["operator"] == "GreaterThan"
        assert alert.body["properties"]["enabled"] is True
        assert alert.body["properties"]["actions"].startswith("empty(email) ? [] : ")
    assert seen == {
        ("ActiveMessages", str([dead])): ("Maximum", 0, "PT15M"),
        ("ActiveMessages", str([work])): ("Minimum", 1000, "PT15M"),
        ("DeadletteredMessages", "concat(workQueues, [deadLetterQueue])"): ("Minimum", 0, "PT15M"),
        ("requests/failed", None): ("Count", 20, "PT15M"),
    }
