"""Service Bus on a laptop: queues behind AMQP 1.0, for everything this project uses of them."""

from .faults import Faults
from .server import Emulator

__all__ = ["Emulator", "Faults"]
