"""The administration of a Service Bus namespace on loopback: HTTPS, and the ATOM XML of `GET /<queue>`.

As documented in the REST API's reference ("Get Queue"); a certificate is made for each server and thrown away.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from azure.core.credentials import AccessToken
from azure.servicebus.aio.management import ServiceBusAdministrationClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# A queue as correctness needs it; in the order of the service, which is that of its schema.
GOOD = {
    "LockDuration": "PT1M",
    "MaxSizeInMegabytes": "1024",
    "RequiresDuplicateDetection": "true",
    "RequiresSession": "false",
    "DefaultMessageTimeToLive": "P10675199DT2H48M5.4775807S",
    "DeadLetteringOnMessageExpiration": "true",
    "DuplicateDetectionHistoryTimeWindow": "PT2H",
    "MaxDeliveryCount": "5",
    "EnableBatchedOperations": "true",
    "SizeInBytes": "0",
    "MessageCount": "0",
    "Status": "Active",
    "ForwardTo": None,
    "AutoDeleteOnIdle": "P10675199DT2H48M5.4775807S",
    "EnablePartitioning": "false",
    "EntityAvailabilityStatus": "Available",
    "EnableExpress": "false",
    "ForwardDeadLetteredMessagesTo": None,
}

_ENTRY = """<entry xmlns="http://www.w3.org/2005/Atom"><id>https://localhost/{name}?api-version=2021-05</id>
<title type="text">{name}</title><published>2026-01-01T00:00:00Z</published><updated>2026-01-01T00:00:00Z</updated>
<author><name>localhost</name></author><link rel="self" href="https://localhost/{name}?api-version=2021-05"/>
<content type="application/xml"><QueueDescription
xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"
xmlns:i="http://www.w3.org/2001/XMLSchema-instance">{properties}</QueueDescription></content></entry>"""
_FEED = """<feed xmlns="http://www.w3.org/2005/Atom"><title type="text">Publicly Listed Services</title></feed>"""
_ERROR = "<Error><Code>{status}</Code><Detail>{detail}</Detail></Error>"


class Identity:
    """Somebody with a token."""

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken("token", 2**31)

    async def close(self) -> None: ...

    async def __aenter__(self) -> Identity:
        return self

    async def __aexit__(self, *error: object) -> None: ...


class Server(NamedTuple):
    """Where it is, and whom to trust for that."""

    port: int
    certificate: Path

    def client(self) -> ServiceBusAdministrationClient:
        """Microsoft's client of it."""
        return ServiceBusAdministrationClient(
            f"localhost:{self.port}", Identity(), retry_total=0, connection_verify=str(self.certificate)
        )


@asynccontextmanager
async def served(
    directory: Path, queues: Mapping[str, Mapping[str, str | None]], refusal: int = 0
) -> AsyncIterator[Server]:
    """A server that knows these queues, each as GOOD but for what is given. With `refusal`, that is all it says."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                name = head.split()[1].decode().lstrip("/").partition("?")[0]
                writer.write(_response(*_answer(name, queues, refusal)))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = _certificate(directory)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield Server(server.sockets[0].getsockname()[1], certificate)
    finally:
        server.close()


def _answer(name: str, queues: Mapping[str, Mapping[str, str | None]], refusal: int) -> tuple[int, str]:
    if refusal:
        return refusal, _ERROR.format(status=refusal, detail="Manage,EntityRead claims required for this operation.")
    if name not in queues:
        return 200, _FEED  # the service answers with an empty list
    properties = {**GOOD, **queues[name]}
    text = "".join(f"<{key}>{value}</{key}>" for key, value in properties.items() if value is not None)
    return 200, _ENTRY.format(name=name, properties=text)


def _response(status: int, body: str) -> bytes:
    data = body.encode()
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/atom+xml;type=entry;charset=utf-8\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def _certificate(directory: Path) -> Path:
    """A self-signed certificate for loopback, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + made.public_bytes(serialization.Encoding.PEM)
    path = directory / "certificate.pem"
    path.write_bytes(pem)
    return path
