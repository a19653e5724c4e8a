"""Which frames are sent for every message? Their layout is fixed, so only numbers are filled in."""

from __future__ import annotations

import struct
from typing import Final

from .encoding import encode, encode_described, encode_list
from .frames import frame
from .values import UInt

#: Bytes of a frame of `transfer` beside its payload.
TRANSFER_OVERHEAD: Final = 50

#: A delivery tag has the size of a UUID.
TAG_SIZE: Final = 16

# Frame head; descriptor, size and count of the list; handle; delivery id; tag; message format; settled; more; the rest.
_TRANSFER = struct.Struct(">IBBH6sBIBI2s16sBBB5s")
_TRANSFER_LIST: Final = b"\x00\x53\x14\xc0\x25\x0b"
_TRANSFER_REST: Final = b"\x40\x40\x42\x42\x42"

# Frame head; descriptor, size and count of the list; role; first; last; settled.
_DISPOSITION = struct.Struct(">IBBH3sBBBBBIBIB")
_DISPOSITION_END: Final = b"\x42"

_TRUE: Final = 0x41
_FALSE: Final = 0x42
_UINT: Final = 0x70
_LIST: Final = 0xC0


def transfer(
    channel: int, handle: int, delivery_id: int, tag: bytes, payload: bytes, *, settled: bool, more: bool
) -> bytes:
    """The frame of a transfer with a tag of 16 bytes."""
    return (
        _TRANSFER.pack(
            TRANSFER_OVERHEAD + len(payload), 2, 0, channel,
            _TRANSFER_LIST, _UINT, handle, _UINT, delivery_id, b"\xa0\x10", tag, 0x43,
            _TRUE if settled else _FALSE, _TRUE if more else _FALSE, _TRANSFER_REST,
        )
        + payload
    )  # fmt: skip


def settlement(channel: int, role: bool, first: int, last: int, state: bytes) -> bytes:
    """The frame of a disposition that settles with `state`, an encoded outcome."""
    size = 14 + len(state)
    if size > 0xFF:
        fields = (encode(role), encode(UInt(first)), encode(UInt(last)), b"\x41", state, _DISPOSITION_END)
        return frame(channel, encode_described(0x15, encode_list(fields)))
    return (
        _DISPOSITION.pack(
            13 + size, 2, 0, channel, b"\x00\x53\x15", _LIST, size, 6,
            _TRUE if role else _FALSE, _UINT, first, _UINT, last, _TRUE,
        )
        + state
        + _DISPOSITION_END
    )  # fmt: skip
