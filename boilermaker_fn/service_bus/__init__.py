"""Azure Service Bus: where tasks live in the cloud. Importing this imports no SDK."""

from .engine import AzureServiceBus

__all__ = ["AzureServiceBus"]
