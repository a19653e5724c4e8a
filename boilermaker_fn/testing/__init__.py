"""How is an app tested? In memory and in virtual time: see VirtualWorker."""

from .deliveries import Endless
from .seen import DeadLetter, Waiting
from .virtual_time import Deadlock, VirtualTimeLoop
from .virtual_worker import VirtualWorker

__all__ = ["DeadLetter", "Deadlock", "Endless", "VirtualTimeLoop", "VirtualWorker", "Waiting"]
