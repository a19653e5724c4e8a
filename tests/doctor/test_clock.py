"""What the doctor says of the clock here, compared with that of a server."""

from __future__ import annotations

import asyncio
import email.utils
import socket
import time

import pytest

from boilermaker_fn.cli.doctor import clock
from boilermaker_fn.cli.doctor.findings import Finding, Level

NOW = 1_800_000_000.0


async def compared(date: float | None, status: int = 403) -> Finding:
    """The finding at NOW, with a server whose clock shows `date`."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        text = "" if date is None else f"Date: {email.utils.formatdate(date, usegmt=True)}\r\n"
        writer.write(f"HTTP/1.1 {status} -\r\n{text}Content-Length: 0\r\n\r\n".encode())
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    async with server:
        return await clock.compared(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", lambda: NOW)


@pytest.mark.parametrize(
    ("ahead", "level", "found"),
    [
        (0, Level.OK, "agrees with Azure's within 1 s"),
        (29, Level.OK, "agrees with Azure's within"),
        (60, Level.WARNING, "is 60 s ahead of Azure's: delayed tasks run late"),
        (-60, Level.WARNING, "is 60 s behind Azure's: delayed tasks run early"),
        (301, Level.PROBLEM, "is 300 s ahead of Azure's: tasks run at wrong times"),
        (-3600, Level.PROBLEM, "is 3600 s behind Azure's"),
    ],
)
async def test_a_clock_that_is_wrong(ahead: float, level: Level, found: str) -> None:
    finding = await compared(NOW - ahead)
    assert (finding.check, finding.level) == ("clock", level)
    assert finding.found.startswith(found)
    assert bool(finding.remedy) is (level is not Level.OK)


@pytest.mark.parametrize(
    ("ahead", "level"), [(29.9, Level.OK), (30, Level.WARNING), (299.9, Level.WARNING), (300, Level.PROBLEM)]
)
def test_the_limits(ahead: float, level: Level) -> None:
    assert clock.judged(ahead).level is clock.judged(-ahead).level is level


async def test_a_redirection_is_not_followed() -> None:
    assert (await compared(NOW, status=302)).level is Level.OK


async def test_a_server_that_does_not_say_the_time() -> None:
    finding = await compared(None)
    assert finding.level is Level.WARNING
    assert finding.found.startswith("cannot be compared")


async def test_no_server() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    finding = await clock.compared(f"http://127.0.0.1:{port}", time.time)
    assert finding.level is Level.WARNING
