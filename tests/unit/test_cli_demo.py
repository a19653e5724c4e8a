"""Does the demo account for every row of its file, go on when it was interrupted, and start clean when it was not?"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.cli.demo import runs
from boilermaker_fn.cli.demo.closing import Closing
from boilermaker_fn.cli.demo.counting import Operations, counted
from boilermaker_fn.cli.demo.ledger import Case, Ledger
from boilermaker_fn.errors import ConfigurationError
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.outcomes import ErrorInfo
from boilermaker_fn.results import ResultStore
from boilermaker_fn.task.result import TaskStatus, TerminalRow
from boilermaker_fn.task.task import Task
from boilermaker_fn.wiring import wired
from examples.orders import reading, tasks
from examples.orders.models import BadRow, Order

COMMAND = Path(sys.executable).with_name("boilermaker-fn")


@pytest.fixture
async def engine() -> AsyncIterator[LocalEngine]:
    one = LocalEngine()
    yield one
    await one.close()


def lines_of_the_file() -> int:
    with reading.ORDERS.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


# -- the example


def test_every_row_of_the_file_is_read() -> None:
    rows = list(reading.read())
    assert len(rows) == lines_of_the_file() >= 300
    orders = [row for _, row in rows if isinstance(row, Order)]
    assert len({order.order_id for order in orders}) == len(orders) >= 290


def test_bad_rows_say_what_is_wrong(tmp_path: Path) -> None:
    good = "O-1001,2025-03-01,Ada,DE,EUR,10.00,standard,visa,swift"
    header = "order_id,placed_on,customer,country,currency,amount,priority,card,courier"
    bad = [good.replace("10.00", "ten"), good.replace("EUR", "XYZ"), good, "O-1002,2025-02-30"]
    (tmp_path / "orders.csv").write_text("\n".join([header, good, *bad]))
    (_, first), *rest = reading.read(tmp_path / "orders.csv")
    assert isinstance(first, Order)
    problems = [(line, row.problem) for line, row in rest if isinstance(row, BadRow)]
    assert [(line, problem.split(":")[0]) for line, problem in problems] == [
        (3, "amount"),
        (4, "currency"),
        (5, "order_id"),
        (6, "2 cells instead of 9"),
    ]
    assert "O-1001 is on line 2 already" in problems[2][1]


def test_importing_the_example_connects_to_nothing() -> None:
    code = "import sys, examples.orders.tasks; print([m for m in ('azure', 'sqlite3', 'click') if m in sys.modules])"
    root = Path(tasks.__file__).parents[2]
    # Measuring coverage would import sqlite3.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- runs


async def test_a_run_that_is_not_finished_goes_on_and_the_next_starts_clean(engine: LocalEngine) -> None:
    assert engine.table is not None
    first = await runs.begin(engine.table)
    again = await runs.begin(engine.table)
    await runs.finish(engine.table, again)
    following = await runs.begin(engine.table)
    assert [(run.name, run.continued) for run in (first, again, following)] == [
        ("demo-1", False),
        ("demo-1", True),
        ("demo-2", False),
    ]
    assert "starts clean" in first.story
    assert "goes on" in again.story
    assert following.story == "demo-1 is finished: demo-2 starts clean"


# -- the ledger


async def ended(results: ResultStore, task: Task, status: TaskStatus, attempts: int = 1) -> None:
    error = None if status.succeeded else ErrorInfo("ValueError", "broken")
    reason = "" if status.succeeded else "TaskFailed"
    await results.insert(TerminalRow(task.task_id, task.function_name, status, attempts, reason=reason, error=error))


def chained() -> tuple[list[Task], Task]:
    """a, b and c one after another, and what runs when one of them fails; a has a callback."""
    app = Boilermaker()
    *links, handler = (Task(task_id=name, function_name=name) for name in ("a", "b", "c", "sorry"))
    links[0].on_success = Task(task_id="thanks", function_name="thanks")
    app.chain(*links, on_failure=handler)
    return links, handler


async def test_a_case_has_ended_when_all_that_follows_has(engine: LocalEngine) -> None:
    assert engine.table is not None
    results = ResultStore(engine.table)
    links, _ = chained()
    assert links[0].on_success is not None
    ledger = Ledger([Case(2, "O-1", links[0])], results)
    assert await ledger.look() == []
    for task in links:
        assert ledger.ended == []
        await ended(results, task, TaskStatus.Success, attempts=2)
        await ledger.look()
    assert ledger.ended == []
    await ended(results, links[0].on_success, TaskStatus.Success)
    await ledger.look()
    (case,) = ledger.succeeded
    assert (set(case.rows), case.tries_again, ledger.failed) == ({"a", "b", "c", "thanks"}, 3, [])


async def test_a_case_that_failed_waits_for_its_handler(engine: LocalEngine) -> None:
    assert engine.table is not None
    results = ResultStore(engine.table)
    links, handler = chained()
    assert links[0].on_success is not None
    for task in (links[0], links[0].on_success):
        await ended(results, task, TaskStatus.Success)
    await ended(results, links[1], TaskStatus.Failure)
    ledger = Ledger([Case(2, "O-1", links[0])], results)
    assert [row.function for _, row in await ledger.look()] == ["a", "thanks", "b"]
    assert ledger.ended == []
    await ended(results, handler, TaskStatus.Success)
    await ledger.look()
    (case,) = ledger.failed
    assert case.failure is not None
    assert (case.failure.function, ledger.succeeded) == ("b", [])


# -- the day's report


async def looked_until_it_ends(closing: Closing) -> None:
    async with asyncio.timeout(30):
        while not (await closing.look())[1]:
            await asyncio.sleep(0.01)


async def test_a_report_that_was_interrupted_goes_on(engine: LocalEngine, capsys: pytest.CaptureFixture[str]) -> None:
    assert engine.table is not None
    app, wiring, operations = tasks.app, wired(engine, None), Operations()
    case = Case(2, "O-1001", Task(task_id="demo-1.O-1001.screen", function_name="screen"))
    case.learn(case.task, TerminalRow(case.task.task_id, "screen", TaskStatus.Success))
    ledger = Ledger([case], ResultStore(engine.table))

    def one(*, continued: bool) -> Closing:
        return Closing(app, wiring, runs.Run(1, continued), ledger, operations)

    with app.shell.rewired(counted(wiring, engine.table, operations)):
        first, second = one(continued=False), one(continued=True)
        await first.begin()
        await first.look()
        assert (first.ended, first.as_json()) == (False, None)
        published = operations.writes
        await second.begin()
        assert (published > 0, operations.writes) == (True, 0)  # all rows were there
        worker = app.worker()
        await worker.start()
        await looked_until_it_ends(second)
        await worker.stop()

    report = second.as_json()
    assert report is not None
    assert (report["tasks"], report["mapped"], report["report"]["parcels"]) == (8, 1, 1)
    assert report["operations"]["dropped"] == operations.dropped
    second.print()
    printed = capsys.readouterr().out
    assert "It ended as failure:" in printed
    assert "success, tasks of its own: 1" in printed
    assert "print_report: TaskFailed, OutOfPaper: no paper for" in printed
    assert f"8 tasks took {operations.rows} table operations since this run went on" in printed


# -- the command


def test_the_demo_needs_its_example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from boilermaker_fn.cli.demo import example

    monkeypatch.setattr(example, "_PACKAGE", tmp_path / "boilermaker_fn")
    with pytest.raises(ConfigurationError, match="install the package again"):
        example.tasks()


class Demo:
    """The demo as a process in a directory."""

    def __init__(self, place: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [COMMAND, "demo", "--json", "--file", "demo.db", *options],
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.story = self.process.stderr.readline()

    def interrupt_when_it_runs(self) -> None:
        assert self.process.stderr is not None
        while "; 0 tasks run" in self.process.stderr.readline():
            pass
        self.process.send_signal(signal.SIGINT)

    def ended(self) -> tuple[int, Any]:
        stdout, stderr = self.process.communicate(timeout=120)
        assert "Traceback" not in stderr
        return self.process.returncode, json.loads(stdout)


@pytest.mark.slow
def test_the_demo_accounts_for_every_row(tmp_path: Path) -> None:
    first = Demo(tmp_path)
    assert "starts clean" in first.story
    first.interrupt_when_it_runs()
    code, report = first.ended()
    assert code == 130
    assert report["succeeded"] + report["failed"] + report["not_ended"] == lines_of_the_file()
    assert report["not_ended"] > 0

    second = Demo(tmp_path)
    assert "demo-1 was not finished: it goes on" in second.story
    code, report = second.ended()
    assert code == 0
    assert report["continued"] is True
    check(report)
    check_operations(report)

    third = Demo(tmp_path)
    assert "demo-1 is finished: demo-2 starts clean" in third.story
    third.interrupt_when_it_runs()
    assert third.ended()[0] == 130


@pytest.mark.slow
def test_the_demo_over_amqp(tmp_path: Path) -> None:
    first = Demo(tmp_path, "--engine", "emulator")
    assert "by AMQP on port" in first.story
    first.interrupt_when_it_runs()
    code, report = first.ended()
    assert code == 130

    second = Demo(tmp_path, "--engine", "emulator")
    assert "demo-1 was not finished: it goes on" in second.story
    code, report = second.ended()
    assert code == 0
    check(report)
    check_operations(report)


def check(report: dict[str, Any]) -> None:
    """Every row of the file is there once, failed as it should or succeeded, and what failed left a dead letter."""
    assert report["not_ended"] == 0
    assert report["succeeded"] + report["failed"] == report["read"] == lines_of_the_file()
    assert Counter(order["outcome"] for order in report["orders"]) == {
        "succeeded": report["succeeded"],
        "failed": report["failed"],
    }
    assert [order["line"] for order in report["orders"]] == [line for line, _ in reading.read()]
    assert sum(outcome["orders"] for outcome in report["outcomes"]) == report["read"]

    by_line = {order["line"]: order for order in report["orders"]}
    for line, row in reading.read():
        wanted = expected_failure(row)
        assert wanted is None or (by_line[line]["failed_in"], by_line[line]["reason"]) == wanted, by_line[line]
    failures = {order["tasks"][order["failed_in"]]["task_id"]: order["reason"] for order in report["orders"]
                if order["outcome"] == "failed"}  # fmt: skip
    failures[f"{report['run']}.report.print"] = "TaskFailed"
    assert {letter["task_id"]: letter["reason"] for letter in report["dead_letters"]} == failures
    assert len(report["dead_letters"]) == len(failures)
    check_graph(report)


def check_graph(report: dict[str, Any]) -> None:
    """The day's report is the sum over what was shipped, and all of its graph ended as it should."""
    shipped = {order["line"] for order in report["orders"] if order["outcome"] == "succeeded"}
    orders = [row for line, row in reading.read() if line in shipped and isinstance(row, Order)]
    takings: dict[str, Decimal] = {}
    for order in orders:
        takings[order.currency] = takings.get(order.currency, Decimal()) + order.amount
    graph, countries = report["graph"], Counter(order.country for order in orders)
    assert graph["report"]["parcels"] == len(orders) == report["succeeded"]
    assert {currency: Decimal(sum_) for currency, sum_ in graph["report"]["takings"].items()} == takings
    assert {region["country"]: region["parcels"] for region in graph["report"]["regions"]} == countries

    name = f"{report['run']}.report"
    ended = dict.fromkeys(("regions", "by-region", "day", "send", "archive", "paper"), "success") | {"print": "failure"}
    assert graph["statuses"] == {f"{name}.{step}": status for step, status in ended.items()}
    assert (graph["graph_id"], graph["status"]) == (name, "failure")
    assert (graph["mapped"], graph["tasks"]) == (len(countries), len(countries) + len(ended))
    assert graph["mermaid"].count("success") > 0 < graph["mermaid"].count("failure")


def check_operations(report: dict[str, Any]) -> None:
    """What the graph took is what it must: a claim and an end for each task, a message for each and for each graph."""
    graph, operations = report["graph"], report["graph"]["operations"]
    assert operations["writes"] >= 2 * graph["tasks"]
    assert operations["reads"] >= graph["tasks"]
    assert graph["tasks"] + 2 < operations["messages"] <= graph["tasks"] + 4
    assert operations["reads"] + operations["queries"] + operations["writes"] <= 12 * graph["tasks"]


def expected_failure(row: Order | BadRow) -> tuple[str, str] | None:
    """The task in which a row has to fail, and why; None where it should succeed (a busy machine can fail it)."""
    if isinstance(row, BadRow):
        return "set_aside", "TaskFailed"
    if row.amount >= 9000 or row.customer == "Null Null":
        return "screen", "TaskFailed"
    if (failure := {"declined": "TaskFailed", "unreachable": "RetriesExhausted"}.get(row.card)) is not None:
        return "charge", failure
    if "\N{BOMB}" in row.customer:
        return "invoice", "TaskFailed"
    if (failure := {"lost": "TimedOut", "quantum": "ResultNotSerializable"}.get(row.courier)) is not None:
        return "ship", failure
    return None
