"""How does one client's connection live? Whatever it sends, from its first bytes on, with bounds on all it holds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, cast

from .amqp.composites import decode_performative, encode_performative
from .amqp.frames import AMQP, AMQP_HEADER, EMPTY_FRAME, SASL, SASL_HEADER, Frame, FrameReader, frame
from .amqp.performatives import (
    Begin,
    Close,
    End,
    Error,
    Open,
    Performative,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
)
from .amqp.values import Array, Malformed, UByte, UInt, UShort
from .host import Host
from .links import Link
from .output import Output
from .refusals import (
    CONNECTION_FORCED,
    DETACH_FORCED,
    FRAMING_ERROR,
    INTERNAL_ERROR,
    INVALID_FIELD,
    NOT_ALLOWED,
    Refused,
)
from .session import Session

logger = logging.getLogger(__name__)

#: The largest frame that we take; the service's own limit.
MAX_FRAME_SIZE: Final = 65_536

#: The highest number of a session.
CHANNEL_MAX: Final = 4999

#: Seconds that a client may be silent, by what we tell it; in truth it is twice that.
IDLE_TIME_OUT: Final = 240.0

#: Seconds that a client has to open the connection.
HANDSHAKE: Final = 30.0

# Seconds that the last bytes have to reach a client that does not read.
_LINGER: Final = 2.0

_MIN_FRAME_SIZE: Final = 512

# Seconds between signs of life, however short a silence the client wants.
_SHORTEST_BEAT: Final = 0.1

_SYM32: Final = 0xB3
_MECHANISMS: Final = ("MSSBCBS", "ANONYMOUS", "PLAIN", "EXTERNAL")


class Connection(asyncio.Protocol):
    """One client, in `connections` as long as it is there.

    `max_frame_size` is the largest frame it takes, `output` the way to it.
    """

    output: Output

    def __init__(self, host: Host, connections: set[Connection]) -> None:
        self.host = host
        self.max_frame_size = MAX_FRAME_SIZE
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(MAX_FRAME_SIZE)
        self._expects_header = True
        self._in_sasl = False
        self._opened = False
        self._closing = False
        self._sessions: dict[int, Session] = {}
        self._heard_at = self._loop.time()
        self._timers: list[asyncio.TimerHandle] = []

    # What the event loop tells us

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self.output = Output(cast("asyncio.Transport", transport))
        if self.host.closing:
            self.abort()
            return
        self._connections.add(self)
        self._after(HANDSHAKE, self._handshake_is_late)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._heard_at = self._loop.time()
        if self._closing:
            return
        self._reader.feed(data)
        try:
            self._read()
        except Malformed as error:
            self.close(Error(FRAMING_ERROR, str(error)))
        except Refused as refused:
            self.close(refused.error)
        except Exception as error:
            logger.exception("the emulator has a defect")
            self.close(Error(INTERNAL_ERROR, f"{type(error).__name__}: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone. Its locks stay until they expire."""
        self._closing = True
        for timer in self._timers:
            timer.cancel()
        self._end_sessions()
        self._connections.discard(self)

    def pause_writing(self) -> None:
        """The client does not read what we write: nothing more is delivered to it."""
        self.output.clogged = True

    def resume_writing(self) -> None:
        """It reads again."""
        self.output.unclogged()
        for session in list(self._sessions.values()):
            session.writable()

    # What sessions and links need

    def watch_idle(self, link: Link) -> None:
        """Detach the link when nothing happens on it for as long as the faults say."""
        limit = self.host.faults.detach_idle_links_after
        if limit is not None:
            self._after(limit, self._check_idle, link, limit)

    def close(self, error: Error | None = None) -> None:
        """End the connection from our side. What was sent before still goes out, if the client reads."""
        if self._closing:
            return
        if error is not None:
            logger.info("a connection is closed: %s: %s", error.condition, error.description)
        if self._opened:
            self.output.send(frame(0, encode_performative(Close(error))))
        self._closing = True
        self._end_sessions()
        self.output.close()
        self._after(_LINGER, self.output.abort)

    def abort(self) -> None:
        """End the connection at once."""
        self._closing = True
        self.output.abort()

    # Reading

    def _read(self) -> None:
        while not self._closing:
            if self._expects_header:
                if (header := self._reader.header()) is None:
                    return
                self._greet(header)
            else:
                if (incoming := self._reader.frame()) is None:
                    return
                self._take(incoming)

    def _greet(self, header: bytes) -> None:
        self._expects_header = False
        if header == SASL_HEADER and not self._in_sasl:
            self._in_sasl = True
            mechanisms = SaslMechanisms(Array(_SYM32, _MECHANISMS))
            self.output.send(SASL_HEADER + frame(0, encode_performative(mechanisms), SASL))
        elif header == AMQP_HEADER:
            self._in_sasl = False
            self.output.send(AMQP_HEADER)
        else:  # as the protocol demands: say what would have been right, and hang up
            self.output.send(SASL_HEADER)
            self.close()

    def _take(self, incoming: Frame) -> None:
        if incoming.type != (SASL if self._in_sasl else AMQP):
            raise Malformed(f"a frame of type {incoming.type} has no place here")
        if not incoming.body:
            return
        performative, end = decode_performative(incoming.body)
        if self._in_sasl:
            self._authenticated(performative)
        elif not self._opened:
            self._open(performative)
        elif (session := self._sessions.get(incoming.channel)) is not None and type(performative) not in _CONNECTION:
            session.take(performative, incoming.body[end:])
        else:
            self._control(incoming.channel, performative)

    def _authenticated(self, performative: Performative) -> None:
        if not isinstance(performative, SaslInit):
            raise Malformed(f"{type(performative).__name__} came instead of SaslInit")
        self.output.send(frame(0, encode_performative(SaslOutcome(UByte(0))), SASL))
        self._expects_header = True

    def _open(self, performative: Performative) -> None:
        if not isinstance(performative, Open):
            raise Refused(NOT_ALLOWED, f"{type(performative).__name__} came before the connection was opened")
        self._opened = True
        self.output.send(
            frame(
                0,
                encode_performative(
                    Open(
                        "boilermaker-fn-emulator",
                        max_frame_size=UInt(MAX_FRAME_SIZE),
                        channel_max=UShort(CHANNEL_MAX),
                        idle_time_out=UInt(IDLE_TIME_OUT * 1000),
                    )
                ),
            )
        )
        if performative.max_frame_size < _MIN_FRAME_SIZE:
            raise Refused(INVALID_FIELD, f"max-frame-size is {performative.max_frame_size}, {_MIN_FRAME_SIZE} at least")
        self.max_frame_size = min(MAX_FRAME_SIZE, performative.max_frame_size)
        self._after(2 * IDLE_TIME_OUT, self._check_silence)
        if performative.idle_time_out:
            interval = max(performative.idle_time_out / 2000, _SHORTEST_BEAT)
            self._after(interval, self._beat, interval)
        if (limit := self.host.faults.close_unused_connections_after) is not None:
            self._check_use(limit, self._loop.time())

    def _control(self, channel: int, performative: Performative) -> None:
        match performative:
            case Begin():
                if channel > CHANNEL_MAX or channel in self._sessions:
                    raise Refused(NOT_ALLOWED, f"channel {channel} is in use, or above {CHANNEL_MAX}")
                self._sessions[channel] = Session(self, channel, performative)
            case End():
                session = self._sessions.pop(channel, None)
                if session is not None:
                    session.end()
                    self.output.send(frame(channel, encode_performative(End())))
            case Close():
                self.close()
            case _:  # some clients detach their links after they have ended the session
                pass

    # Time

    def _end_sessions(self) -> None:
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            session.end()

    def _after(self, seconds: float, do: Callable[..., None], *arguments: object) -> None:
        self._timers = [timer for timer in self._timers if not timer.cancelled() and timer.when() > self._loop.time()]
        self._timers.append(self._loop.call_later(seconds, do, *arguments))

    def _handshake_is_late(self) -> None:
        if not self._opened:
            self.abort()

    def _beat(self, interval: float) -> None:
        if not self.output.clogged:
            self.output.send(EMPTY_FRAME)
        self._after(interval, self._beat, interval)

    def _check_silence(self) -> None:
        left = self._heard_at + 2 * IDLE_TIME_OUT - self._loop.time()
        if left <= 0 and self.output.reading:
            self.close(Error(CONNECTION_FORCED, f"nothing was heard for {2 * IDLE_TIME_OUT:g} s"))
        else:
            self._after(max(left, 1.0), self._check_silence)

    def _check_use(self, limit: float, used_at: float) -> None:
        now = self._loop.time()
        if any(session.used for session in self._sessions.values()):
            used_at = now
        if now - used_at >= limit:
            why = f"The connection was inactive for more than the allowed {limit * 1000:g} milliseconds and is closed."
            self.close(Error(CONNECTION_FORCED, why))
        else:
            self._after(limit / 4, self._check_use, limit, used_at)

    def _check_idle(self, link: Link, limit: float) -> None:
        if link.closed:
            return
        left = link.used_at + limit - self._loop.time()
        if left <= 0:
            link.detach(Error(DETACH_FORCED, f"The link is force detached. Details: IdleTimerExpired: {limit:g} s."))
        else:
            self._after(left, self._check_idle, link, limit)


_CONNECTION: Final = {Begin, End, Close}
