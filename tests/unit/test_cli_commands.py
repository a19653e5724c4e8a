"""Do enqueue, status, result and deadletters do what they say, and say what went wrong?"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click.testing
import pytest

import boilermaker_fn.cli
from boilermaker_fn import Boilermaker
from boilermaker_fn.cli.arguments import value_of
from boilermaker_fn.cli.commands import cli
from boilermaker_fn.errors import TaskFailed
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import Delivery

SHOP = """
import datetime
from boilermaker_fn import Boilermaker

app = Boilermaker()
number = 5

@app.task
async def add(state, a: int, b: int = 1) -> int:
    return a + b

@app.task
async def visit(state, day: datetime.date, name: str) -> str:
    return f"{name} on {day:%d.%m.%Y}"

@app.task
async def fail(state, text: str = "broken") -> None:
    raise ValueError(text)
"""
QUEUE = "boilermaker-tasks"


class Here:
    """An empty directory with the module `shop`, and the file of the embedded engine."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "local.db"

    def run(self, *words: str) -> click.testing.Result:
        result = click.testing.CliRunner().invoke(cli, list(words))
        assert isinstance(result.exception, SystemExit | None), "a user would see a traceback"
        return result

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json").stdout)

    def waiting(self, queue: str = QUEUE) -> list[Delivery]:
        async def look() -> list[Delivery]:
            engine = LocalEngine(self.file)
            try:
                return await engine.inbox(queue).peek(100)
            finally:
                await engine.close()

        return asyncio.run(look())

    def work(self, *task_ids: str) -> None:
        """Run a worker until these tasks have ended."""

        async def until_ended() -> None:
            app: Boilermaker = sys.modules["shop"].app
            async with app:
                for task_id in task_ids:
                    try:
                        await app.handle(task_id).result(20)
                    except TaskFailed:
                        continue

        asyncio.run(until_ended())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    for name in ("SERVICE_BUS_QUEUE_NAME", "SERVICE_BUS_NAMESPACE_URL", "ServiceBusConnection", "WEBSITE_INSTANCE_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    here = Here(tmp_path)
    monkeypatch.setenv("BOILERMAKER_LOCAL_FILE", str(here.file))
    Path("shop.py").write_text(SHOP)
    sys.modules.pop("shop", None)  # another test's
    yield here
    sys.modules.pop("shop", None)


# -- enqueue


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("7", 7),
        ("-1.5", -1.5),
        ("true", True),
        ("null", None),
        ('"7"', "7"),
        ('{"a": [1]}', {"a": [1]}),
        ("seven", "seven"),
        ("2026-01-31", "2026-01-31"),
        ("NaN", "NaN"),
        ("", ""),
        ("[1", "[1"),
    ],
)
def test_a_word_is_json_or_text(word: str, value: object) -> None:
    assert value_of(word) == value


def test_enqueue_publishes_and_prints_the_id(here: Here) -> None:
    result = here.run("enqueue", "shop", "visit", "2026-01-31", "--kw", "name=Ada")
    (message,) = here.waiting()
    assert (result.exit_code, result.stdout) == (0, f"{message.message_id}\n")
    assert json.loads(message.body)["payload"] == {"args": ["2026-01-31"], "kwargs": {"name": "Ada"}}


def test_enqueue_passes_on_delay_id_and_queue(here: Here) -> None:
    assert here.json(
        "enqueue", "shop:app", "add", "1", "--delay", "3600", "--task-id", "sum-1", "--queue", "others"
    ) == {"task_id": "sum-1"}
    (message,) = here.waiting("others")
    assert message.message_id == "sum-1"
    assert message.enqueued_at >= json.loads(message.body)["published_at"] + 3600
    assert here.waiting() == []


