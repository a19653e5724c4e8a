"""What can peers say to each other? Every performative of AMQP 1.0 and its fields, in the order of the wire."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from .values import Described, Symbol, UByte, UInt, ULong, UShort, Value

#: The roles of an endpoint of a link, and in dispositions.
SENDER: Final = False
RECEIVER: Final = True

SETTLED: Final = UByte(1)  #: A sender's settle mode; 0 is unsettled, 2 mixed.
SECOND: Final = UByte(1)  #: A receiver's settle mode: it settles after the sender has.


class Error(NamedTuple):
    """Why something was refused or ended."""

    condition: Symbol
    description: str | None = None
    info: dict[Value, Value] | None = None


class Source(NamedTuple):
    """Where the messages of a link come from."""

    address: Value = None
    durable: UInt = UInt(0)
    expiry_policy: Symbol = Symbol("session-end")
    timeout: UInt = UInt(0)
    dynamic: bool = False
    dynamic_node_properties: Value = None
    distribution_mode: Symbol | None = None
    filter: dict[Value, Value] | None = None
    default_outcome: Value = None
    outcomes: Value = None
    capabilities: Value = None


class Target(NamedTuple):
    """Where the messages of a link go."""

    address: Value = None
    durable: UInt = UInt(0)
    expiry_policy: Symbol = Symbol("session-end")
    timeout: UInt = UInt(0)
    dynamic: bool = False
    dynamic_node_properties: Value = None
    capabilities: Value = None


class Accepted(NamedTuple):
    """Outcome: done."""


class Rejected(NamedTuple):
    """Outcome: cannot be processed."""

    error: Error | None = None


class Released(NamedTuple):
    """Outcome: not processed, and as if it had not been delivered."""


class Modified(NamedTuple):
    """Outcome: not processed, to be delivered again with changes."""

    delivery_failed: bool = False
    undeliverable_here: bool = False
    message_annotations: dict[Value, Value] | None = None


class Open(NamedTuple):
    """Begins a connection. Times are in milliseconds."""

    container_id: str
    hostname: str | None = None
    max_frame_size: UInt = UInt(0xFFFF_FFFF)
    channel_max: UShort = UShort(0xFFFF)
    idle_time_out: UInt | None = None
    outgoing_locales: Value = None
    incoming_locales: Value = None
    offered_capabilities: Value = None
    desired_capabilities: Value = None
    properties: dict[Value, Value] | None = None


class Begin(NamedTuple):
    """Begins a session on a channel."""

    remote_channel: UShort | None
    next_outgoing_id: UInt
    incoming_window: UInt
    outgoing_window: UInt
    handle_max: UInt = UInt(0xFFFF_FFFF)
    offered_capabilities: Value = None
    desired_capabilities: Value = None
    properties: dict[Value, Value] | None = None


class Attach(NamedTuple):
    """Attaches a link to a session."""

    name: str
    handle: UInt
    role: bool
    snd_settle_mode: UByte = UByte(2)
    rcv_settle_mode: UByte = UByte(0)
    source: Source | None = None
    target: Target | Described | None = None
    unsettled: Value = None
    incomplete_unsettled: bool = False
    initial_delivery_count: UInt | None = None
    max_message_size: ULong | None = None
    offered_capabilities: Value = None
    desired_capabilities: Value = None
    properties: dict[Value, Value] | None = None


class Flow(NamedTuple):
    """Says how much may be sent, on a session and, with a handle, on a link."""

    next_incoming_id: UInt | None
    incoming_window: UInt
    next_outgoing_id: UInt
    outgoing_window: UInt
    handle: UInt | None = None
    delivery_count: UInt | None = None
    link_credit: UInt | None = None
    available: UInt | None = None
    drain: bool = False
    echo: bool = False
    properties: dict[Value, Value] | None = None


class Transfer(NamedTuple):
    """Carries a message, or a part of one; the payload follows the performative."""

    handle: UInt
    delivery_id: UInt | None = None
    delivery_tag: bytes | None = None
    message_format: UInt | None = None
    settled: bool | None = None
    more: bool = False
    rcv_settle_mode: UByte | None = None
    state: Value = None
    resume: bool = False
    aborted: bool = False
    batchable: bool = False


class Disposition(NamedTuple):
    """Says what became of deliveries `first` to `last`."""

    role: bool
    first: UInt
    last: UInt | None = None
    settled: bool = False
    state: Value = None
    batchable: bool = False


class Detach(NamedTuple):
    """Ends a link."""

    handle: UInt
    closed: bool = False
    error: Error | None = None


class End(NamedTuple):
    """Ends a session."""

    error: Error | None = None


class Close(NamedTuple):
    """Ends a connection."""

    error: Error | None = None


class SaslMechanisms(NamedTuple):
    """The ways to authenticate that a server offers."""

    sasl_server_mechanisms: Value


class SaslInit(NamedTuple):
    """The way that a client chose."""

    mechanism: Symbol
    initial_response: bytes | None = None
    hostname: str | None = None


class SaslOutcome(NamedTuple):
    """How that went: 0 is well."""

    code: UByte
    additional_data: bytes | None = None


Performative: TypeAlias = (
    Open
    | Begin
    | Attach
    | Flow
    | Transfer
    | Disposition
    | Detach
    | End
    | Close
    | SaslMechanisms
    | SaslInit
    | SaslOutcome
)
Outcome: TypeAlias = Accepted | Rejected | Released | Modified
