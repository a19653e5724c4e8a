"""Which settings does the environment give? Read on first use, from environment variables."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Config(BaseSettings):
    """Settings; each field is an environment variable of the same name in capitals.

    `service_bus_queue_name` is the queue tasks go to, `dead_letter_queue_name` the one that gets what was given up (by
    default the former with `-dead-letters`). `boilermaker_local_file` is the file of the embedded engine.
    """

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    service_bus_namespace_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "service_bus_namespace_url",
            "ServiceBusConnection__fullyQualifiedNamespace",
            "ServiceBusConnection",
        ),
    )
    service_bus_queue_name: str = "boilermaker-tasks"
    dead_letter_queue_name: str | None = None
    boilermaker_local_file: Path = Path(".boilermaker/local.db")
    # Set by Azure Functions and App Service, and by Container Apps.
    website_instance_id: str | None = None
    container_app_name: str | None = None

    @property
    def dead_letter_queue(self) -> str:
        """The queue for what was given up."""
        return self.dead_letter_queue_name or f"{self.service_bus_queue_name}-dead-letters"
