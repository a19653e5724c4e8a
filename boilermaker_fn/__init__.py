"""Background tasks for async Python on Azure Functions and Service Bus, and on an embedded engine everywhere else."""

from __future__ import annotations

from .app import Boilermaker, BoilermakerAppException
from .retries import (
    NoRetry,
    RetryException,
    RetryExceptionDefault,
    RetryExceptionDefaultExponential,
    RetryExceptionDefaultLinear,
    RetryPolicy,
)
from .task import Task

__all__ = [
    "Boilermaker",
    "BoilermakerAppException",
    "NoRetry",
    "RetryException",
    "RetryExceptionDefault",
    "RetryExceptionDefaultExponential",
    "RetryExceptionDefaultLinear",
    "RetryPolicy",
    "Task",
]
