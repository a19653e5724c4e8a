"""How is a host killed, or drained? As a process: `python -m tests.e2e.host_process DIRECTORY GRACE`.

The app's settings are its environment. It says `listening` when it is, and drains on SIGTERM.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.e2e.service_bus_host import ServiceBusHost


async def main(directory: Path, grace: float) -> None:
    """Serve the app in `directory` until SIGTERM, then give what runs `grace` seconds."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await ServiceBusHost(directory, os.environ, grace=grace).run(stopping)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
