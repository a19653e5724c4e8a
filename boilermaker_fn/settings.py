"""Which settings are there? Read from environment variables; what is wrong with them is said all at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

from pydantic import BaseModel, Field, SecretStr, ValidationError, model_validator

from . import settings_problems
from .connection_strings import host_of, shown, trimmed
from .errors import ConfigurationError

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

#: What `ServiceBusConnection__credential` says of a Function App without secrets.
MANAGED_IDENTITY: Final = "managedidentity"

#: The one that is no environment variable, and never shown.
_CREDENTIAL: Final = "service_bus_credential"

S = TypeVar("S", bound="Settings")


def _of_the_host(variable: str) -> Any:
    return Field(default=None, validation_alias=variable)


class Settings(BaseModel, extra="forbid", hide_input_in_errors=True):
    """All settings, and what follows from them. What each of them means is said by users' own class, `config.Config`.

    Raises pydantic's ValidationError for a value of a wrong type; what contradicts is in `problems`.
    """

    service_bus_namespace_url: str | None = None
    service_bus_connection_string: SecretStr | None = None
    service_bus_queue_name: str = "boilermaker-tasks"
    dead_letter_queue_name: str | None = None

    table_storage_url: str | None = None
    table_storage_connection_string: SecretStr | None = None
    boilermaker_table_name: str = "boilermaker"

    azure_credential_include_msi: bool | None = None
    azure_client_id: str | None = None
    service_bus_credential: Any = None

    boilermaker_local_file: Path | None = None

    # The connections of the Functions host: what its triggers use is used here, unless ours are set.
    trigger_namespace: str | None = _of_the_host("ServiceBusConnection__fullyQualifiedNamespace")
    trigger_connection_string: SecretStr | None = _of_the_host("ServiceBusConnection")
    trigger_credential: str | None = _of_the_host("ServiceBusConnection__credential")
    trigger_client_id: str | None = _of_the_host("ServiceBusConnection__clientId")
    host_table_url: str | None = _of_the_host("AzureWebJobsStorage__tableServiceUri")
    host_storage_account: str | None = _of_the_host("AzureWebJobsStorage__accountName")
    host_storage_connection_string: SecretStr | None = _of_the_host("AzureWebJobsStorage")
    host_storage_client_id: str | None = _of_the_host("AzureWebJobsStorage__clientId")

    # Set by App Service, by all plans of Azure Functions (Flex Consumption sets the name only), by Container Apps.
    website_instance_id: str | None = None
    website_site_name: str | None = None
    container_app_name: str | None = None

    @model_validator(mode="after")
    def _as_the_trigger(self) -> Self:
        if not self.uses_service_bus:
            self.service_bus_namespace_url = self.trigger_namespace
            self.service_bus_connection_string = self.trigger_connection_string
        self.azure_client_id = self.trigger_client_id or self.azure_client_id
        return self

    def __repr_args__(self) -> Any:
        """What is set, without what is secret or looks like it."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is not None and name != _CREDENTIAL:
                yield name, value if shown(value) == repr(value) else "..."

    # -- what follows from them

    @property
    def dead_letter_queue(self) -> str:
        """The queue for what was given up."""
        return self.dead_letter_queue_of(self.service_bus_queue_name)

    def dead_letter_queue_of(self, queue: str) -> str:
        """The queue for what was given up, where `queue` is that of tasks."""
        return self.dead_letter_queue_name or f"{queue}-dead-letters"

    @property
    def uses_service_bus(self) -> bool:
        """Whether tasks live in Service Bus."""
        return self.service_bus_namespace_url is not None or self.service_bus_connection_string is not None

    @property
    def cloud(self) -> str | None:
        """The variable that says that this runs in the cloud, with its value; None elsewhere."""
        for name in ("website_instance_id", "website_site_name", "container_app_name"):
            if (value := getattr(self, name)) is not None:
                return f"{name.upper()}={value}"
        return None

    @property
    def service_bus_host(self) -> str | None:
        """The host name of the namespace, however its URL is written; None without one."""
        return None if self.service_bus_namespace_url is None else host_of(self.service_bus_namespace_url)

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
        secret = self.table_storage_connection_string or self.host_storage_connection_string
        if secret is None or self.table_endpoint is not None:
            return None
        return trimmed(secret.get_secret_value())

    def az_credential(self) -> AsyncTokenCredential:
        """The credential for Service Bus and tables: the one given, else a new one, which is the caller's to close."""
        given = self.service_bus_credential
        if given is not None:
            return cast("AsyncTokenCredential", given() if callable(given) else given)
        from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

        if (self.trigger_credential or "").lower() == MANAGED_IDENTITY:  # who publishes is then who the trigger is
            return ManagedIdentityCredential(client_id=self.azure_client_id)
        include = self.azure_credential_include_msi
        if include is None:
            include = self.cloud is not None
        return DefaultAzureCredential(
            exclude_managed_identity_credential=not include, managed_identity_client_id=self.azure_client_id
        )

    def problems(self) -> list[str]:
        """All that is wrong, a line for each, with the names of the variables and no secret."""
        return settings_problems.all_of(self)

    def checked(self) -> Self:
        """These settings. Raises ConfigurationError with all that is wrong."""
        return _without(self.problems(), self)


def configured() -> Settings:
    """The settings of the environment. Raises ConfigurationError with all that is wrong."""
    settings, misread = _read()
    return _without([*misread, *settings.problems(), *settings_problems.with_choice(settings)], settings)


def named() -> Settings:
    """The settings of the environment where it is given otherwise where tasks live: only names are checked."""
    settings, misread = _read()
    return _without([*misread, *settings_problems.with_names(settings)], settings)


def given(fields: type[BaseModel]) -> dict[str, str]:
    """What the environment says of these fields, by what each is read from.

    A variable is in capitals or not; an empty one is none. None of them is a credential.
    """
    variables = {name.lower(): value for name, value in os.environ.items() if value}
    asked = (str(field.validation_alias or name) for name, field in fields.model_fields.items() if name != _CREDENTIAL)
    return {name: variables[name.lower()] for name in asked if name.lower() in variables}


def _read() -> tuple[Settings, list[str]]:
    """The settings, those that cannot be read left out, and what is wrong with these."""
    found = given(Settings)
    try:
        return Settings.model_validate(found), []
    except ValidationError as error:
        wrong = {str(one["loc"][0]): one for one in error.errors()}
        misread = [f"{name.upper()} is {shown(one['input'])}: {one['msg']}" for name, one in wrong.items()]
        return Settings.model_validate({name: found[name] for name in found.keys() - wrong}), misread


def _without(problems: list[str], settings: S) -> S:
    if problems:
        raise ConfigurationError(*problems)
    return settings
