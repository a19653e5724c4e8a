"""`boilermaker-fn emulator`: Service Bus on this machine, for its SDKs, the Functions host and this package."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..settings import named
from .exits import Refusal

if TYPE_CHECKING:
    from ..local.queue import Rules


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=5672,
    show_default=True,
    metavar="N",
    help="The port to listen on; 0: one that is free.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The queues, as JSON for Microsoft's emulator; else those of the settings.",
)
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="FILE", help="Keep messages in this file; else in memory."
)
def emulator(host: str, port: int, config: Path | None, data: Path | None) -> None:
    """Be Service Bus for programs on this machine, until SIGTERM or Ctrl-C.

    Prints the connection string for them when it is ready. Whoever reaches the port can send and receive: it asks for
    no password.
    """
    asyncio.run(_serve(_queues(config), host, port, data))


def _queues(config: Path | None) -> Mapping[str, Rules]:
    """Those of the file, or of the settings. Raises Refusal, ConfigurationError."""
    from ..emulator.options import queues_in, queues_named  # other commands need no emulator

    if config is None:
        settings = named()
        return queues_named(settings.service_bus_queue_name, settings.dead_letter_queue)
    try:
        text = config.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{config} cannot be read: {error}; --config takes a JSON file") from error
    return queues_in(text, str(config))


async def _serve(queues: Mapping[str, Rules], host: str, port: int, data: Path | None) -> None:
    from ..emulator import Emulator

    stopping = asyncio.Event()
    # On Windows there are no handlers, and Ctrl-C ends `asyncio.run`.
    with contextlib.suppress(NotImplementedError):
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    server = Emulator(queues, path=data, host=host, port=port)
    try:
        try:
            await server.start()
        except OSError as error:
            raise Refusal(_not_listening(host, port, error)) from error
        click.echo("\n".join([*(f"queue {_described(*one)}" for one in queues.items()), _place(data)]))
        click.echo(f"ServiceBusConnection={server.connection_string}")
        await stopping.wait()
    finally:
        await server.close()


def _not_listening(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is taken: end the program that has it, or choose another with --port"
    return f"port {port} of {host} cannot be listened on: {error}; choose others with --host and --port"


def _described(name: str, rules: Rules) -> str:
    duplicates = f"duplicates dropped for {rules.duplicate_window:g} s" if rules.duplicate_window else "duplicates kept"
    return f"{name}: lock {rules.lock_duration:g} s, {rules.max_delivery_count} deliveries, {duplicates}"


def _place(data: Path | None) -> str:
    if data is None:
        return "messages are in memory and gone when this ends; --data FILE keeps them"
    return f"messages are in {data.absolute()}"
