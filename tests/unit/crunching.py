"""Functions that other processes find by their names."""

from __future__ import annotations

import datetime
import os
import signal
import time

import pydantic

from boilermaker_fn import RetryException
from boilermaker_fn.failure import TaskFailureResult


class Report(pydantic.BaseModel):
    """An argument and a result with a type."""

    day: datetime.date
    total: int


def square(number: int) -> int:
    return number * number


def add_day(report: Report, *, days: int = 1) -> Report:
    return Report(day=report.day + datetime.timedelta(days=days), total=report.total + 1)


def own_process() -> int:
    return os.getpid()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    raise SystemExit(3)


def hang() -> None:
    time.sleep(3_600)


def fail(text: str) -> None:
    raise LookupError(text)


def refuse():
    return TaskFailureResult


def ask_again() -> None:
    raise RetryException("later")


class Unpicklable(Exception):
    """Cannot cross processes."""

    def __init__(self, code: int, *, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.lock = lambda: None


def fail_unpicklably() -> None:
    raise Unpicklable(5, text="cannot cross")


def odd() -> object:
    return object()


class Holder:
    """A function inside a class."""

    @staticmethod
    def inside(number: int) -> int:
        return -number
