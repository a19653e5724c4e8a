"""How did one call of a task function end? The part that loop, threads and processes share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .describe import describe
from .errors import ArgumentError, TaskTimeout
from .failure import TaskFailureResult
from .outcomes import ErrorInfo, Failed, Graphlike, Grown, Outcome, Reason, RetryAsked, Succeeded
from .retries import RetryException
from .signature import Signature

Exceptions = tuple[type[BaseException], ...]


def outcome_of_call(
    fn: Callable[..., Any],
    signature: Signature,
    leading: Sequence[Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    retry_on: Exceptions,
) -> Outcome:
    """Call a plain function and say how that ended. `leading` stands before the arguments: the state, or nothing."""
    try:
        positional, keywords = signature.revive(args, kwargs)
        value = fn(*leading, *positional, **keywords)
    except BaseException as error:  # in a thread or process of its own all comes from the function itself
        return outcome_of_error(error, retry_on)
    return outcome_of_value(value, signature)


def outcome_of_value(value: Any, signature: Signature) -> Outcome:
    """The outcome of a function that returned."""
    if value is None:
        return _NOTHING
    if value is TaskFailureResult:
        return Failed(Reason.TaskFailed, ErrorInfo("TaskFailureResult", "the task returned TaskFailureResult"))
    if isinstance(value, Graphlike):
        return Grown(value)
    try:
        return Succeeded(signature.result.write(value))
    except Exception as error:  # a value's own code runs while it is written
        return Failed(Reason.ResultNotSerializable, describe(error))


def outcome_of_error(error: BaseException, retry_on: Exceptions) -> Outcome:
    """The outcome of a function that raised."""
    if isinstance(error, RetryException):
        return RetryAsked(describe(error), error.policy)
    if isinstance(error, ArgumentError):
        return Failed(Reason.WrongArguments, describe(error))
    if isinstance(error, retry_on):
        return RetryAsked(describe(error))
    return Failed(Reason.TimedOut if isinstance(error, TaskTimeout) else Reason.TaskFailed, describe(error))


_NOTHING = Succeeded("null")
