"""Does the command start, say where it is, keep what it was sent, stop cleanly, and say what keeps it from starting?"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click.testing
import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from boilermaker_fn.cli.commands import cli
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.local.queue import Rules
from boilermaker_fn.messages import Message
from tests.emulated import EmulatorProcess, config_of, started

QUEUES = {"orders": Rules(lock_duration=30, max_delivery_count=3, duplicate_window=600)}


def refused(*words: str) -> str:
    """What the command says when it does not start."""
    result = click.testing.CliRunner().invoke(cli, ["emulator", *words])
    assert isinstance(result.exception, SystemExit), "it started, or a user would see a traceback"
    assert result.exit_code == 2
    return result.output


@asynccontextmanager
async def client(connection_string: str) -> AsyncIterator[ServiceBusClient]:
    async with ServiceBusClient.from_connection_string(connection_string, retry_total=0) as one:
        yield one


async def send(connection_string: str, *bodies: str) -> None:
    async with client(connection_string) as one, one.get_queue_sender("orders") as sender:
        await sender.send_messages([ServiceBusMessage(body, message_id=body) for body in bodies])


async def peeked(connection_string: str) -> list[str]:
    async with client(connection_string) as one, one.get_queue_receiver("orders") as receiver:
        return [str(message) for message in await receiver.peek_messages(10)]


# -- running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_the_sdk_and_stops_by_a_signal(tmp_path: Path, number: int) -> None:
    with EmulatorProcess(tmp_path, QUEUES) as emulator:
        await send(emulator.connection_string, "a")
        assert await peeked(emulator.connection_string) == ["a"]
        assert emulator.stop(number) == 0
        assert emulator.log.read_text() == ""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", emulator.port))


async def test_what_was_sent_survives_a_kill(tmp_path: Path) -> None:
    with EmulatorProcess(tmp_path, QUEUES) as emulator:
        port, connection_string = emulator.port, emulator.connection_string
        await send(connection_string, "a", "b")
        emulator.restart()
        assert (emulator.port, emulator.connection_string) == (port, connection_string)
        await send(connection_string, "b", "c")
        assert await peeked(connection_string) == ["a", "b", "c"]


def test_it_says_what_it_serves_and_where_messages_are(tmp_path: Path) -> None:
    config, data = tmp_path / "queues.json", tmp_path / "made" / "emulator.db"
    config.write_text(config_of({**QUEUES, "plain": Rules(duplicate_window=0)}), encoding="utf-8-sig")
    process, said = started(["--port", "0", "--config", str(config), "--data", str(data)], tmp_path / "log")
    with process:
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    *lines, last = said.splitlines()
    assert lines == [
        "queue orders: lock 30 s, 3 deliveries, duplicates dropped for 600 s",
        "queue plain: lock 60 s, 10 deliveries, duplicates kept",
        f"messages are in {data}",
    ]
    assert last.startswith("ServiceBusConnection=Endpoint=sb://127.0.0.1:")
    assert last.endswith(";UseDevelopmentEmulator=true;")


def test_without_a_config_the_queues_are_those_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BUS_QUEUE_NAME", "shop")
    monkeypatch.setenv("DEAD_LETTER_QUEUE_NAME", "lake")
    process, said = started(["--port", "0"], tmp_path / "log")
    with process:
        process.send_signal(signal.SIGTERM)
    assert [line.split(":")[0] for line in said.splitlines()[:2]] == ["queue shop", "queue lake"]
    assert "in memory" in said


# -- not starting


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused("--port", str(port))
    assert f"port {port} of 127.0.0.1 is taken: end the program that has it, or choose another with --port" in said


def test_an_address_that_is_not_ours_is_named() -> None:
    assert "port 0 of 192.0.2.1 cannot be listened on" in refused("--host", "192.0.2.1", "--port", "0")


def test_a_wrong_config_is_told(tmp_path: Path) -> None:
    config = tmp_path / "queues.json"
    assert "queues.json cannot be read" in refused("--config", str(config))
    config.write_bytes(b"\xff\xfe{")
    assert "queues.json cannot be read" in refused("--config", str(config))
    queue = {"Name": "a", "Properties": {"RequiresSession": True, "LockDuration": "PT9M"}}
    config.write_text(json.dumps({"UserConfig": {"Namespaces": [{"Queues": [queue]}]}}))
    said = refused("--config", str(config))
    assert "Properties.RequiresSession is true" in said
    assert "Properties.LockDuration is" in said


def test_wrong_settings_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BUS_QUEUE_NAME", "not a queue")
    assert "SERVICE_BUS_QUEUE_NAME is 'not a queue'" in refused("--port", "0")


def test_a_file_that_is_not_the_emulators_is_refused(tmp_path: Path) -> None:
    async def use_an_engine() -> None:
        engine = LocalEngine(tmp_path / "engine.db")
        await engine.transport.send([Message("orders", "a", b"")])
        await engine.close()

    asyncio.run(use_an_engine())
    said = refused("--port", "0", "--data", str(tmp_path / "engine.db"))
    assert "engine.db belongs to the embedded engine, not to the emulator" in said

    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE theirs (a)")
    other.close()
    said = refused("--port", "0", "--data", str(tmp_path / "other.db"))
    assert "other.db is a database of another program" in said

    (tmp_path / "directory").mkdir()
    said = refused("--port", "0", "--data", str(tmp_path / "directory"))
    assert "directory: unable to open database file" in said


@pytest.mark.slow
def test_a_file_that_another_emulator_has_is_refused(tmp_path: Path) -> None:
    with EmulatorProcess(tmp_path, QUEUES) as emulator:
        said = refused("--port", "0", "--data", str(emulator.data))
    assert "emulator.db: database is locked: another process has kept it locked" in said
