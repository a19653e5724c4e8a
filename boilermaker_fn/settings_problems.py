"""What is wrong with the settings? All of it at once, with the variables' names, and without secrets."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from .connection_strings import (
    DEVELOPMENT_STORAGE,
    entity_of,
    host_of,
    parts_of,
    problem_with_port,
    problem_with_service_bus,
    problem_with_storage,
    shown,
)
from .ids import problem_with_queue, same_queue

if TYPE_CHECKING:
    from pydantic import SecretStr

    from .settings import Settings

#: How to say where Service Bus is.
SET_A_NAMESPACE: Final = (
    "set SERVICE_BUS_NAMESPACE_URL (in a Function App ServiceBusConnection__fullyQualifiedNamespace) to the host name "
    "of a Service Bus namespace, such as my-namespace.servicebus.windows.net"
)

#: What the host understands; the second is of use to other services of Azure only.
_CREDENTIALS: Final = ("managedidentity", "managedidentityasfederatedidentity")
_TABLE: Final = r"[A-Za-z][A-Za-z0-9]{2,62}"
_TABLE_URL: Final = "TABLE_STORAGE_URL"
_OF_ANOTHER_SERVICE: Final = r"\.(blob|queue|file|dfs|web|servicebus)\."
_HOST: Final = r"(?=.{1,253}$)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+"


def all_of(settings: Settings) -> list[str]:
    """All that is wrong, a line for each."""
    return [*with_names(settings), *_with_service_bus(settings), *_with_tables(settings), *_with_identity(settings)]


def with_choice(settings: Settings) -> list[str]:
    """Why these settings do not say where tasks live."""
    found = []
    if settings.uses_service_bus and settings.boilermaker_local_file is not None:
        found.append(
            f"BOILERMAKER_LOCAL_FILE is {shown(str(settings.boilermaker_local_file))}, and Service Bus is configured "
            "too: tasks live in one of them; unset the other"
        )
    if not settings.uses_service_bus and settings.cloud is not None:
        found.append(
            f"{settings.cloud} says that this runs in the cloud, where the disk of the embedded engine is lost with "
            f"the instance, and all tasks with it: {SET_A_NAMESPACE}, or give Boilermaker() an engine"
        )
    tables = [name for name, _ in _own_tables(settings)]
    if not settings.uses_service_bus and tables:
        found.append(f"{' and '.join(tables)} is set, but no Service Bus beside it: {SET_A_NAMESPACE}, or unset it")
    return found


def with_names(settings: Settings) -> list[str]:
    """What is wrong with the names of the queues and of the table."""
    queue, aside = settings.service_bus_queue_name, settings.dead_letter_queue
    found = _wrong([("SERVICE_BUS_QUEUE_NAME", queue)], _problem_with_queue)
    if not found or settings.dead_letter_queue_name is not None:
        found += _wrong([("DEAD_LETTER_QUEUE_NAME", aside)], _problem_with_queue)
    if same_queue(aside, queue):
        found.append(
            f"DEAD_LETTER_QUEUE_NAME and SERVICE_BUS_QUEUE_NAME are both {shown(aside)}: what was "
            "given up would go round for ever; name another queue"
        )
    if not re.fullmatch(_TABLE, settings.boilermaker_table_name):
        found.append(
            f"BOILERMAKER_TABLE_NAME is {shown(settings.boilermaker_table_name)}: a table's name has 3 to 63 letters "
            "and digits and begins with a letter"
        )
    return found


def _with_service_bus(settings: Settings) -> list[str]:
    urls = _different(
        ("ServiceBusConnection__fullyQualifiedNamespace", settings.trigger_namespace),
        ("SERVICE_BUS_NAMESPACE_URL", settings.service_bus_namespace_url),
    )
    secrets = _different(
        ("ServiceBusConnection", _text(settings.trigger_connection_string)),
        ("SERVICE_BUS_CONNECTION_STRING", _text(settings.service_bus_connection_string)),
    )
    found = [
        *_wrong(urls, _problem_with_namespace),
        *_wrong(secrets, problem_with_service_bus),
        *_wrong(secrets[-1:], lambda text: _problem_with_entity(text, settings.service_bus_queue_name)),
    ]
    if settings.service_bus_namespace_url is not None and settings.service_bus_connection_string is not None:
        found.append(f"{urls[-1][0]} and {secrets[-1][0]} are both set: unset one of them")
    hosts = {name: host_of(url) for name, url in urls}
    hosts |= {name: host_of(parts_of(text).get("endpoint", "")) for name, text in secrets}
    if len({host for host in hosts.values() if host}) > 1:
        found.append(
            f"{' and '.join(hosts)} name different namespaces: tasks would be sent to one and run from another; "
            "unset what is wrong"
        )
    return found


def _with_tables(settings: Settings) -> list[str]:
    own = list(_own_tables(settings))
    found = [
        *_wrong([one for one in own if one[0] == _TABLE_URL], _problem_with_table_url),
        *_wrong([one for one in own if one[0] != _TABLE_URL], problem_with_storage),
    ]
    if len(own) > 1:
        found.append(f"{' and '.join(name for name, _ in own)} are both set: unset one of them")
    if own or not settings.uses_service_bus:
        return found  # then the host's are not used
    if settings.table_endpoint is not None:
        name = f"AzureWebJobsStorage__{'accountName' if settings.host_table_url is None else 'tableServiceUri'}"
        found += _wrong([(name, settings.table_endpoint)], _problem_with_table_url)
    elif settings.table_connection_string is not None:
        found += _wrong([("AzureWebJobsStorage", settings.table_connection_string)], problem_with_storage)
    return found


def _with_identity(settings: Settings) -> list[str]:
    found = []
    given = settings.service_bus_credential
    if isinstance(given, str) or (hasattr(given, "get_token") and not inspect.iscoroutinefunction(given.get_token)):
        found.append(
            f"service_bus_credential is of type {type(given).__name__}: give a credential of azure.identity.aio, or a "
            "function that makes one"
        )
    if settings.trigger_credential is not None and settings.trigger_credential.lower() not in _CREDENTIALS:
        found.append(
            f"ServiceBusConnection__credential is {shown(settings.trigger_credential)}: the host knows "
            "managedidentity; leave it out where a developer signs in"
        )
    if settings.trigger_credential is not None and settings.azure_credential_include_msi is False:
        found.append(
            "AZURE_CREDENTIAL_INCLUDE_MSI is false and ServiceBusConnection__credential is "
            f"{shown(settings.trigger_credential)}: unset one of them"
        )
    ids = {settings.trigger_client_id, settings.host_storage_client_id} - {None}
    if len(ids) > 1 and not list(_own_tables(settings)):
        found.append(
            "ServiceBusConnection__clientId and AzureWebJobsStorage__clientId are different identities, and one is "
            "used for both: make them equal, or name the account of the table in TABLE_STORAGE_URL"
        )
    return found


def _own_tables(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.table_storage_url is not None:
        yield _TABLE_URL, settings.table_storage_url
    if settings.table_storage_connection_string is not None:
        yield "TABLE_STORAGE_CONNECTION_STRING", settings.table_storage_connection_string.get_secret_value()


def _problem_with_queue(queue: str) -> str | None:
    problem = problem_with_queue(queue)
    return problem and problem.replace(repr(queue), shown(queue))


def _problem_with_namespace(url: str) -> str | None:
    host = host_of(url) or ""
    if ";" in url:
        return "is a connection string: put it into SERVICE_BUS_CONNECTION_STRING (the host's is ServiceBusConnection)"
    if host == "localhost" or host.startswith("127."):
        return f"is {shown(url)}: an emulator takes no identity; give SERVICE_BUS_CONNECTION_STRING instead"
    if not re.fullmatch(_HOST, host):
        return f"is {shown(url)}: give the host name of the namespace, such as my-namespace.servicebus.windows.net"
    return problem_with_port(url)


def _problem_with_table_url(url: str) -> str | None:
    host = host_of(url) or ""
    if "?" in url or ";" in url or "@" in url:
        return (
            "holds more than an address (which is not shown): a SAS token or a key belongs into "
            "TABLE_STORAGE_CONNECTION_STRING"
        )
    if url.startswith("http://"):
        return (
            f"is {shown(url)}: tokens are sent over https only; for Azurite set "
            f"TABLE_STORAGE_CONNECTION_STRING to {DEVELOPMENT_STORAGE}"
        )
    known = url.startswith("https://") and re.fullmatch(_HOST, host) and not re.search(_OF_ANOTHER_SERVICE, host)
    # Only below a number, as on a machine of one's own, is the path the account.
    if not known or (urlsplit(url).path.strip("/") and not host.replace(".", "").isdigit()):
        return f"is {shown(url)}: give the table service's URL, such as https://my-account.table.core.windows.net"
    return problem_with_port(url)


def _problem_with_entity(text: str, queue: str) -> str | None:
    entity = entity_of(text)
    if entity is None or entity == queue:
        return None
    return (
        f"is for the queue {shown(entity)} only (EntityPath), and SERVICE_BUS_QUEUE_NAME is {shown(queue)}: use a "
        "connection string of the namespace, or make them equal"
    )


def _different(*given: tuple[str, str | None]) -> list[tuple[str, str]]:
    """Those that are set; of two that say the same, the first."""
    found: dict[str, str] = {}
    for name, value in given:
        if value is not None:
            found.setdefault(value, name)
    return [(name, value) for value, name in found.items()]


def _wrong(given: list[tuple[str, str]], problem_with: Callable[[str], str | None]) -> list[str]:
    return [f"{name} {problem}" for name, value in given if (problem := problem_with(value)) is not None]


def _text(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
