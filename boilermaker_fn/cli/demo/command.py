"""`boilermaker-fn demo`: publish the orders of the example, run them, and account for every one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import click

from ...app import Boilermaker
from ...messages import Delivery
from ...results import ResultStore
from ...telemetry import logs
from ...wiring import Wiring
from ..deadletters import all_in
from ..exits import INTERRUPTED, NOT_ENDED, OK
from ..output import console, print_json
from ..places import json_option
from . import engines, example, runs
from .closing import Closing
from .counting import Operations, counted
from .ledger import Case, Ledger
from .progress import Bars, Lines, Progress
from .report import Report

_CONCURRENCY = 16
_GRACE = 2.0
#: Seconds without any task ending after which something must be wrong.
_PATIENCE = 30.0
_BETWEEN_LOOKS = 0.25


@click.command()
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path(".boilermaker/demo.db"),
    show_default=True,
    help="Where the embedded engine keeps the demo's tasks; a file of its own.",
)
@click.option(
    "--engine",
    type=click.Choice([engines.LOCAL, engines.EMULATOR]),
    default=engines.LOCAL,
    show_default=True,
    help="Where tasks are queued: in that file, or in the emulator, over AMQP as on Azure.",
)
@click.option("--verbose", is_flag=True, help="Show the worker's log, on standard error.")
@json_option
def demo(file: Path, engine: str, verbose: bool, as_json: bool) -> None:
    """Run a shop: some 300 orders, with retries, time-outs, crashes, refunds and bad rows.

    Each order of examples/orders is published and run by a real worker on the embedded engine, in less than half a
    minute and without Azure; with `--engine emulator` through the Service Bus SDK. When all have ended, a graph of
    tasks makes the day's report. At the end every row of the file has succeeded or failed, and the reason is said.
    After Ctrl-C the same command goes on where it was; after a finished run the next one starts clean.

    The exit code is 0 when all rows are accounted for, 3 when some have not ended, 130 after Ctrl-C.
    """
    if verbose:
        logs.configure()
    else:
        logging.getLogger("boilermaker_fn").addHandler(logging.NullHandler())
    sys.exit(asyncio.run(_demo(file, engine, verbose, as_json)))


async def _demo(file: Path, engine: str, verbose: bool, as_json: bool) -> int:
    app: Boilermaker = example.tasks().app
    async with engines.ground(engine, file) as ground:
        operations = Operations()
        with app.shell.rewired(counted(ground.wiring, ground.table, operations)):
            return await _run(app, ground, operations, file, engine, verbose, as_json)


async def _run(
    app: Boilermaker,
    ground: engines.Ground,
    operations: Operations,
    file: Path,
    engine: str,
    verbose: bool,
    as_json: bool,
) -> int:
    began = time.monotonic()
    run = await runs.begin(ground.table)
    ledger = Ledger(_cases(run), ResultStore(ground.table))
    closing = Closing(app, ground.wiring, run, ledger, operations)
    click.echo(f"{run.story} ({len(ledger.cases)} rows, tasks in {ground.place})", err=as_json)
    progress = _progress(ledger, plain=verbose, stderr=as_json)
    with progress:
        interrupted = await _work(app, ledger, closing, progress)
    done = closing.ended
    if done:
        await runs.finish(ground.table, run)
    letters = await _dead_letters(ground.wiring, run)
    report = Report(run, file, engine, ledger, closing, letters, time.monotonic() - began)
    if as_json:
        print_json(report.as_json())
    elif done:
        report.print()
    else:
        click.echo(f"{'interrupted' if interrupted else 'nothing moves any more'}: the same command goes on from here")
    return OK if done else INTERRUPTED if interrupted else NOT_ENDED


def _cases(run: runs.Run) -> list[Case]:
    tasks, reading = example.tasks(), example.reading()
    cases = []
    for line, row in reading.read():
        if isinstance(row, tasks.Order):
            cases.append(Case(line, row.order_id, tasks.fulfilment(row, run.name)))
        else:
            cases.append(Case(line, f"line {line}", tasks.rejection(row, run.name)))
    return cases


def _progress(ledger: Ledger, *, plain: bool, stderr: bool) -> Progress:
    screen = console(stderr=stderr)
    return Bars(ledger, screen) if screen.is_terminal and not plain else Lines(ledger, stderr=stderr)


async def _work(app: Boilermaker, ledger: Ledger, closing: Closing, progress: Progress) -> bool:
    """Publish, run, and follow, until all has ended or nothing moves any more. True if that was cut short."""
    interrupted = asyncio.Event()
    with _signals_set(interrupted):
        await ledger.look()
        # Publishing again what a run before this one has published is harmless: a task with a result is not run.
        await app.publish_many([case.task for case in ledger.cases if not case.rows])
        worker = app.worker(concurrency=_CONCURRENCY, grace=_GRACE)
        await worker.start()
        try:
            if await _followed(ledger, progress, interrupted):
                await closing.begin()
                await _moved_to(closing.look, interrupted)
        finally:
            await worker.stop()
        progress.tell(await ledger.look())
    return interrupted.is_set()


async def _followed(ledger: Ledger, progress: Progress, interrupted: asyncio.Event) -> bool:
    async def look() -> tuple[bool, bool]:
        news = await ledger.look()
        progress.tell(news)
        return bool(news), len(ledger.ended) == len(ledger.cases)

    return await _moved_to(look, interrupted)


async def _moved_to(look: Callable[[], Awaitable[tuple[bool, bool]]], interrupted: asyncio.Event) -> bool:
    """Look (is there news, and has all ended?) until all has ended, or nothing moves; whether it has."""
    moved = time.monotonic()
    while time.monotonic() - moved < _PATIENCE:
        news, ended = await look()
        if ended:
            return True
        if news:
            moved = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_BETWEEN_LOOKS):
                await interrupted.wait()
                return False
    return False


@contextlib.contextmanager
def _signals_set(interrupted: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _dead_letters(wiring: Wiring, run: runs.Run) -> list[Delivery]:
    letters = all_in(wiring.engine.inbox(wiring.dead_letter_queue))
    return [one async for one in letters if str(one.properties.get("task_id", "")).startswith(f"{run.name}.")]
