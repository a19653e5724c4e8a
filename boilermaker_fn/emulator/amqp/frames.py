"""Where does a frame begin and end? Bytes in, frames out; whatever does not fit is refused before it is kept."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from .values import Malformed

AMQP_HEADER: Final = b"AMQP\x00\x01\x00\x00"
SASL_HEADER: Final = b"AMQP\x03\x01\x00\x00"
HEADER_SIZE: Final = 8

AMQP: Final = 0
SASL: Final = 1

#: What keeps a silent connection alive.
EMPTY_FRAME: Final = b"\x00\x00\x00\x08\x02\x00\x00\x00"

_HEAD = struct.Struct(">IBBH")


class Frame(NamedTuple):
    """One frame: AMQP or SASL, its channel, and its bytes from the performative on (none: an empty frame)."""

    type: int
    channel: int
    body: bytes


def frame(channel: int, body: bytes, type_: int = AMQP) -> bytes:
    """The bytes of a frame."""
    return _HEAD.pack(len(body) + HEADER_SIZE, 2, type_, channel) + body


class FrameReader:
    """Cuts a stream into protocol headers and frames of at most `max_frame_size` bytes."""

    def __init__(self, max_frame_size: int) -> None:
        self._max = max_frame_size
        self._data = b""
        self._at = 0

    def feed(self, data: bytes) -> None:
        """Take more of the stream. What is kept of it is less than a frame, when all frames before were taken."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def header(self) -> bytes | None:
        """The next eight bytes, when they are there: a protocol header is no frame."""
        end = self._at + HEADER_SIZE
        if end > len(self._data):
            return None
        header, self._at = self._data[self._at : end], end
        return header

    def frame(self) -> Frame | None:
        """The next frame, when it is there as a whole. Raises Malformed for one that is too large or impossible."""
        data, at = self._data, self._at
        if at + HEADER_SIZE > len(data):
            return None
        size, offset, type_, channel = _HEAD.unpack_from(data, at)
        if size > self._max:
            raise Malformed(f"a frame of {size} bytes came, {self._max} are the limit")
        if offset < 2 or offset * 4 > size:
            raise Malformed(f"a frame of {size} bytes whose body begins at {offset * 4} is none")
        end = at + size
        if end > len(data):
            return None
        self._at = end
        return Frame(type_, channel, data[at + offset * 4 : end])
