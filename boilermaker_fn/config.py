"""Which settings are there? Read from environment variables; what is wrong with them is said all at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from . import config_problems
from .connection_strings import host_of, shown, trimmed
from .errors import ConfigurationError

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

#: What `ServiceBusConnection__credential` says of a Function App without secrets.
MANAGED_IDENTITY: Final = "managedidentity"


C = TypeVar("C", bound="Config")


def _of_the_host(variable: str) -> Any:
    return Field(default=None, validation_alias=variable)


class _Variables(PydanticBaseSettingsSource):
    """Environment variables, in capitals or not; an empty one is none.

    EnvSettingsSource would ask of each field, at each start, whether it could be JSON.
    """

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        self._given = {name.lower(): value for name, value in os.environ.items() if value}

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields.items()
        found = (self.get_field_value(field, name) for name, field in fields if name != "service_bus_credential")
        return {key: value for value, key, _ in found if value is not None}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        key = str(field.validation_alias or field_name)
        return self._given.get(key.lower()), key, False


class Config(BaseSettings):
    """Settings. Each is an environment variable of the same name in capitals, or an argument, which wins.

    Tasks live in Service Bus when `service_bus_namespace_url` or `service_bus_connection_string` is given, or the
    Functions host's connection `ServiceBusConnection`, in either form. Results are kept beside them in the storage
    account of `table_storage_url` or `table_storage_connection_string`, else in the host's, `AzureWebJobsStorage`.

    `azure_credential_include_msi` says whether a managed identity is asked for a token; by default only in the cloud,
    because elsewhere it takes long to find that there is none. `service_bus_credential`, which is no environment
    variable, is a credential, or a function that makes one. `dead_letter_queue_name` is by default the queue's with
    `-dead-letters`. `boilermaker_local_file` is the file of the embedded engine.

    Raises pydantic's ValidationError for an argument of a wrong name or type; what contradicts is in `problems`.
    """

    model_config = SettingsConfigDict(hide_input_in_errors=True)

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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment variables; no files."""
        return init_settings, _Variables(settings_cls)

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
            if value is not None and name != "service_bus_credential":
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
        return config_problems.all_of(self)

    def checked(self) -> Self:
        """These settings. Raises ConfigurationError with all that is wrong."""
        return _without(self.problems(), self)


def configured() -> Config:
    """The settings of the environment. Raises ConfigurationError with all that is wrong."""
    config, misread = _read()
    return _without([*misread, *config.problems(), *config_problems.with_choice(config)], config)


def named() -> Config:
    """The settings of the environment where it is given otherwise where tasks live: only names are checked."""
    config, misread = _read()
    return _without([*misread, *config_problems.with_names(config)], config)


def _read() -> tuple[Config, list[str]]:
    """The settings, those that cannot be read left out, and what is wrong with these."""
    try:
        return Config(), []
    except ValidationError as error:
        wrong = error.errors()
        misread = [f"{str(one['loc'][0]).upper()} is {shown(one['input'])}: {one['msg']}" for one in wrong]
        unset: dict[str, Any] = {str(one["loc"][0]): None for one in wrong}
        return Config(**unset), misread


def _without(problems: list[str], config: C) -> C:
    if problems:
        raise ConfigurationError(*problems)
    return config
