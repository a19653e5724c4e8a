"""Settings: which names are understood, what is refused and how it is said, and that no secret is ever shown."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from boilermaker_fn import settings
from boilermaker_fn.config import Config
from boilermaker_fn.errors import ConfigurationError
from boilermaker_fn.service_bus import AzureServiceBus
from boilermaker_fn.settings import Settings, configured, named
from boilermaker_fn.tables import AzureTable

KEY = "c2VjcmV0LWtleS1vZi10aGUtbmFtZXNwYWNl"
SERVICE_BUS = f"Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey={KEY}"
EMULATOR = (
    "Endpoint=sb://127.0.0.1:5672;SharedAccessKeyName=Root;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"
)
STORAGE = f"DefaultEndpointsProtocol=https;AccountName=shop;AccountKey={KEY};EndpointSuffix=core.windows.net"
VARIABLES = {str(info.validation_alias or field.upper()) for field, info in Config.model_fields.items()}
URL = "https://shop.servicebus.windows.net/"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "AZURE_TOKEN_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)


def said(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """What is said of an environment."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        configured()
    return str(refused.value)


# -- what is understood


def test_the_settings_of_boilermaker_servicebus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BUS_NAMESPACE_URL", URL)
    monkeypatch.setenv("SERVICE_BUS_QUEUE_NAME", "orders")
    monkeypatch.setenv("AZURE_CREDENTIAL_INCLUDE_MSI", "true")
    config = Config()
    assert (config.service_bus_namespace_url, config.service_bus_queue_name) == (URL, "orders")
    assert config.azure_credential_include_msi is True
    assert config.service_bus_host == "shop.servicebus.windows.net"
    assert config.dead_letter_queue == "orders-dead-letters"
    assert config.uses_service_bus


def test_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BUS_NAMESPACE_URL", "https://other.servicebus.windows.net")
    monkeypatch.setenv("ServiceBusConnection__fullyQualifiedNamespace", "third.servicebus.windows.net")
    config = Config(service_bus_namespace_url=URL, service_bus_queue_name="mine", azure_credential_include_msi=False)
    assert (config.service_bus_host, config.service_bus_queue_name) == ("shop.servicebus.windows.net", "mine")


@pytest.mark.parametrize(
    "url", ["shop.servicebus.windows.net", "sb://shop.servicebus.windows.net:5671/", URL, URL[:-1]]
)
def test_a_namespace_however_it_is_written(url: str) -> None:
    config = Config(service_bus_namespace_url=url)
    assert config.service_bus_host == "shop.servicebus.windows.net"
    assert config.problems() == []


def test_the_connections_of_the_functions_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ServiceBusConnection__fullyQualifiedNamespace", "shop.servicebus.windows.net")
    monkeypatch.setenv("ServiceBusConnection__credential", "managedidentity")
    monkeypatch.setenv("ServiceBusConnection__clientId", "1111")
    monkeypatch.setenv("AzureWebJobsStorage__accountName", "shopstore")
    monkeypatch.setenv("AzureWebJobsStorage__credential", "managedidentity")
    monkeypatch.setenv("AzureWebJobsStorage__clientId", "1111")
    monkeypatch.setenv("AZURE_CLIENT_ID", "of another purpose")
    config = configured()
    assert config.service_bus_namespace_url == "shop.servicebus.windows.net"
    assert config.azure_client_id == "1111"
    assert config.table_endpoint == "https://shopstore.table.core.windows.net"
    assert config.table_connection_string is None
    monkeypatch.setenv("AzureWebJobsStorage__tableServiceUri", "https://shopstore.table.core.usgovcloudapi.net")
    assert configured().table_endpoint == "https://shopstore.table.core.usgovcloudapi.net"


@pytest.mark.parametrize("name", ["SERVICE_BUS_CONNECTION_STRING", "ServiceBusConnection", "servicebusconnection"])
def test_a_connection_string(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, EMULATOR)
    secret = configured().service_bus_connection_string
    assert secret is not None
    assert secret.get_secret_value() == EMULATOR
    assert configured().service_bus_host is None


