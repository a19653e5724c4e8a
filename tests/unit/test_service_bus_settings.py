"""Is a wrong namespace, credential or connection string said when the engine is made? And nothing secret with it."""

from __future__ import annotations

import pytest

from boilermaker_fn.config import Config
from boilermaker_fn.errors import ConfigurationError
from boilermaker_fn.service_bus import AzureServiceBus

STRING = "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=name;SharedAccessKey=very-secret-key"


@pytest.mark.parametrize(
    "url",
    ["ns.servicebus.windows.net", "https://ns.servicebus.windows.net/", "sb://ns.servicebus.windows.net"],
)
def test_a_namespace_is_named_in_any_form(url):
    assert AzureServiceBus(url, "orders").name == "Service Bus ns.servicebus.windows.net"


def test_a_connection_string_names_it_too_and_keeps_its_key():
    bus = AzureServiceBus(connection_string=STRING)
    assert bus.name == "Service Bus ns.servicebus.windows.net"
    assert "secret" not in repr(vars(bus))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "SERVICE_BUS_NAMESPACE_URL"),
        ({"service_bus_namespace_url": ""}, "host name"),
        ({"service_bus_namespace_url": "ns", "connection_string": STRING}, "a namespace and a credential"),
        ({"credential_factory": object, "connection_string": STRING}, "a namespace and a credential"),
        ({"connection_string": "Endpoint=sb://ns/;SharedAccessKey=very-secret-key"}, "SharedAccessKeyName"),
        ({"connection_string": "very-secret-key"}, "connection string"),
    ],
)
def test_what_is_missing_or_contradicts_is_said(arguments, says):
    with pytest.raises(ConfigurationError, match=says) as caught:
        AzureServiceBus(**arguments)
    assert "very-secret-key" not in str(caught.value)


def test_it_is_made_from_settings():
    made = AzureServiceBus.from_config(
        Config(service_bus_namespace_url="https://ns.servicebus.windows.net", service_bus_queue_name="orders")
    )
    assert (made.name, made.queue, made.dead_letter_queue, made.table) == (
        "Service Bus ns.servicebus.windows.net",
        "orders",
        "orders-dead-letters",
        None,
    )
    made = AzureServiceBus.from_config(
        Config(service_bus_connection_string=STRING, service_bus_queue_name="orders", dead_letter_queue_name="lake")
    )
    assert (made.name, made.queue, made.dead_letter_queue) == (
        "Service Bus ns.servicebus.windows.net",
        "orders",
        "lake",
    )
