"""What does the library itself cost? One message from its bytes to its settling, without any I/O.

Ours: `Runner.handle`, then `complete` of an inbox that does nothing; no results store. The ancestor: `message_handler`
with a receiver that does nothing. Both run the same task function on an envelope they published themselves. Ours binds
the ids of the delivery for log lines and revives the arguments by their annotations, and with `timeout` limits the run;
the ancestor has none of the three.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from .rounds import Measured, counted, cpu, printed, ratio, table, wall

#: Contestants take turns of this many messages in one process, so that what else the machine does hits them alike.
_MESSAGES = 200
_TURNS = 40
_ROUNDS = 3

Handle = Callable[[], Awaitable[object]]


class _AppState:
    """The ancestor wants a state that can be weakly referenced."""


async def remind(state: _AppState, order: int, note: str) -> int:
    return order


class _Memory:
    """An engine without results, and an inbox, that do nothing."""

    name, queue, dead_letter_queue, table, max_message_bytes = "memory", None, None, None, 262_144

    @property
    def transport(self) -> _Memory:
        return self

    async def complete(self, delivery: object) -> None:
        return None


def _ours(timeout: float | None) -> Handle:
    from boilermaker_fn import Boilermaker
    from boilermaker_fn.envelopes import outgoing
    from boilermaker_fn.messages import Delivery

    memory: Any = _Memory()
    app = Boilermaker(_AppState(), memory).register_async(remind, timeout=timeout)
    body = outgoing(app.create_task(remind, 7, note="tomorrow"), now=time.time(), queue="").body
    runner = app.shell.runner()

    async def handle() -> None:
        delivery = Delivery("boilermaker-tasks", "id", body, sequence_number=1, delivery_count=1)
        await runner.handle(delivery)
        await memory.complete(delivery)

    return handle


class _Received(str):
    """A message as the ancestor reads it: its text, and its number."""

    sequence_number, delivery_count = 1, 1


class _Receiver:
    async def complete_message(self, message: object) -> None:
        return None


def _ancestor() -> Handle:
    from boilermaker import Boilermaker

    state, receiver = _AppState(), _Receiver()
    app = Boilermaker(state, None).register_async(remind)
    body = app.create_task(remind, 7, note="tomorrow").model_dump_json()

    async def handle(_state: _AppState = state) -> None:  # the ancestor itself holds its state weakly
        await app.message_handler(_Received(body), receiver)

    return handle


_CONTESTANTS: dict[str, Callable[[], Handle]] = {
    "ours": partial(_ours, None),
    "ours, timeout": partial(_ours, 30.0),
    "ancestor": _ancestor,
}


async def _repeat(handle: Handle, times: int) -> None:
    for _ in range(times):
        await handle()


async def _timed(handle: Handle) -> Measured:
    wall_before, cpu_before = time.perf_counter(), time.process_time()
    await _repeat(handle, _MESSAGES)
    return Measured(time.perf_counter() - wall_before, time.process_time() - cpu_before)


async def _calls(handle: Handle) -> int:
    """How many calls of functions, Python's and built in, one message takes: nearly the same on any machine."""
    seen = 0

    def see(frame: object, event: str, argument: object) -> None:
        nonlocal seen
        seen += event in ("call", "c_call")

    sys.setprofile(see)
    await _repeat(handle, _MESSAGES)
    sys.setprofile(None)
    return seen // _MESSAGES


async def _measure() -> None:
    handles = {name: make() for name, make in _CONTESTANTS.items()}
    calls = {name: await _calls(handle) for name, handle in handles.items()}
    for _ in range(_TURNS):
        print(json.dumps({name: (*(await _timed(handle))[:2], calls[name]) for name, handle in handles.items()}))


def _main(logging_is: str) -> None:
    if logging_is == "logged":
        logging.basicConfig(level=logging.INFO, filename=os.devnull, format="%(asctime)s %(name)s %(message)s")
    else:
        logging.disable()
    asyncio.run(_measure())


def report() -> None:
    """Measure, and print the table."""
    rows = []
    for logging_is in ("bare", "logged"):
        turns = [turn for _ in range(_ROUNDS) for turn in printed("-m", "bench.dispatch", logging_is)]
        results = {name: [Measured(*turn[name]) for turn in turns] for name in _CONTESTANTS}
        for name in ("ours", "ours, timeout"):
            ratios = [f"{ratio(results[name], results['ancestor'], of):.2f}" for of in (wall, cpu, counted)]
            rows.append([f"{name}, {logging_is}", *ratios])
    table("Dispatch without I/O: the ancestor's cost / ours (target: at least 0.8)", ["", "wall", "cpu", "calls"], rows)


if __name__ == "__main__":
    _main(*sys.argv[1:])
