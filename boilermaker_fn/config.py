"""How does code give settings? By a class of pydantic-settings, to be added to, which takes long to import.

So nothing else of this package imports this module: what it declares is in settings.py.
"""

from __future__ import annotations

from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource

from .settings import Settings, given


class _Variables(InitSettingsSource):
    """What the environment says, also of fields that a subclass adds."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls, {**given(settings_cls)})


# BaseSettings gives `model_config` of BaseModel a narrower type, which Settings does not.
class Config(BaseSettings, Settings):  # pyright: ignore[reportIncompatibleVariableOverride]
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
