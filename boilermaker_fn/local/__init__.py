"""The embedded local engine: a faithful small Service Bus queue and table on SQLite, for everywhere without Azure."""

from .engine import LocalEngine

__all__ = ["LocalEngine"]
