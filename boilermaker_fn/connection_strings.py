"""What does a connection string say, and what is wrong with it? No text made here holds a secret.

The rules are those of the SDKs (azure-servicebus, azure-data-tables), which say less about what is missing.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final
from urllib.parse import urlsplit

#: The storage emulator (Azurite) at its usual ports.
DEVELOPMENT_STORAGE: Final = "UseDevelopmentStorage=true"

_TELLTALE: Final = r"(?i)(key|sig|signature|secret|password|pwd|token)\s*=|://?[^/]*@|=$"


def shown(value: object) -> str:
    """The value as Python writes it, unless it looks like a secret that was put where none belongs."""
    return "(not shown: it looks like a secret)" if re.search(_TELLTALE, str(value)) else repr(value)


def host_of(url: str) -> str | None:
    """The host of `https://name/`, `sb://name:5671` or plain `name`; None if that is no URL."""
    try:
        return urlsplit(url if "://" in url else f"//{url}").hostname
    except ValueError:
        return None


def problem_with_port(url: str) -> str | None:
    """Why the port of `url` is none, or None if it is one, or there is none."""
    try:
        _ = urlsplit(url if "://" in url else f"//{url}").port
    except ValueError:
        return f"has a wrong port in {shown(url)}: a port is a number from 0 to 65535"
    return None


def parts_of(text: str) -> dict[str, str]:
    """`Name=value;Name=value` by name in lower case; what is no such pair is left out."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, separator, value in pairs if separator}


def trimmed(text: str) -> str:
    """Without what copying leaves at its ends; azure-data-tables is not content with all that azure-servicebus is."""
    return text.strip().rstrip(";")


def entity_of(text: str) -> str | None:
    """The queue that a connection string of Service Bus is for; None: the whole namespace."""
    return parts_of(text).get("entitypath") or None


def for_emulator(text: str) -> bool:
    """Whether a connection string is for a Service Bus emulator: AMQP without TLS, no administration."""
    return parts_of(text).get("usedevelopmentemulator") == "true"


def problem_with_service_bus(text: str) -> str | None:
    """Why `text` is no connection string of Service Bus, or None if it is one."""
    parts = parts_of(text)
    named, key, signature = (
        parts.get(part) for part in ("sharedaccesskeyname", "sharedaccesskey", "sharedaccesssignature")
    )
    if (problem := _problem_with_form(text)) is not None:
        return problem
    if "endpoint" not in parts:
        return "has no Endpoint=: it begins with Endpoint=sb://my-namespace.servicebus.windows.net/;"
    if "://" not in parts["endpoint"] or not host_of(parts["endpoint"]):
        return f"has the endpoint {shown(parts['endpoint'])}: write Endpoint=sb://my-namespace.servicebus.windows.net/"
    if (problem := problem_with_port(parts["endpoint"])) is not None:
        return problem
    if bool(named) != bool(key):
        missing = "SharedAccessKey" if named else "SharedAccessKeyName"
        return f"has no {missing}=: copy it whole from the namespace's shared access policies"
    if bool(key) == bool(signature):
        return "needs either SharedAccessKeyName= and SharedAccessKey=, or SharedAccessSignature="
    emulator = parts.get("usedevelopmentemulator", "true")
    if emulator != "true":
        return f"says UseDevelopmentEmulator={shown(emulator)}: only true, in lower case, means an emulator"
    return None


def problem_with_storage(text: str) -> str | None:
    """Why `text` is no connection string of a storage account that tables can be reached with, or None if it is one."""
    if trimmed(text).lower() == DEVELOPMENT_STORAGE.lower():
        return None
    parts = parts_of(text)
    if (problem := _problem_with_form(text)) is not None:
        return problem
    key = parts.get("accountkey")
    if not (key and parts.get("accountname")) and not parts.get("sharedaccesssignature"):
        return "needs AccountName= and AccountKey=, or SharedAccessSignature=: copy it whole from the storage account"
    if not parts.get("accountname") and not parts.get("tableendpoint"):
        return "names no account: it needs AccountName= or TableEndpoint="
    if key is not None and not _is_base64(key):
        return "has an AccountKey= that is not base64: copy it whole from the storage account"
    return problem_with_port(parts.get("tableendpoint", ""))


def _problem_with_form(text: str) -> str | None:
    if text.startswith("@Microsoft.KeyVault"):
        return "is a Key Vault reference that was not resolved: check that the app's identity may read the secret"
    pairs = [part.partition("=") for part in trimmed(text).split(";")]
    if any(not name.strip() or not value.strip() for name, _, value in pairs):
        return "is no connection string: it consists of Name=value, separated by semicolons"
    names = [name.strip().lower() for name, _, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"says {', '.join(map(shown, twice))} more than once" if twice else None


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except binascii.Error:
        return False
