"""How is a link let go of, whatever state it is in? In the background: it takes up to a second."""

from __future__ import annotations

import contextlib
from typing import Any

from azure.servicebus.aio import ServiceBusReceiver, ServiceBusSender


async def closed(link: ServiceBusSender | ServiceBusReceiver) -> None:
    """Detach and disconnect. It never fails: the link is of no use any more, whatever it says."""
    connection: Any = getattr(link._handler, "_connection", None)
    try:
        await link.close()
    except Exception:
        # The SDK takes leave politely first, and forgets the socket if that fails.
        with contextlib.suppress(Exception):
            await connection.close()
