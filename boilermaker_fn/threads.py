"""Where do blocking functions run? Each call in a daemon thread of its own.

A thread cannot be killed. A daemon thread at least does not keep a process from ending, which the threads of
`concurrent.futures.ThreadPoolExecutor` do: a task that hangs would outlive SIGTERM.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads(Executor):
    """An executor for `loop.run_in_executor` that starts a daemon thread for each call."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `fn` in a new thread."""
        future: Future[T] = Future()

        def call() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # whatever it is, it belongs to whoever waits
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=call, name=f"boilermaker-{getattr(fn, '__name__', 'call')}", daemon=True).start()
        return future