def test_an_id_enqueued_twice_waits_once(here: Here) -> None:
    for _ in range(2):
        assert here.run("enqueue", "shop", "add", "1", "--task-id", "sum-1").exit_code == 0
    assert [message.message_id for message in here.waiting()] == ["sum-1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "add"], "no module 'nowhere'"),
        (["shop.py", "add"], "'shop.py' is not the name of a module"),
        (["shop:number", "add"], "shop:number is of type int, not a Boilermaker; try shop:app"),
        (["shop:nothing", "add"], "module 'shop' has no 'nothing'; try shop:app"),
        (["shop", "subtract"], "no task 'subtract'; it has: add, fail, visit"),
        (["shop", "add", "x"], "add(), parameter 'a'"),
        (["shop", "visit", "2026-01-31", "7"], """'"7"' is text"""),
        (["shop", "add"], "missing a required argument: 'a'"),
        (["shop", "add", "1", "2", "3"], "too many positional arguments"),
        (["shop", "add", "1", "--kw", "b"], "'b' is not name=value"),
        (["shop", "add", "--kw", "a=1", "--kw", "a=2"], "'a' is given twice"),
        (["shop", "add", "1", "--delay", "-1"], "--delay"),
        (["shop", "add", "1", "--task-id", "a/b"], "task_id 'a/b' contains '/'"),
    ],
)
def test_what_cannot_be_enqueued_is_refused_and_not_sent(here: Here, words: list[str], said: str) -> None:
    result = here.run("enqueue", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert here.waiting() == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import shop_of_nobody", "No module named 'shop_of_nobody'; install what it needs"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("from boilermaker_fn import Boilermaker\nBoilermaker().task(max_retries=-1)(print)", "max_retries is -1"),
    ],
)
def test_an_app_that_cannot_be_imported_says_why(here: Here, source: str, said: str) -> None:
    Path("shop.py").write_text(source)
    result = here.run("worker", "shop")
    assert result.exit_code == 2
    assert said in result.stderr


def test_enqueue_waits_for_the_value(here: Here) -> None:
    here.run("enqueue", "shop", "add", "40", "2", "--task-id", "sum-1")
    here.work("sum-1")
    result = here.run("enqueue", "shop", "add", "40", "2", "--task-id", "sum-1", "--wait")
    assert (result.exit_code, result.stdout) == (0, "sum-1\n42\n")


def test_enqueue_gives_up_waiting(here: Here) -> None:
    result = here.run("enqueue", "shop", "add", "1", "--queue", "others", "--wait", "0.01")
    assert result.exit_code == 3
    assert "has not ended yet" in result.stderr


# -- status and result


def test_a_task_that_waits(here: Here) -> None:
    here.run("enqueue", "shop", "add", "1", "--task-id", "sum-1")
    assert here.run("status", "sum-1").exit_code == 3
    assert here.json("status", "sum-1")["status"] == "pending"
    result = here.run("result", "sum-1", "--wait", "0.01")
    assert (result.exit_code, result.stdout) == (3, "")
    assert here.json("result", "sum-1")["status"] == "pending"


def test_a_task_that_succeeded(here: Here) -> None:
    here.run("enqueue", "shop", "visit", "2026-01-31", "Ada", "--task-id", "visit-1")
    here.work("visit-1")
    status = here.run("status", "visit-1", "--app", "shop")
    assert status.exit_code == 0
    assert "status     success" in status.stdout
    assert 'result     "Ada on 31.01.2026"' in status.stdout
    result = here.run("result", "visit-1")
    assert (result.exit_code, result.stdout) == (0, '"Ada on 31.01.2026"\n')
    found = here.json("result", "visit-1")
    assert (found["result"], found["attempts"], found["function_name"]) == ("Ada on 31.01.2026", 1, "visit")


