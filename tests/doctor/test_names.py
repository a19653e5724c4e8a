"""Which variables the doctor takes for misspelt settings."""

from __future__ import annotations

import pytest

from boilermaker_fn.cli.doctor.findings import Level
from boilermaker_fn.cli.doctor.names import misspelt


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SERVICE_BUS_NAMESPACE_URI", "SERVICE_BUS_NAMESPACE_URL"),
        ("SERVICEBUS_NAMESPACE_URL", "SERVICE_BUS_NAMESPACE_URL"),
        ("SERVICE_BUS_QUEUE", "SERVICE_BUS_QUEUE_NAME"),
        ("ServiceBusConnection_fullyQualifiedNamespace", "ServiceBusConnection__fullyQualifiedNamespace"),
        ("ServiceBusConnection:fullyQualifiedNamespace", "ServiceBusConnection__fullyQualifiedNamespace"),
        ("BOILERMAKER_TABLENAME", "BOILERMAKER_TABLE_NAME"),
        ("DEADLETTER_QUEUE_NAME", "DEAD_LETTER_QUEUE_NAME"),
    ],
)
def test_a_misspelt_setting(name: str, meant: str) -> None:
    (finding,) = misspelt({name: "secret", "PATH": "/bin"})
    assert finding.level is Level.WARNING
    assert finding.found == f"{name} is set, and nothing here reads it"
    assert finding.remedy == f"if {meant} is meant, call it that"


@pytest.mark.parametrize(
    "environment",
    [
        {"SERVICE_BUS_QUEUE_NAME": "orders", "servicebusconnection": "x"},
        {"SERVICE_BUS_QUEUE_NAM": "orders", "SERVICE_BUS_QUEUE_NAME": "orders"},  # the right one counts
        {"AzureWebJobsStorage__blobServiceUri": "x", "AZURE_TENANT_ID": "x", "AZURE_CLIENT_SECRET": "x"},
        {"SERVICE_BUS_SOMETHING_OF_YOUR_OWN": "x", "BOILERMAKER_FN_TEST": "x"},
    ],
)
def test_what_is_not(environment: dict[str, str]) -> None:
    assert list(misspelt(environment)) == []
