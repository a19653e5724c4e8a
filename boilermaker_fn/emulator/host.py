"""What do all connections share?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .backlog import Tasks
from .broker import Broker
from .faults import Faults


@dataclass(slots=True)
class Host:
    """The queues, the time (seconds since the epoch), what goes wrong on purpose, and the tasks of an emulator.

    While it is `closing`, whoever connects is sent away.
    """

    broker: Broker
    clock: Callable[[], float]
    faults: Faults
    tasks: Tasks
    closing: bool = False
