"""How does an app run on Azure Functions? Each of its queues becomes a trigger, each message a delivery.

There the host receives, renews locks and settles: a function that returns completes its message, one that raises hands
it back at once and raises its delivery count. So nothing but Held leaves a function here, and everything that must come
later is a scheduled message.

Bodies are taken as bytes. From a JSON text body the host's extension would copy the top-level properties over the
message's own: a `messageId` or `deliveryCount` among a task's data would then pass for the message's.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from . import host_settings
from .app import Boilermaker
from .errors import ConfigurationError, MissingExtra
from .messages import DEAD_LETTER_SUFFIX, Delivery, PropertyValue
from .per_loop import PerLoop

try:
    import azure.functions as func
except ModuleNotFoundError as error:
    raise MissingExtra("boilermaker_fn.functions", "functions") from error

if TYPE_CHECKING:
    from .runner import Runner
    from .shell import Shell

#: Prefix of the settings that say how the host connects to Service Bus.
CONNECTION: Final = "ServiceBusConnection"

_QUEUE_SETTING: Final = "SERVICE_BUS_QUEUE_NAME"

#: What functions are called, and how many characters of a name the host takes.
_RUN: Final = "run_task"
_REAP: Final = "reap_dead_letters"
_LONGEST_NAME: Final = 128

_Function: TypeAlias = Callable[[func.ServiceBusMessage], Awaitable[None]]
#: One runner for each event loop, made for its first message: until then nothing is imported or connected.
_Runners: TypeAlias = "PerLoop[Runner]"


def function_app(app: Boilermaker) -> func.FunctionApp:
    """The functions that serve `app`: for each queue one that runs its tasks and one that reaps its dead letters.

    They are named `run_task` and `reap_dead_letters`; for a queue named at registration, with `_` and that name after
    it. Register all tasks before. Raises ConfigurationError when the settings, or host.json and the tasks, contradict
    each other, or when a function's name would be too long or that of two queues.
    """
    functions = func.FunctionApp()
    runners = PerLoop(partial(_runner, app.shell, _longest(app.shell)))
    for queue, trigger, suffix in _sources(app.shell):
        _add(functions, f"{_RUN}{suffix}", trigger, _running(runners, queue))
        reap = _reaping(runners, queue + DEAD_LETTER_SUFFIX)
        _add(functions, f"{_REAP}{suffix}", trigger + DEAD_LETTER_SUFFIX, reap)
    return functions


def delivery_of(message: func.ServiceBusMessage, queue: str) -> Delivery:
    """What the trigger of `queue` handed over, as a delivery. The lock stays with the host."""
    body, sequence_number, count = message.get_body(), message.sequence_number, message.delivery_count
    return Delivery(
        queue=queue,
        message_id=message.message_id or "",
        body=body,
        sequence_number=_stand_in(body) if sequence_number is None else sequence_number,
        delivery_count=1 if count is None else count,
        enqueued_at=_seconds(message.enqueued_time_utc),
        properties=_properties(message.application_properties),
    )


# -- functions ---------------------------------------------------------------------------------------------------------


def _add(functions: func.FunctionApp, name: str, queue: str, function: _Function) -> None:
    triggered = functions.service_bus_queue_trigger(
        arg_name="msg",
        connection=CONNECTION,
        queue_name=queue,
        data_type=func.DataType.BINARY,
        # Of several at once one failure would hand back all, and their locks would not be renewed.
        cardinality=func.Cardinality.ONE,
    )
    functions.function_name(name)(triggered(function))


def _running(runners: _Runners, queue: str) -> _Function:
    async def run_task(msg: func.ServiceBusMessage) -> None:
        await runners.current().handle(delivery_of(msg, queue))

    return run_task


def _reaping(runners: _Runners, queue: str) -> _Function:
    async def reap_dead_letters(msg: func.ServiceBusMessage) -> None:
        await runners.current().reap(delivery_of(msg, queue))

    return reap_dead_letters


def _longest(shell: Shell) -> float | None:
    """How long a task may run here, in seconds: a little less than a function may, so that it ends as timed out."""
    settings = host_settings.read(host_settings.app_directory())
    if settings is None:
        return None
    if found := host_settings.problems(settings, shell.registry.values()):
        raise ConfigurationError("host.json: " + "; ".join(found))
    return settings.longest


def _runner(shell: Shell, longest: float | None) -> Runner:
    from .telemetry import logs

    logs.configure_within_host()
    return shell.runner(longest)


# -- queues ------------------------------------------------------------------------------------------------------------


class _Source(NamedTuple):
    """A queue: its name, how the trigger names it, and what its functions' names end with."""

    queue: str
    trigger: str
    suffix: str


def _sources(shell: Shell) -> list[_Source]:
    shell.check_queues()  # here, and not before the first message, which would be refused until it counts as poison
    default = _default_source(shell)
    sources = {default.queue.lower(): default}  # two spellings of a queue's name are one queue
    for registration in shell.registry.values():
        if (queue := registration.queue) is not None:
            suffix = "_" + re.sub(r"\W", "_", queue, flags=re.ASCII)
            sources.setdefault(queue.lower(), _Source(queue, queue, suffix))
    _refuse_names(list(sources.values()))
    return list(sources.values())


def _default_source(shell: Shell) -> _Source:
    """By its setting where there is one, so that the host shows it; else by the name publishers know it by."""
    queue = shell.wiring.queue
    return _Source(queue, f"%{_QUEUE_SETTING}%" if os.environ.get(_QUEUE_SETTING) == queue else queue, "")


def _refuse_names(sources: list[_Source]) -> None:
    known: dict[str, _Source] = {}
    for source in sources:
        if len(name := f"{_REAP}{source.suffix}") > _LONGEST_NAME:
            raise ConfigurationError(
                f"queue {source.queue!r} would get a function {name}, which has {len(name)} characters; the host "
                f"takes {_LONGEST_NAME}: give the queue a shorter name"
            )
        other = known.setdefault(source.suffix.lower(), source)  # the host compares names in this way
        if other is not source:
            raise ConfigurationError(
                f"queues {other.trigger!r} and {source.trigger!r} would both get a function "
                f"{_RUN}{source.suffix}: rename one of them"
            )


# -- messages ----------------------------------------------------------------------------------------------------------


def _stand_in(body: bytes) -> int:
    """For a missing sequence number: the same for the same message, another one for most others."""
    return int.from_bytes(hashlib.sha256(body).digest()[:7])


def _seconds(time: datetime.datetime | None) -> float:
    """Seconds since the epoch; the host's times are UTC and do not say so."""
    if time is None:
        return 0.0
    return (time.replace(tzinfo=datetime.UTC) if time.tzinfo is None else time).timestamp()


def _properties(given: Mapping[Any, Any] | None) -> dict[str, PropertyValue]:
    return {
        _text(name): value if isinstance(value, str | int | float) else _text(value)
        for name, value in (given or {}).items()
        if value is not None
    }


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