@pytest.mark.parametrize(
    "text", ["UseDevelopmentStorage=true", "UseDevelopmentStorage=true;", STORAGE, f" {STORAGE};\n"]
)
@pytest.mark.parametrize("name", ["TABLE_STORAGE_CONNECTION_STRING", "AzureWebJobsStorage"])
def test_a_storage_account_by_connection_string(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.data.tables.aio import TableClient

    monkeypatch.setenv("ServiceBusConnection", EMULATOR)
    monkeypatch.setenv(name, text)
    config = configured()
    assert config.table_endpoint is None
    assert config.table_connection_string is not None
    TableClient.from_connection_string(config.table_connection_string, "boilermaker")  # the SDK takes it


def test_our_tables_come_before_those_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ServiceBusConnection", EMULATOR)
    monkeypatch.setenv("AzureWebJobsStorage__accountName", "host")
    monkeypatch.setenv("AzureWebJobsStorage", "not even looked at")
    monkeypatch.setenv("TABLE_STORAGE_CONNECTION_STRING", STORAGE)
    assert configured().table_connection_string == STORAGE
    monkeypatch.delenv("TABLE_STORAGE_CONNECTION_STRING")
    monkeypatch.setenv("TABLE_STORAGE_URL", "https://shop.table.core.windows.net")
    assert configured().table_endpoint == "https://shop.table.core.windows.net"


def test_fields_are_read_under_their_documented_names_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRIGGER_NAMESPACE", "HOST_TABLE_URL", "HOST_STORAGE_ACCOUNT", "SERVICE_BUS_CREDENTIAL"):
        monkeypatch.setenv(name, "stray")
    assert "stray" not in repr(Config())
    assert Config().service_bus_credential is None


class Shop(Config):
    stripe_key: str
    carts: int = 3


def test_a_subclass_adds_settings_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_KEY", "sk_test")
    monkeypatch.setenv("carts", "7")
    monkeypatch.setenv("ServiceBusConnection__fullyQualifiedNamespace", "shop.servicebus.windows.net")
    shop = Shop()
    assert (shop.stripe_key, shop.carts, shop.service_bus_host) == ("sk_test", 7, "shop.servicebus.windows.net")
    assert Shop(carts=5, service_bus_namespace_url=URL).carts == 5
    assert AzureServiceBus.from_config(shop).name == "Service Bus shop.servicebus.windows.net"
    assert isinstance(shop, BaseSettings)
    with pytest.raises(ValidationError, match="stripekey"):
        Shop(stripekey="sk")


def test_code_and_the_start_of_an_app_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES - {"AZURE_CREDENTIAL_INCLUDE_MSI"}:
        monkeypatch.setenv(name.lower(), f"of {name}")
    monkeypatch.setenv("AZURE_CREDENTIAL_INCLUDE_MSI", "")
    started, given = Settings.model_validate(settings.given(Settings)), Config()
    assert started.model_dump() == given.model_dump()
    assert started.model_fields_set == given.model_fields_set
    assert given.trigger_client_id == "of ServiceBusConnection__clientId"


# -- who is asked for a token


async def chain_of(config: Config) -> list[str]:
    """The credentials that are tried, in that order."""
    credential: Any = config.az_credential()
    try:
        return [type(one).__name__ for one in getattr(credential, "credentials", [credential])]
    finally:
        await credential.close()


async def test_a_managed_identity_is_asked_where_there_can_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ManagedIdentityCredential" not in await chain_of(Config())
    assert "ManagedIdentityCredential" in await chain_of(Config(azure_credential_include_msi=True))
    for name in ("WEBSITE_SITE_NAME", "CONTAINER_APP_NAME"):
        monkeypatch.setenv(name, "shop")
        assert "ManagedIdentityCredential" in await chain_of(Config())
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONTAINER_APP_NAME", "shop")
    assert "ManagedIdentityCredential" not in await chain_of(Config(azure_credential_include_msi=False))


async def test_who_publishes_is_who_the_trigger_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ServiceBusConnection__credential", "managedidentity")
    assert await chain_of(Config()) == ["ManagedIdentityCredential"]


class Credential:
    async def get_token(self, *scopes: str) -> None: ...


def test_a_credential_of_ones_own_or_a_function_that_makes_one() -> None:
    given = Credential()
    assert Config(service_bus_credential=given).az_credential() is given
    assert isinstance(Config(service_bus_credential=Credential).az_credential(), Credential)
    assert Config(service_bus_credential=given).problems() == []


class SyncCredential:
    def get_token(self, *scopes: str) -> None: ...


@pytest.mark.parametrize("given", [SyncCredential(), "a key"])
def test_what_gives_no_token_to_an_event_loop_is_refused(given: object) -> None:
    (problem,) = Config(service_bus_credential=given).problems()
    assert re.fullmatch(r"service_bus_credential is of type \w+: give a credential of azure.identity.aio.*", problem)


# -- what is wrong


def test_all_problems_are_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = said(
        monkeypatch,
        SERVICE_BUS_NAMESPACE_URL="shop",
        SERVICE_BUS_QUEUE_NAME="bad name!",
        BOILERMAKER_TABLE_NAME="1",
        AZURE_CREDENTIAL_INCLUDE_MSI="perhaps",
        TABLE_STORAGE_URL="http://127.0.0.1:10002/devstoreaccount1",
        BOILERMAKER_LOCAL_FILE="tasks.db",
    )
    for part in (
        "SERVICE_BUS_NAMESPACE_URL is 'shop': give the host name",
        "SERVICE_BUS_QUEUE_NAME is 'bad name!'",
        "BOILERMAKER_TABLE_NAME is '1'",
        "AZURE_CREDENTIAL_INCLUDE_MSI is 'perhaps': Input should be a valid boolean",
        "TABLE_STORAGE_URL is 'http://127.0.0.1:10002/devstoreaccount1': tokens are sent over https only",
        "BOILERMAKER_LOCAL_FILE is 'tasks.db', and Service Bus is configured too",
    ):
        assert part in text
    assert text.count("; ") >= 5
    assert "DEAD_LETTER_QUEUE_NAME" not in text  # it only follows from the other


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://", "give the host name"),
        ("https://[::", "give the host name"),
        ("my namespace.servicebus.windows.net", "give the host name"),
        ("localhost:5672", "an emulator takes no identity"),
        ("sb://127.0.0.1:5672", "an emulator takes no identity"),
        (SERVICE_BUS, "is a connection string: put it into SERVICE_BUS_CONNECTION_STRING"),
        (f"https://user:{KEY}@", "give the host name"),
        (f"{URL[:-1]}:port", "has a wrong port in "),
    ],
)
def test_what_is_no_namespace(url: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = said(monkeypatch, SERVICE_BUS_NAMESPACE_URL=url)
    assert text.startswith("SERVICE_BUS_NAMESPACE_URL ")
    assert problem in text
    assert "; " not in text.replace("identity; give", "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("shop.servicebus.windows.net", "is no connection string"),
        (f'"{SERVICE_BUS}"', "has no Endpoint="),
        (SERVICE_BUS.replace("Endpoint=sb://shop.servicebus.windows.net/;", ""), "has no Endpoint="),
        (SERVICE_BUS.replace("sb://", ""), "has the endpoint 'shop.servicebus.windows.net/'"),
        (SERVICE_BUS.replace("SharedAccessKeyName=Root;", ""), "has no SharedAccessKeyName="),
        (SERVICE_BUS.partition(";SharedAccessKey=")[0], "has no SharedAccessKey="),
        (SERVICE_BUS + ";SharedAccessSignature=sr&sig=x", "either SharedAccessKeyName="),
        ("Endpoint=sb://shop.servicebus.windows.net/", "either SharedAccessKeyName="),
        (SERVICE_BUS.replace("SharedAccessKey=", "SharedAccessKey"), "is no connection string"),
        (f"{SERVICE_BUS};SharedAccessKey={KEY}", "says 'sharedaccesskey' more than once"),
        (EMULATOR.replace("true", "True"), "only true, in lower case"),
        (EMULATOR.replace("5672", "port"), "has a wrong port in 'sb://127.0.0.1:port': a port is"),
        (EMULATOR.replace("5672", "99999"), "has a wrong port in "),
        ("@Microsoft.KeyVault(SecretUri=https://vault/secrets/bus)", "a Key Vault reference that was not resolved"),
    ],
)
@pytest.mark.parametrize("name", ["SERVICE_BUS_CONNECTION_STRING", "ServiceBusConnection"])
def test_what_is_no_connection_string(name: str, text: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = said(monkeypatch, **{name: text})
    assert shown.startswith(f"{name} ")
    assert problem in shown


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("shopstore", "is no connection string"),
        ("UseDevelopmentStorage=false", "needs AccountName="),
        (STORAGE.replace(f"AccountKey={KEY};", ""), "needs AccountName="),
        (STORAGE.replace(KEY, "key!"), "an AccountKey= that is not base64"),
        (f"{STORAGE};TableEndpoint=http://127.0.0.1:123456/shop", "has a wrong port in "),
        ("SharedAccessSignature=sv=1&sig=abc", "names no account"),
    ],
)
@pytest.mark.parametrize("name", ["TABLE_STORAGE_CONNECTION_STRING", "AzureWebJobsStorage"])
def test_what_is_no_storage_account(name: str, text: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = said(monkeypatch, ServiceBusConnection=EMULATOR, **{name: text})
    assert shown.startswith(f"{name} ")
    assert problem in shown


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (f"https://shop.table.core.windows.net/?sv=1&sig={KEY}", "holds more than an address"),
        (STORAGE, "holds more than an address"),
        ("http://shop.table.core.windows.net", "tokens are sent over https only"),
        ("shop.table.core.windows.net", "give the table service's URL"),
        ("https://shop", "give the table service's URL"),
        ("https://shop.blob.core.windows.net", "give the table service's URL"),
        ("https://shop.servicebus.windows.net", "give the table service's URL"),
        ("https://shop.table.core.windows.net/boilermaker", "give the table service's URL"),
        ("https://[::", "give the table service's URL"),
        ("https://shop.table.core.windows.net:port", "has a wrong port in "),
        (f"https://shop:{KEY}@shop.table.core.windows.net", "holds more than an address (which is not shown)"),
    ],
)
@pytest.mark.parametrize("name", ["TABLE_STORAGE_URL", "AzureWebJobsStorage__tableServiceUri"])
def test_what_is_no_table_service(name: str, url: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = said(monkeypatch, ServiceBusConnection=EMULATOR, **{name: url})
    assert shown.startswith(f"{name} ")
    assert problem in shown


OTHER = "https://other.servicebus.windows.net"


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        (
            {"SERVICE_BUS_NAMESPACE_URL": OTHER, "ServiceBusConnection__fullyQualifiedNamespace": URL},
            "ServiceBusConnection__fullyQualifiedNamespace and SERVICE_BUS_NAMESPACE_URL name different namespaces",
        ),
        (
            {"SERVICE_BUS_NAMESPACE_URL": OTHER, "ServiceBusConnection": SERVICE_BUS},
            "SERVICE_BUS_NAMESPACE_URL and ServiceBusConnection name different namespaces",
        ),
        (
            {"SERVICE_BUS_NAMESPACE_URL": URL, "SERVICE_BUS_CONNECTION_STRING": SERVICE_BUS},
            "SERVICE_BUS_NAMESPACE_URL and SERVICE_BUS_CONNECTION_STRING are both set",
        ),
        (
            {"ServiceBusConnection__fullyQualifiedNamespace": URL, "ServiceBusConnection": SERVICE_BUS},
            "ServiceBusConnection__fullyQualifiedNamespace and ServiceBusConnection are both set",
        ),
        (
            {"ServiceBusConnection": f"{SERVICE_BUS};EntityPath=orders", "SERVICE_BUS_QUEUE_NAME": "bills"},
            "ServiceBusConnection is for the queue 'orders' only (EntityPath), and SERVICE_BUS_QUEUE_NAME is 'bills'",
        ),
        (
            {"SERVICE_BUS_QUEUE_NAME": "orders", "DEAD_LETTER_QUEUE_NAME": "orders"},
            "DEAD_LETTER_QUEUE_NAME and SERVICE_BUS_QUEUE_NAME are both 'orders'",
        ),
        (
            {"SERVICE_BUS_QUEUE_NAME": "orders", "DEAD_LETTER_QUEUE_NAME": "Orders"},
            "DEAD_LETTER_QUEUE_NAME and SERVICE_BUS_QUEUE_NAME are both 'Orders'",
        ),
        (
            {
                "ServiceBusConnection": EMULATOR,
                "TABLE_STORAGE_URL": "https://shop.table.core.windows.net",
                "TABLE_STORAGE_CONNECTION_STRING": STORAGE,
            },
            "TABLE_STORAGE_URL and TABLE_STORAGE_CONNECTION_STRING are both set",
        ),
        (
            {
                "ServiceBusConnection__fullyQualifiedNamespace": URL,
                "ServiceBusConnection__credential": "managedidentity",
                "AZURE_CREDENTIAL_INCLUDE_MSI": "false",
            },
            "AZURE_CREDENTIAL_INCLUDE_MSI is false and ServiceBusConnection__credential is 'managedidentity'",
        ),
        (
            {
                "ServiceBusConnection__fullyQualifiedNamespace": URL,
                "ServiceBusConnection__clientId": "1",
                "AzureWebJobsStorage__accountName": "shop",
                "AzureWebJobsStorage__clientId": "2",
            },
            "ServiceBusConnection__clientId and AzureWebJobsStorage__clientId are different identities",
        ),
        (
            {"TABLE_STORAGE_URL": "https://shop.table.core.windows.net"},
            "TABLE_STORAGE_URL is set, but no Service Bus beside it: set SERVICE_BUS_NAMESPACE_URL",
        ),
        ({"WEBSITE_INSTANCE_ID": "ab12"}, "WEBSITE_INSTANCE_ID=ab12 says that this runs in the cloud"),
        ({"WEBSITE_SITE_NAME": "shop"}, "WEBSITE_SITE_NAME=shop says that this runs in the cloud"),
    ],
)
def test_what_contradicts(variables: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = said(monkeypatch, **variables)
    assert text.startswith(problem)
    assert text.count(problem) == 1


@pytest.mark.parametrize(
    "variables",
    [
        {"SERVICE_BUS_NAMESPACE_URL": URL, "ServiceBusConnection__fullyQualifiedNamespace": URL.upper()},
        {"SERVICE_BUS_NAMESPACE_URL": URL, "ServiceBusConnection": SERVICE_BUS},
        {"ServiceBusConnection": f"{SERVICE_BUS};EntityPath=orders", "SERVICE_BUS_QUEUE_NAME": "orders"},
        {"ServiceBusConnection": EMULATOR, "AzureWebJobsStorage": "UseDevelopmentStorage=true"},
        {"AzureWebJobsStorage": "whatever: without Service Bus it is not used"},
    ],
)
def test_what_does_not_contradict(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    configured()


def test_the_table_service_of_a_server_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BUS_NAMESPACE_URL", URL)
    monkeypatch.setenv("TABLE_STORAGE_URL", "https://127.0.0.1:10002/devstoreaccount1")
    assert configured().table_endpoint == "https://127.0.0.1:10002/devstoreaccount1"


def test_where_tasks_live_is_not_checked_where_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BUS_NAMESPACE_URL", "shop")
    monkeypatch.setenv("WEBSITE_INSTANCE_ID", "ab12")
    monkeypatch.setenv("SERVICE_BUS_QUEUE_NAME", "orders")
    assert named().service_bus_queue_name == "orders"
    monkeypatch.setenv("SERVICE_BUS_QUEUE_NAME", "-")
    with pytest.raises(ConfigurationError, match=r"\ASERVICE_BUS_QUEUE_NAME is '-'"):
        named()


@pytest.mark.parametrize("arguments", [{"service_bus_queue": "orders"}, {"service_bus_namespace_url": 7}])
def test_arguments_of_a_wrong_name_or_type_are_refused(arguments: Any) -> None:
    with pytest.raises(ValidationError):
        Config(**arguments)


def test_checked_says_what_is_wrong_with_arguments() -> None:
    config = Config(service_bus_namespace_url=URL, service_bus_queue_name="orders")
    assert config.checked() is config
    with pytest.raises(ConfigurationError, match="SERVICE_BUS_QUEUE_NAME is '-'"):
        Config(service_bus_queue_name="-").checked()


# -- secrets


@pytest.mark.parametrize("name", sorted(VARIABLES - {"WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME", "CONTAINER_APP_NAME"}))
@pytest.mark.parametrize(
    "secret",
    [SERVICE_BUS, STORAGE, f"https://shop.table.core.windows.net/?sig={KEY}", f"https://me:{KEY}@shop", f"{KEY}=="],
)
def test_a_secret_is_never_shown_wherever_it_was_put(name: str, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, secret)
    try:
        config = Config()
        texts = [repr(config), str(config), *config.problems()]
    except ValidationError as error:
        texts = [str(error), repr(error)]
    try:
        configured()
    except ConfigurationError as error:
        texts.append(str(error))
    assert KEY not in "\n".join(texts)


def test_repr_shows_what_is_no_secret() -> None:
    config = Config(
        service_bus_namespace_url=URL, service_bus_credential=Credential(), table_storage_connection_string=STORAGE
    )
    assert f"service_bus_namespace_url={URL!r}" in repr(config)
    assert "Credential" not in repr(config)
    assert "table_storage_connection_string=SecretStr('**********')" in repr(config)


def test_a_secret_in_the_address_of_a_table_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="holds more than an address") as refused:
        AzureTable(f"https://shop.table.core.windows.net/?sig={KEY}")
    assert KEY not in str(refused.value)


def test_a_secret_of_a_wrong_type_is_not_shown() -> None:
    with pytest.raises(ValidationError) as refused:
        Config(service_bus_connection_string=[SERVICE_BUS])  # type: ignore[arg-type] # what is tested
    assert KEY not in str(refused.value)


# -- imports


def test_settings_and_sdks_are_not_imported_before_they_are_used(tmp_path: Path) -> None:
    code = (
        "import sys, boilermaker_fn; app = boilermaker_fn.Boilermaker()\n"
        "assert not {'pydantic_settings', 'azure', 'boilermaker_fn.settings'} & set(sys.modules)\n"
        "app.shell.wiring\n"
        "assert not {'pydantic_settings', 'azure'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, timeout=60)


def test_a_loop_is_not_needed_to_make_a_credential() -> None:
    credential = Config().az_credential()
    asyncio.run(credential.close())


def test_a_misspelt_kind_of_credential_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    text = said(
        monkeypatch,
        ServiceBusConnection__fullyQualifiedNamespace="shop.servicebus.windows.net",
        ServiceBusConnection__credential="managedIdentityy",
    )
    assert "ServiceBusConnection__credential is 'managedIdentityy'" in text
