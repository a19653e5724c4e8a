"""Where do tasks live in the cloud? In the queues of one Service Bus namespace."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..per_loop import PerLoop
from .access import Access
from .transport import ServiceBusTransport

if TYPE_CHECKING:
    from ..settings import Settings
    from .access import CredentialOrFactory
    from .inbox import ServiceBusInbox
    from .namespace import Namespace
    from .sender_link import Upkeep


class AzureServiceBus:
    """The port Engine on a Service Bus namespace, given by its URL or host name, or by a connection string.

    `credential_factory` makes an async credential for each event loop, or is one; by default it is
    DefaultAzureCredential. `clock` gives seconds since the epoch; `upkeep` says when idle links are replaced. Safe for
    concurrent use from several event loops: each has its own client, opened on first use.
    Raises ConfigurationError.
    """

    def __init__(
        self,
        service_bus_namespace_url: str | None = None,
        service_bus_queue_name: str | None = None,
        credential_factory: CredentialOrFactory | None = None,
        *,
        connection_string: str | None = None,
        dead_letter_queue_name: str | None = None,
        clock: Callable[[], float] = time.time,
        upkeep: Upkeep | None = None,
    ) -> None:
        self._access = Access(service_bus_namespace_url, credential_factory, connection_string)
        self._queue = service_bus_queue_name
        self._dead_letter_queue = dead_letter_queue_name
        self._clock = clock
        self._upkeep = upkeep
        self._namespaces: PerLoop[Namespace] = PerLoop(self._namespace)
        self._transport = ServiceBusTransport(self._namespaces)

    @classmethod
    def from_config(cls, config: Settings) -> AzureServiceBus:
        """As the settings say. Raises ConfigurationError with all that is wrong with them."""
        config.checked()
        secret = config.service_bus_connection_string
        if secret is not None:
            return cls(
                None,
                config.service_bus_queue_name,
                connection_string=secret.get_secret_value(),
                dead_letter_queue_name=config.dead_letter_queue,
            )
        given = config.service_bus_credential
        return cls(
            config.service_bus_host,
            config.service_bus_queue_name,
            # One that was made elsewhere is not ours to close.
            config.az_credential if given is None or callable(given) else given,
            dead_letter_queue_name=config.dead_letter_queue,
        )

    @property
    def access(self) -> Access:
        """Which namespace that is, and who the app is there."""
        return self._access

    @property
    def name(self) -> str:
        """The namespace, for people."""
        return f"Service Bus {self._access.host}"

    @property
    def queue(self) -> str | None:
        """The queue that was given."""
        return self._queue

    @property
    def dead_letter_queue(self) -> str | None:
        """The queue for what was given up, if one was given."""
        return self._dead_letter_queue

    @property
    def transport(self) -> ServiceBusTransport:
        """Sends into any queue of the namespace."""
        return self._transport

    @property
    def table(self) -> None:
        """Service Bus has none."""
        return

    def inbox(self, queue: str) -> ServiceBusInbox:
        """The inbox of a queue; with `messages.DEAD_LETTER_SUFFIX` after its name, of what was set aside."""
        from .inbox import ServiceBusInbox  # the host receives for a Function App

        return ServiceBusInbox(self._namespaces, queue)

    async def holds(self, queue: str, task_id: str) -> None:
        """None: Service Bus does not tell what a queue holds."""
        return

    async def close(self) -> None:
        """Send what is waiting and close the links of the running event loop; used again, they open again."""
        namespace = self._namespaces.taken()
        if namespace is not None:
            await namespace.close()

    def _namespace(self) -> Namespace:
        from .namespace import Namespace  # the SDK takes a sixth of a second to import

        return Namespace(self._access, self._clock, self._upkeep)
