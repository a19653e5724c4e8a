"""What does an exception say, as text? Also when its own `str` raises."""

from __future__ import annotations

import traceback
from typing import Final

from .outcomes import ErrorInfo

#: Longest message and traceback kept, in characters: both fit into a table property and a dead letter.
MAX_TEXT: Final = 16_384
MAX_NAME: Final = 1_024


def describe(error: BaseException) -> ErrorInfo:
    """The type, the message and the traceback of an exception, without the frames of this package around the task."""
    return ErrorInfo(_name(type(error)), _message(error)[:MAX_TEXT], _traceback(error)[-MAX_TEXT:])


def _name(kind: type) -> str:
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return name[:MAX_NAME]


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as second:  # user code: anything can come out of its __str__
        return f"(its str() raised {type(second).__name__})"
    return text.encode(errors="replace").decode()


def _traceback(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__package__") == __package__:
        trace = trace.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except Exception as second:  # as above
        return f"(the traceback could not be written: {type(second).__name__})"
    return text.encode(errors="replace").decode()
