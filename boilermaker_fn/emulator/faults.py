"""What can be made to go wrong on purpose? What Service Bus does rarely, for tests that cannot wait for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Faults:
    """How the emulator misbehaves, or does not; give `Emulator.faults` another one at any time.

    `detach_idle_links_after`: seconds without a frame on a link of a queue, or of its management, after which it is
    detached with amqp:link:detach-forced, as Service Bus does after ten minutes; None for never; for links attached
    from now on.
    `close_unused_connections_after`: seconds without any such link after which a connection is closed with
    amqp:connection:forced, as Service Bus does after five minutes; None for never; for connections opened from now on.
    `refuse_tokens`: every token is answered with 401, as when the identity has no rights.
    `busy`: all that is sent or scheduled is refused with com.microsoft:server-busy, as when Service Bus throttles.
    """

    detach_idle_links_after: float | None = 600.0
    close_unused_connections_after: float | None = 300.0
    refuse_tokens: bool = False
    busy: bool = False
