"""Does a table work with an identity instead of a key, as in the cloud? Azurite checks tokens, over TLS."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.azurite import ACCOUNT, a_table_name, running

# In a process of its own, for certificates are read when aiohttp is imported.
PROGRAM = """
import asyncio, json, os, sys, time
import warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "Testing an element's truth value")  # the SDK, when it reads an error in XML
from azure.core.credentials import AccessToken
from boilermaker_fn.config import Config
from boilermaker_fn.entities import Entity, Insert, Replace
from boilermaker_fn.errors import StoreUnavailable
from boilermaker_fn.tables import AzureTable

endpoint, name, token = sys.argv[1:]
seen = {"asked": [], "closed": 0}

class Identity:
    async def get_token(self, *scopes, **options):
        seen["asked"].append(list(scopes))
        return AccessToken(token, int(time.time()) + 3600)

    async def close(self):
        seen["closed"] += 1

async def use(table):
    (etag,) = await table.write([Insert(Entity("p", "r", {"n": 1}))])
    await table.write([Replace(Entity("p", "r", {"n": 2}, etag)), Insert(Entity("p", "s"))])
    rows = {entity.row: dict(entity.values) for entity in (await table.query("p")).entities}
    await table.close()
    return rows

async def main():
    seen["made"] = await use(AzureTable(endpoint, name + "a", Identity))
    seen["closed by us"] = seen["closed"]
    shared = Identity()
    seen["given"] = await use(AzureTable(endpoint, name + "b", shared))
    config = Config(table_storage_url=endpoint, boilermaker_table_name=name + "c", service_bus_credential=Identity)
    seen["configured"] = await use(AzureTable.from_config(config))
    token_of_nobody = AzureTable(endpoint, name + "d", type("Nobody", (Identity,), {"get_token": nobody}), deadline=1)
    try:
        await token_of_nobody.read("p", "r")
    except StoreUnavailable as error:
        seen["refused"] = str(error)
    await token_of_nobody.close()
    print(json.dumps(seen))

async def nobody(self, *scopes, **options):
    return AccessToken("e30.e30.", int(time.time()) + 3600)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """For 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    cert, secret = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert, secret


@pytest.fixture(scope="module")
def endpoint(certificate: tuple[Path, Path]) -> Iterator[str]:
    cert, key = certificate
    with running("--oauth=basic", f"--cert={cert}", f"--key={key}") as port:
        yield f"https://127.0.0.1:{port}/{ACCOUNT}"


def a_token() -> str:
    """What Azurite takes for one of Entra's: it looks at the claims, not at the signature."""
    now = int(datetime.datetime.now(datetime.UTC).timestamp())
    claims = {
        "aud": "https://storage.azure.com",
        "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + 3600,
    }
    parts = [{"alg": "RS256", "typ": "JWT"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


def test_a_table_with_an_identity(endpoint: str, certificate: tuple[Path, Path]) -> None:
    name = a_table_name()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, endpoint, name, a_token()],
        env={**os.environ, "SSL_CERT_FILE": str(certificate[0])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    seen = json.loads(done.stdout)
    rows = {"r": {"n": 2}, "s": {}}
    assert (seen["made"], seen["given"], seen["configured"]) == (rows, rows, rows)
    assert ["https://storage.azure.com/.default"] in seen["asked"]
    # What was made for us is closed; what was given is not ours to close.
    assert (seen["closed by us"], seen["closed"]) == (1, 3)
    assert "Storage Table Data Contributor" in seen["refused"]


def test_nothing_of_azure_is_imported_before_the_first_use() -> None:
    program = (
        "import sys; from boilermaker_fn.tables import AzureTable;"
        "AzureTable('https://a.table.core.windows.net'); AzureTable(connection_string='UseDevelopmentStorage=true');"
        "print([name for name in sys.modules if name.partition('.')[0] in ('azure', 'aiohttp')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
