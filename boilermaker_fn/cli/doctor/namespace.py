"""Can the namespace be reached, and with which identity? Name, TCP, TLS, AMQP, token: each needs the one before."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from azure.core.credentials_async import AsyncTokenCredential

from ...connection_strings import entity_of, parts_of
from ...service_bus.access import Access
from .findings import Finding, ok, problem

if TYPE_CHECKING:
    from azure.servicebus.aio.management import ServiceBusAdministrationClient

#: The checks without which nothing else can be looked at.
REACHING: Final = ("namespace", "connection")

_SCOPE: Final = "https://servicebus.azure.net/.default"
_AMQPS, _AMQP = 5671, 5672
# SASL comes first: "AMQP", protocol 3, version 1.0.0.
_GREETING: Final = b"AMQP\x03\x01\x00\x00"
_SECONDS: Final = 10.0
_TOKEN_SECONDS: Final = 60.0


class Namespace:
    """A namespace, with clients that try once, for one event loop."""

    def __init__(self, access: Access) -> None:
        self._access = access
        text = access.connection_string
        self.host = access.host
        self.emulated = access.emulated
        self.port = _AMQPS
        if text is not None and self.emulated:
            self.port = urlsplit(parts_of(text)["endpoint"]).port or _AMQP
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Make the clients; nothing is sent yet."""
        connected = self._access.connect()
        self._open.push_async_callback(connected.close)
        self.client = connected.client
        self.credential: AsyncTokenCredential | None = None
        if self._access.connection_string is None:
            credential, ours = self._access.identity()
            if isinstance(credential, AsyncTokenCredential):
                self.credential = credential
                if ours:
                    self._open.push_async_callback(credential.close)
        return self

    @property
    def keyed(self) -> bool:
        """Whether a key says who this is, and no identity."""
        return self.credential is None

    @property
    def entity(self) -> str | None:
        """The only queue that the connection string is for; None: it is for all."""
        return entity_of(self._access.connection_string or "")

    @property
    def manageable(self) -> bool:
        """Whether its administration can be asked at all."""
        return self.credential is not None or (self._access.connection_string is not None and not self.emulated)

    async def __aexit__(self, *error: object) -> None:
        """Close them."""
        await self._open.aclose()

    def administration(self) -> ServiceBusAdministrationClient:
        """A client for how queues are set up."""
        from azure.servicebus.aio.management import ServiceBusAdministrationClient

        if self.credential is not None:
            return ServiceBusAdministrationClient(self.host, self.credential, retry_total=0)
        return ServiceBusAdministrationClient.from_connection_string(
            self._access.connection_string or "", retry_total=0
        )


async def reached(namespace: Namespace) -> list[Finding]:
    """Whether the namespace answers; the last finding is a problem if it does not."""
    host, port = namespace.host, namespace.port
    try:
        addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        remedy = (
            "correct SERVICE_BUS_NAMESPACE_URL (or ServiceBusConnection); behind a private endpoint, link the zone "
            "privatelink.servicebus.windows.net to this network"
        )
        return [problem("namespace", f"{host} does not resolve: {error.strerror or error}", remedy)]
    found = [ok("namespace", f"{host} is {', '.join(sorted({str(address[4][0]) for address in addresses}))}")]
    try:
        async with asyncio.timeout(_SECONDS):
            found.append(await _greeted(namespace))
    except TimeoutError:
        found.append(_unreachable(namespace, f"does not answer within {_SECONDS:g} s"))
    except ssl.SSLError as error:
        remedy = "if a proxy inspects TLS here, let this host pass; else check that the name is that of the namespace"
        found.append(problem("connection", f"TLS with {host}:{port} fails: {error}", remedy))
    except (OSError, asyncio.IncompleteReadError) as error:
        found.append(_unreachable(namespace, f"cannot be reached: {error}"))
    return found


async def token(namespace: Namespace) -> tuple[Finding, str | None]:
    """Whether there is a token, and the object id of whom it is for, where it says."""
    from azure.core.exceptions import AzureError

    if namespace.credential is None:
        what = "an emulator, which asks for none" if namespace.emulated else "a shared access key"
        return ok("token", what), None
    try:
        async with asyncio.timeout(_TOKEN_SECONDS):
            got = await namespace.credential.get_token(_SCOPE)
    except (AzureError, TimeoutError, ValueError) as error:
        remedy = (
            "sign in (az login); in the cloud assign the identity to the app, and give its client id in "
            "ServiceBusConnection__clientId or AZURE_CLIENT_ID"
        )
        return problem("token", f"none for Service Bus: {error}", remedy), None
    claims = _claims(got.token)
    who = claims.get("oid")
    name = claims.get("upn") or claims.get("appid") or claims.get("azp")
    return ok("token", f"for {name or 'an identity'}, object id {who or 'not said'}"), who


async def _greeted(namespace: Namespace) -> Finding:
    secured = None if namespace.emulated else _tls()
    reader, writer = await asyncio.open_connection(namespace.host, namespace.port, ssl=secured)
    try:
        writer.write(_GREETING)
        answer = await reader.readexactly(len(_GREETING))
        layer: Any = writer.get_extra_info("ssl_object")
        version = "no TLS" if layer is None else layer.version()
    finally:
        writer.transport.abort()
    if not answer.startswith(b"AMQP"):
        return _unreachable(namespace, f"does not speak AMQP, it says {answer!r}")
    return ok("connection", f"AMQP on port {namespace.port}, {version}")


def _unreachable(namespace: Namespace, what: str) -> Finding:
    remedy = (
        "start it (boilermaker-fn emulator), or correct the port in the connection string"
        if namespace.emulated
        else "let TCP port 5671 out through the firewall, and this address into the namespace's network rules"
    )
    return problem("connection", f"{namespace.host}:{namespace.port} {what}", remedy)


def _tls() -> ssl.SSLContext:
    import certifi  # what the SDK trusts

    return ssl.create_default_context(cafile=certifi.where())


def _claims(text: str) -> dict[str, Any]:
    """What a token says of itself; nothing if it is not readable. Not verified: the service does that."""
    try:
        payload = text.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}
