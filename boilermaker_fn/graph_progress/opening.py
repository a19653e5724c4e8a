"""Which machine takes a delivery of a graph's message? The watchdog its own, a delivery of a node all others."""

from __future__ import annotations

from typing import Any

from ..messages import Delivery
from ..rules import Rules
from . import delivery as node_delivery
from .messages import WatchMessage, decoded
from .node_state import State


def opened(rules: Rules, delivery: Delivery) -> tuple[Any, Any]:
    """The machine's `step`, and the state to begin with."""
    message = decoded(delivery.body)
    if isinstance(message, WatchMessage):
        from . import watch_state, watchdog

        return watchdog.step, watch_state.State(rules, delivery, message)
    return node_delivery.step, State(rules, delivery)
