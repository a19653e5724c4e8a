"""The exceptions under the module name that boilermaker-servicebus users import."""

from __future__ import annotations

from .errors import BoilermakerAppException, BoilermakerError, BoilermakerUnregisteredFunction

__all__ = ["BoilermakerAppException", "BoilermakerError", "BoilermakerUnregisteredFunction"]
