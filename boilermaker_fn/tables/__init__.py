"""How are rows kept in Azure? The port Table on Azure Table Storage. Importing this imports nothing of Azure."""

from .table import AzureTable

__all__ = ["AzureTable"]
