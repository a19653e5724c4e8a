"""Which settings are there? Read from environment variables; what is wrong with them is said all at once."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from .errors import ConfigurationError
from .ids import problem_with_queue

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

_NAMESPACE_NAMES: Final = ("SERVICE_BUS_NAMESPACE_URL", "ServiceBusConnection__fullyQualifiedNamespace")
_TABLE: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{2,62}")


def _named(*names: str) -> Any:
    return Field(default=None, validation_alias=AliasChoices(*names))


class Config(BaseSettings):
    """Settings; each field is an environment variable of the same name in capitals, or of the name beside it.

    Service Bus is where tasks live when `service_bus_namespace_url` or `service_bus_connection_string` is given. Beside
    it results are kept in the storage account of `table_storage_url` or `table_storage_connection_string`, else in
    that of the Functions host, whose connections `ServiceBusConnection` and `AzureWebJobsStorage` are understood.

    `azure_credential_include_msi` says whether a managed identity is asked for a token; by default in the cloud only,
    because elsewhere that takes long to fail. `service_bus_credential` is a credential, or what makes one.
    `dead_letter_queue_name` is by default the queue's with `-dead-letters`. `boilermaker_local_file` is the file of
    the embedded engine. Raises pydantic's ValidationError.
    """

    model_config = SettingsConfigDict(
        extra="ignore", env_ignore_empty=True, populate_by_name=True, arbitrary_types_allowed=True
    )

    service_bus_namespace_url: str | None = _named(*_NAMESPACE_NAMES)
    service_bus_connection_string: SecretStr | None = _named("service_bus_connection_string", "ServiceBusConnection")
    service_bus_queue_name: str = "boilermaker-tasks"
    dead_letter_queue_name: str | None = None

    table_storage_url: str | None = None
    table_storage_connection_string: SecretStr | None = None
    boilermaker_table_name: str = "boilermaker"
    host_table_url: str | None = _named("AzureWebJobsStorage__tableServiceUri")
    host_storage_account: str | None = _named("AzureWebJobsStorage__accountName")
    host_storage_connection_string: SecretStr | None = _named("AzureWebJobsStorage")

    azure_credential_include_msi: bool | None = None
    azure_client_id: str | None = _named("ServiceBusConnection__clientId", "azure_client_id")
    service_bus_credential: Any = None

    boilermaker_local_file: Path | None = None
    # Set by Azure Functions and App Service, and by Container Apps.
    website_instance_id: str | None = None
    container_app_name: str | None = None

    @property
    def dead_letter_queue(self) -> str:
        """The queue for what was given up."""
        return self.dead_letter_queue_name or f"{self.service_bus_queue_name}-dead-letters"

    @property
    def uses_service_bus(self) -> bool:
        """Whether tasks live in Service Bus."""
        return self.service_bus_namespace_url is not None or self.service_bus_connection_string is not None

    @property
    def cloud(self) -> str | None:
        """The variable that says that this runs in the cloud, with its value; None elsewhere."""
        for name in ("website_instance_id", "container_app_name"):
            if (value := getattr(self, name)) is not None:
                return f"{name.upper()}={value}"
        return None

    @property
    def service_bus_host(self) -> str | None:
        """The host name of the namespace, however its URL is written; None without one."""
        return None if self.service_bus_namespace_url is None else _host(self.service_bus_namespace_url)

    @property
    def table_endpoint(self) -> str | None:
        """The URL of the table service to use with a credential; None when there is none, or a connection string."""
        if self.table_storage_url is not None or self.table_storage_connection_string is not None:
            return self.table_storage_url
        if self.host_table_url is None and self.host_storage_account is not None:
            return f"https://{self.host_storage_account}.table.core.windows.net"
        return self.host_table_url

    @property
    def table_connection_string(self) -> str | None:
        """The connection string of the storage account, when there is no URL to use with a credential."""
        if self.table_endpoint is not None:
            return None
        secret = self.table_storage_connection_string or self.host_storage_connection_string
        return None if secret is None else secret.get_secret_value()

    def az_credential(self) -> AsyncTokenCredential:
        """The credential for Service Bus and tables: the one given, else a new DefaultAzureCredential."""
        given = self.service_bus_credential
        if given is not None:
            credential: AsyncTokenCredential = given() if callable(given) else given
            return credential
        from azure.identity.aio import DefaultAzureCredential

        include = self.azure_credential_include_msi
        if include is None:
            include = self.cloud is not None
        return DefaultAzureCredential(
            exclude_managed_identity_credential=not include, managed_identity_client_id=self.azure_client_id
        )

    def problems(self) -> list[str]:
        """All that is wrong, a line for each, with the names of the variables."""
        return [*self._problems_with_names(), *self._problems_with_places()]

    def _problems_with_names(self) -> list[str]:
        queues = {
            "SERVICE_BUS_QUEUE_NAME": self.service_bus_queue_name,
            "DEAD_LETTER_QUEUE_NAME": self.dead_letter_queue,
        }
        found = [f"{name} {problem}" for name, queue in queues.items() if (problem := problem_with_queue(queue))]
        if self.dead_letter_queue == self.service_bus_queue_name:
            found.append(
                f"DEAD_LETTER_QUEUE_NAME and SERVICE_BUS_QUEUE_NAME are both {self.dead_letter_queue!r}: what was "
                "given up would go round for ever; name another queue"
            )
        if not _TABLE.fullmatch(self.boilermaker_table_name):
            found.append(
                f"BOILERMAKER_TABLE_NAME is {self.boilermaker_table_name!r}: a table's name has 3 to 63 letters and "
                "digits and begins with a letter"
            )
        return found

    def _problems_with_places(self) -> list[str]:
        found = []
        url, secret = self.service_bus_namespace_url, self.service_bus_connection_string
        if url is not None and not _host(url):
            found.append(
                f"SERVICE_BUS_NAMESPACE_URL is {url!r}: give the host name of the namespace, such as "
                "my-namespace.servicebus.windows.net"
            )
        if len({_host(value) for value in map(os.environ.get, _NAMESPACE_NAMES) if value}) > 1:
            found.append(
                f"{' and '.join(_NAMESPACE_NAMES)} name different namespaces: tasks would be sent to one and run from "
                "the other; unset one of them"
            )
        if self.table_storage_url is not None and self.table_storage_connection_string is not None:
            found.append("TABLE_STORAGE_URL and TABLE_STORAGE_CONNECTION_STRING are both set: unset one of them")
        if url is not None and secret is not None:
            found.append(
                "SERVICE_BUS_NAMESPACE_URL (or ServiceBusConnection__fullyQualifiedNamespace) and a connection string "
                "(SERVICE_BUS_CONNECTION_STRING or ServiceBusConnection) are both set: unset one of them"
            )
        if self.uses_service_bus and self.boilermaker_local_file is not None:
            found.append(
                f"BOILERMAKER_LOCAL_FILE is {str(self.boilermaker_local_file)!r}, and Service Bus is configured too: "
                "tasks live in one of them; unset the other"
            )
        return found


def configured() -> Config:
    """The settings of the environment. Raises ConfigurationError with all that is wrong."""
    try:
        config = Config()
    except ValidationError as error:
        raise ConfigurationError("; ".join(_described(one) for one in error.errors())) from None
    if problems := config.problems():
        raise ConfigurationError("; ".join(problems))
    return config


def _described(error: Any) -> str:
    name = str(error["loc"][0])
    return f"{name if '__' in name else name.upper()} is {error['input']!r}: {error['msg']}"


def _host(url: str) -> str | None:
    """`https://name/`, `sb://name` or `name`: the name."""
    parts = urlsplit(url if "://" in url else f"//{url}")
    return parts.hostname
