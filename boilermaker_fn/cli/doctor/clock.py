"""Does the clock here agree with that of Azure? Delays, expiry and signatures are times of this machine."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import Callable
from typing import Final

from .findings import Finding, ok, problem, warning

_CHECK: Final = "clock"
_SECONDS: Final = 10.0
_REMEDY: Final = "set it by NTP (timedatectl set-ntp true); in a virtual machine let its host keep the time"

#: Seconds from which tasks run noticeably early or late, and from which tokens and signatures are refused too.
OF_CONCERN: Final = 30.0
WRONG: Final = 300.0


async def compared(url: str, now: Callable[[], float] = time.time) -> Finding:
    """The difference to the clock of the server at `url`, whatever else it answers."""
    import aiohttp

    try:
        async with asyncio.timeout(_SECONDS), aiohttp.ClientSession() as session:
            before = now()
            async with session.get(url, allow_redirects=False) as response:
                local, text = (before + now()) / 2, response.headers.get("Date", "")
        # Seconds are cut off there: half of one is what is missing on average.
        remote = email.utils.parsedate_to_datetime(text).timestamp() + 0.5
    except (aiohttp.ClientError, OSError, ValueError) as error:
        found = f"cannot be compared with that of {url}: {error or type(error).__name__}"
        return warning(_CHECK, found, "let this machine reach that address")
    return judged(local - remote)


def judged(ahead: float) -> Finding:
    """What it means that the clock here is ahead by so many seconds (negative: behind)."""
    if abs(ahead) < OF_CONCERN:
        return ok(_CHECK, f"agrees with Azure's within {max(1, round(abs(ahead)))} s")
    found = f"is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} Azure's"
    if abs(ahead) < WRONG:
        return warning(_CHECK, f"{found}: delayed tasks run {'late' if ahead > 0 else 'early'}", _REMEDY)
    return problem(_CHECK, f"{found}: tasks run at wrong times, and tokens are refused", _REMEDY)
