"""How do bytes reach a client, and when is it not listened to? What one round of the loop writes goes together."""

from __future__ import annotations

import asyncio
from typing import Final

# Bytes that may wait to be read by the client before it is not listened to any more.
_MAX_UNREAD: Final = 4 * 1024 * 1024

# Bytes that a client may have sent and that are not dealt with yet.
_MAX_UNDONE: Final = 8 * 1024 * 1024


class Output:
    """The way to one client. `clogged`: it does not read what was written, so it must get no deliveries."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.clogged = False
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []
        self._undone = 0

    @property
    def reading(self) -> bool:
        """Whether the client is listened to."""
        return self._transport.is_reading()

    def send(self, encoded: bytes) -> None:
        """Write frames, together with all others of this round of the event loop."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(encoded)

    def charge(self, size: int) -> None:
        """So many bytes more (or less) that the client sent are to be dealt with; too many, and it must wait."""
        self._undone += size
        self._mind_the_load()

    def unclogged(self) -> None:
        """The client reads again."""
        self.clogged = False
        self._mind_the_load()

    def close(self) -> None:
        """Send what waits, then hang up."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        self._transport.abort()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting and not self._transport.is_closing():
            self._transport.write(b"".join(waiting) if len(waiting) > 1 else waiting[0])
            self._mind_the_load()

    def _mind_the_load(self) -> None:
        """Stop reading while the client does not read, or sends faster than its messages are kept."""
        transport = self._transport
        if transport.is_closing():
            return
        loaded = self._undone > _MAX_UNDONE or (self.clogged and transport.get_write_buffer_size() > _MAX_UNREAD)
        if loaded and transport.is_reading():
            transport.pause_reading()
        elif not loaded and not transport.is_reading():
            transport.resume_reading()
