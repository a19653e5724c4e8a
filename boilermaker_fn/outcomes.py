"""How did an attempt end? Frozen values that the code running task functions hands to the core."""

# No `from __future__ import annotations` here: at every start each annotation would be compiled once more.

import enum
from typing import Any, Final, NamedTuple, TypeAlias

from .retries import RetryPolicy


class Reason(enum.StrEnum):
    """Why a task ended without a value. These words stand in dead letters, results and logs."""

    InvalidTaskFormat = "InvalidTaskFormat"
    UnknownTask = "UnknownTask"
    WrongArguments = "WrongArguments"
    TaskFailed = "TaskFailed"
    TimedOut = "TimedOut"
    ResultNotSerializable = "ResultNotSerializable"
    RetriesExhausted = "RetriesExhausted"
    LostAfterEarlyAck = "LostAfterEarlyAck"
    MaxDeliveryCountExceeded = "MaxDeliveryCountExceeded"
    Undeliverable = "Undeliverable"
    Expired = "Expired"
    Cancelled = "Cancelled"
    GraphFailed = "GraphFailed"


class ErrorInfo(NamedTuple):
    """An exception as text: the name of its type, what it says, and its traceback."""

    type: str
    message: str
    traceback: str = ""


class Succeeded(NamedTuple):
    """The function returned. `result` is the value as JSON."""

    result: str


class Failed(NamedTuple):
    """The attempt failed and asks for no other one."""

    reason: str
    error: ErrorInfo


class RetryAsked(NamedTuple):
    """The attempt failed and asks for another one; `policy` replaces the task's from now on."""

    error: ErrorInfo
    policy: RetryPolicy | None = None


class Interrupted:
    """The attempt was cut short from outside (the host drains, the worker stops). It does not count."""

    __slots__ = ()


class Grown(NamedTuple):
    """The function returned a graph: a `TaskGraph`, and a `Plan` when its tasks were checked."""

    graph: Any


#: The name under which every app runs what becomes the graph of a map.
MAP: Final = "boilermaker_fn.map"


class Graphlike:
    """What a task function can return to become a graph; known here so that running tasks loads no graphs."""

    __slots__ = ()


Outcome: TypeAlias = Succeeded | Failed | RetryAsked | Interrupted | Grown
