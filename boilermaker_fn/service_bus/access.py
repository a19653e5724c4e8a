"""Which namespace, and who are we there?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ..connection_strings import for_emulator, host_of, parts_of, problem_with_service_bus, shown
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus.aio import ServiceBusClient

    Credential: TypeAlias = AsyncTokenCredential | AzureNamedKeyCredential | AzureSasCredential
    CredentialOrFactory: TypeAlias = Credential | Callable[[], Credential]


class Connected(NamedTuple):
    """A client, and the credential that is to be closed with it: one that was made for it."""

    client: ServiceBusClient
    credential: Credential | None

    async def close(self) -> None:
        """Close the client, and the credential if it is ours and has something to close: a key has not."""
        try:
            await self.client.close()
        finally:
            if (close := getattr(self.credential, "close", None)) is not None:
                await close()


class Access:
    """A namespace with a credential (by default the identity the code runs as), or a connection string.

    Raises ConfigurationError, which never holds a secret.
    """

    def __init__(self, url: str | None, credential: CredentialOrFactory | None, connection_string: str | None) -> None:
        if problem := _problem(url, credential, connection_string):
            raise ConfigurationError(f"AzureServiceBus: {problem}")
        self._credential = credential
        self.connection_string = connection_string
        self.host = str(host_of(parts_of(connection_string)["endpoint"] if connection_string else url or ""))

    @property
    def emulated(self) -> bool:
        """Whether it is an emulator: no TLS, and no administration."""
        return self.connection_string is not None and for_emulator(self.connection_string)

    def connect(self) -> Connected:
        """A client for the running event loop; nothing is sent yet."""
        from azure.servicebus.aio import ServiceBusClient

        # Trying again is ours: two loops within each other would multiply.
        if self.connection_string is not None:
            text = _without_queue(self.connection_string)
            return Connected(ServiceBusClient.from_connection_string(text, retry_total=0), None)
        credential, ours = self.identity()
        return Connected(ServiceBusClient(self.host, credential, retry_total=0), credential if ours else None)

    def identity(self) -> tuple[Credential, bool]:
        """A credential for the running event loop, and whether it was made for it."""
        if self._credential is None:
            from azure.identity.aio import DefaultAzureCredential

            return DefaultAzureCredential(), True
        return (self._credential(), True) if callable(self._credential) else (self._credential, False)


def _without_queue(connection_string: str) -> str:
    """With an EntityPath in it the SDK would refuse all other queues, the dead-letter queue too."""
    parts = connection_string.strip("; ").split(";")
    return ";".join(part for part in parts if part.partition("=")[0].strip().lower() != "entitypath")


def _problem(url: str | None, credential: object, connection_string: str | None) -> str | None:
    if connection_string is not None:
        if url is not None or credential is not None:
            return "a connection string says where and who: give it, or a namespace and a credential"
        problem = problem_with_service_bus(connection_string)
        return None if problem is None else f"the connection string {problem}"
    if url is None:
        return (
            "there is neither a namespace (SERVICE_BUS_NAMESPACE_URL, or "
            "ServiceBusConnection__fullyQualifiedNamespace) nor a connection string (SERVICE_BUS_CONNECTION_STRING, or "
            "ServiceBusConnection): give one of them"
        )
    if not host_of(url):
        return f"the namespace is {shown(url)}: give its host name, such as my-namespace.servicebus.windows.net"
    return None