def test_a_task_that_failed(here: Here) -> None:
    here.run("enqueue", "shop", "fail", "out of stock", "--task-id", "fail-1")
    here.work("fail-1")
    status = here.run("status", "fail-1")
    assert status.exit_code == 1
    assert "error      ValueError: out of stock" in status.stdout
    result = here.run("result", "fail-1", "--wait", "1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "ValueError: out of stock\n\nTraceback (most recent call last):" in result.stderr
    assert "shop.py" in result.stderr
    found = here.json("result", "fail-1")
    assert (found["reason"], found["error_type"], found["errors"]) == ("TaskFailed", "ValueError", ["out of stock"])


@pytest.mark.parametrize("command", ["status", "result"])
def test_a_task_that_does_not_exist(here: Here, command: str) -> None:
    result = here.run(command, "nobody")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no task 'nobody'" in result.stderr
    assert str(here.file) in result.stderr


def test_an_app_finds_tasks_in_its_other_queues(here: Here) -> None:
    Path("shop.py").write_text(f"{SHOP}\n@app.task(queue='others')\nasync def other(state): ...\n")
    here.run("enqueue", "shop", "other", "--task-id", "other-1")
    assert here.run("status", "other-1").exit_code == 1
    assert here.run("status", "other-1", "--app", "shop").exit_code == 3


# -- dead letters


@pytest.fixture
def failed(here: Here) -> Here:
    """Three tasks that failed, one after another."""
    for number in (1, 2, 3):
        here.run("enqueue", "shop", "fail", f"broken {number}\nfor good", "--task-id", f"fail-{number}")
        here.work(f"fail-{number}")
    return here


def test_dead_letters_are_listed_with_their_reasons(failed: Here) -> None:
    listed = failed.json("deadletters", "list")
    assert listed["queue"].startswith("boilermaker-tasks-dead-letters (")
    assert [
        (one["task_id"], one["reason"], one["function"], one["attempt"], one["error"]) for one in listed["dead_letters"]
    ] == [(f"fail-{n}", "TaskFailed", "fail", 1, f"ValueError: broken {n}\nfor good") for n in (1, 2, 3)]
    header, *lines = failed.run("deadletters", "list").stdout.splitlines()
    assert header.split()[0] == "ID"
    assert [line.endswith(f"ValueError: broken {n} for good") for n, line in enumerate(lines, 1)] == [True] * 3


def test_a_list_says_that_there_are_more(failed: Here) -> None:
    result = failed.run("deadletters", "list", "--limit", "2")
    assert len(result.stdout.splitlines()) == 3
    assert "more than 2" in result.stderr
    assert failed.json("deadletters", "list", "--limit", "2")["more"] is True
    assert failed.json("deadletters", "list", "--limit", "3")["more"] is False


def test_no_dead_letters_is_no_failure(here: Here) -> None:
    result = here.run("deadletters", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no dead letters in boilermaker-tasks-dead-letters" in result.stderr
    assert here.json("deadletters", "list")["dead_letters"] == []


def test_a_dead_letter_is_shown_whole(failed: Here) -> None:
    number = failed.json("deadletters", "list")["dead_letters"][1]["id"]
    shown = failed.json("deadletters", "show", str(number))
    assert shown["id"] == number
    assert shown["properties"]["DeadLetterReason"] == "TaskFailed"
    assert shown["properties"]["origin"] == QUEUE
    assert shown["traceback"].endswith("ValueError: broken 2\nfor good\n")
    assert shown["body"]["payload"]["args"] == ["broken 2\nfor good"]
    assert failed.json("deadletters", "show", "fail-2") == shown
    text = failed.run("deadletters", "show", "fail-2", "--app", "shop").stdout
    assert "DeadLetterReason            TaskFailed" in text
    assert "raise ValueError(text)" in text
    assert '"function_name": "fail"' in text


@pytest.mark.parametrize("letter", ["999999", "nobody", "0"])
def test_a_dead_letter_that_does_not_exist(failed: Here, letter: str) -> None:
    result = failed.run("deadletters", "show", letter)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"no dead letter {letter!r}" in result.stderr


def test_another_queue_can_be_looked_at(failed: Here) -> None:
    assert failed.json("deadletters", "list", "--queue", "others")["dead_letters"] == []
    failed.run("enqueue", "shop", "add", "1", "--queue", "others", "--task-id", "sum-1")
    assert [one["id"] for one in failed.json("deadletters", "list", "--queue", "others")["dead_letters"]]
    assert failed.json("deadletters", "list", "--queue", "others")["dead_letters"][0]["reason"] == ""


# -- configuration, and the command itself


def test_in_the_cloud_the_embedded_engine_is_refused(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBSITE_INSTANCE_ID", "x")
    result = here.run("status", "sum-1")
    assert result.exit_code == 2
    assert "give Boilermaker() an engine" in result.stderr


@pytest.mark.parametrize("words", [["status", "sum-1"], ["deadletters", "list"], ["demo", "--file", "local.db"]])
def test_a_file_that_is_no_database_is_refused(here: Here, words: list[str]) -> None:
    here.file.write_text("once upon a time " * 100)
    result = here.run(*words)
    assert result.exit_code == 2
    assert "not an SQLite database" in result.stderr


def test_the_version_and_the_exit_codes_are_said(here: Here) -> None:
    assert here.run("--version").stdout.startswith("boilermaker_fn ")
    said = here.run("--help").stdout
    assert [code for code in "0123" if f"  {code}  " in said] == ["0", "1", "2", "3"]


def test_without_the_extra_it_prints_the_install_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        boilermaker_fn.cli.main()
    assert ended.value.code == 2
    assert "pip install 'boilermaker_fn[cli]'" in capsys.readouterr().err
