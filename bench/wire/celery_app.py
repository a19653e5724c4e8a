"""Celery on the emulator. `python -m bench.wire.celery_app publish|work COUNT CONNECTION_STRING`.

Kombu's transport only knows the public cloud and makes its queues through an administration endpoint that an emulator
does not have, so these two places are replaced; all that is measured is Celery's own.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Any

from celery import Celery
from kombu.transport import azureservicebus

from ..rounds import Measured

_WARM_UP = 20


class _Channel(azureservicebus.Channel):
    def _try_parse_connection_string(self) -> None:
        self._namespace, self._credential = "emulator", None
        self._connection_string = os.environ["WIRE_CONNECTION"]

    def _new_queue(self, queue: str, **_: Any) -> Any:
        return self._add_queue_to_cache(self.entity_name(queue))

    def _size(self, queue: str) -> int:
        return 0


azureservicebus.Transport.Channel = _Channel

app = Celery("bench", broker="azureservicebus://policy:key@emulator")
app.conf.update(
    task_ignore_result=True,
    worker_hijack_root_logger=False,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)
_left = int(os.environ.get("WIRE_COUNT", "0"))
_count = _left
_began: list[float] = []
_answer = os.fdopen(os.dup(1), "w")  # the worker greets on standard output, however it is set


@app.task
def nothing() -> None:
    """Does nothing, and ends the process when all have run."""
    global _left
    if not _began:
        _began.extend((time.perf_counter(), time.process_time()))
    _left -= 1
    if not _left:
        measured = Measured(time.perf_counter() - _began[0], time.process_time() - _began[1], _count)
        print(json.dumps(measured), file=_answer, flush=True)
        os._exit(0)


def _publish(count: int) -> Measured:
    for _ in range(_WARM_UP):
        nothing.delay()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        nothing.delay()
    return Measured(time.perf_counter() - wall, time.process_time() - cpu, count)


def _work(count: int) -> None:
    for _ in range(count):
        nothing.delay()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(["worker", "--pool=solo", "--loglevel=ERROR", *alone])


if __name__ == "__main__":
    command, wanted, where = sys.argv[1:]
    if "WIRE_CONNECTION" not in os.environ:  # the module is imported again by the worker, under its own name
        os.environ.update(WIRE_CONNECTION=where, WIRE_COUNT=wanted)
        os.execv(sys.executable, [sys.executable, "-m", "bench.wire.celery_app", *sys.argv[1:]])
    logging.disable()
    if command == "publish":
        print(json.dumps(_publish(int(wanted))), flush=True)
    else:
        _work(int(wanted))
