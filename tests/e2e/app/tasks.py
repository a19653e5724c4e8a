"""The app that the end-to-end tests serve. Its tasks note in a journal when they ran, and where."""

from __future__ import annotations

import asyncio
import os
import signal

from journal import Journal

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy
from boilermaker_fn.retries import RetryMode

journal = Journal.from_environment()
app = Boilermaker(journal)


@app.task
async def greet(journal: Journal, name: str) -> str:
    journal.note(name)
    return f"hello {name}"


@app.task
async def hesitate(journal: Journal, key: str, times: int, delay: float) -> int:
    """Ask for a retry as often as told, at most twice; then say how often it was called."""
    called = journal.note(key)
    if called <= times:
        raise RetryException("not yet", RetryPolicy(max_tries=3, delay=delay, retry_mode=RetryMode.Fixed))
    return called


@app.task
async def boil(journal: Journal, key: str) -> None:
    journal.note(key)
    raise ValueError("boiled over")


@app.task
async def linger(journal: Journal, key: str, seconds: float) -> str:
    """Take its time."""
    journal.note(key)
    await asyncio.sleep(seconds)
    journal.note(key, "ended")
    return key


@app.task
async def hang_once(journal: Journal, key: str) -> int:
    """Take far too long when it is called for the first time, and none at all later."""
    called = journal.note(key)
    if called == 1:
        await asyncio.sleep(50)
    journal.note(key, "ended")
    return called


@app.task
async def crash(journal: Journal, key: str) -> None:
    """Take the whole process along."""
    journal.note(key)
    os.kill(os.getpid(), signal.SIGKILL)
