"""Which functions does an app become, and what becomes of a trigger's message? Without a host, on every Python."""

from __future__ import annotations

import asyncio
import datetime
import importlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from azure.functions import FunctionApp
from azure.functions.servicebus import ServiceBusMessage

from boilermaker_fn import Boilermaker, Task
from boilermaker_fn.config import Config
from boilermaker_fn.envelopes import encode
from boilermaker_fn.errors import ConfigurationError, MissingExtra
from boilermaker_fn.functions import delivery_of, function_app
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.results import ResultStore
from boilermaker_fn.task.result import TaskStatus

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    formatters = [(handler, handler.formatter) for handler in logging.getLogger().handlers]
    yield
    structlog.reset_defaults()
    for handler, formatter in formatters:
        handler.setFormatter(formatter)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVICE_BUS_QUEUE_NAME", raising=False)


def app_with_queues(*queues: str) -> Boilermaker:
    app = Boilermaker()

    async def task(state: None) -> None:
        return None

    for number, queue in enumerate(queues):
        app.register_async(task, name=f"task-{number}", queue=queue)
    return app


def triggers(functions: FunctionApp) -> dict[str, str]:
    """The queue of each function."""
    return {f.get_function_name(): f.get_bindings_dict()["bindings"][0]["queueName"] for f in functions.get_functions()}


def message(body: bytes = b"", **fields: Any) -> ServiceBusMessage:
    given = {"message_id": "m", "application_properties": {}, "user_properties": {}, **fields}
    return ServiceBusMessage(body=body, **given)


# -- triggers ----------------------------------------------------------------------------------------------------------


def test_without_a_setting_the_trigger_names_the_queue_that_publishers_use() -> None:
    assert triggers(function_app(Boilermaker())) == {
        "run_task": Config().service_bus_queue_name,
        "reap_dead_letters": f"{Config().service_bus_queue_name}/$deadletterqueue",
    }


def test_with_a_setting_the_host_resolves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BUS_QUEUE_NAME", "tasks")
    assert triggers(function_app(Boilermaker()))["run_task"] == "%SERVICE_BUS_QUEUE_NAME%"


def test_a_queue_has_one_trigger_however_often_and_however_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BUS_QUEUE_NAME", "tasks")
    app = app_with_queues("tasks", "letters", "letters")
    assert list(triggers(function_app(app))) == [
        "run_task",
        "reap_dead_letters",
        "run_task_letters",
        "reap_dead_letters_letters",
    ]


@pytest.mark.parametrize("queue", ["boilermaker-tasks-dead-letters", "Boilermaker-Tasks-Dead-Letters"])
def test_a_queue_of_tasks_that_is_the_one_for_dead_letters_is_refused(queue: str) -> None:
    with pytest.raises(ConfigurationError, match="to be worked, and to get what was given up"):
        function_app(app_with_queues(queue))


def test_two_spellings_of_a_queue_are_one() -> None:
    queues = triggers(function_app(app_with_queues("Boilermaker-Tasks", "letters", "Letters")))
    assert [queue for name, queue in queues.items() if name.startswith("run_task")] == ["boilermaker-tasks", "letters"]


def test_a_queue_whose_functions_would_have_too_long_a_name_is_refused() -> None:
    function_app(app_with_queues("q" * 110))
    with pytest.raises(ConfigurationError, match="which has 129 characters; the host takes 128"):
        function_app(app_with_queues("q" * 111))


def test_queues_whose_functions_would_have_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'a\.b' and 'A-b' .* run_task_A_b"):
        function_app(app_with_queues("a.b", "A-b"))


def imported(*costly: str, after: str, **settings: str) -> list[str]:
    """Which of these modules a fresh interpreter has imported when a function app is made, and `after` has run."""
    program = f"""
import asyncio, sys
from boilermaker_fn import Boilermaker
from boilermaker_fn.functions import function_app
app = Boilermaker()
functions = function_app(app).get_functions()
{after}
print(*[name for name in {costly} if name in sys.modules])
"""
    # Measuring coverage would import sqlite3.
    uncovered = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=uncovered | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.split()


DEPLOYED = {
    "ServiceBusConnection__fullyQualifiedNamespace": "shop.servicebus.windows.net",
    "AzureWebJobsStorage__accountName": "shop",
}
SDKS = ("azure.servicebus", "azure.identity", "azure.data", "azure.core", "aiohttp", "opentelemetry")


def test_until_the_first_message_nothing_is_imported_that_is_not_used() -> None:
    assert imported("structlog", "multiprocessing", "boilermaker_fn.runner", *SDKS, after="") == []


def test_an_app_without_structlog_runs_without_it() -> None:
    after = "from boilermaker_fn.telemetry import logs; logs.configure_within_host(); app.shell.runner()"
    assert imported("structlog", "boilermaker_fn.runner", after=after) == ["boilermaker_fn.runner"]


def test_until_it_is_used_no_sdk_is_imported_where_it_is_configured() -> None:
    made = "app.shell.runner()"
    assert imported(*SDKS, after=made, **DEPLOYED) == []
    assert imported("boilermaker_fn.service_bus", "boilermaker_fn.tables", after=made, **DEPLOYED) != []


@pytest.mark.parametrize("settings", [DEPLOYED, {}], ids=["deployed", "embedded"])
def test_settings_are_read_without_the_class_for_code_that_gives_some(settings: dict[str, str]) -> None:
    costly = ("pydantic_settings", "boilermaker_fn.config", "boilermaker_fn.settings")
    assert imported(*costly, after="app.shell.runner()", **settings) == ["boilermaker_fn.settings"]


def test_without_azure_functions_the_error_is_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.functions", None)
    monkeypatch.delitem(sys.modules, "boilermaker_fn.functions")
    with pytest.raises(MissingExtra, match=r"pip install 'boilermaker_fn\[functions\]'"):
        importlib.import_module("boilermaker_fn.functions")


# -- messages ----------------------------------------------------------------------------------------------------------


def test_a_message_becomes_a_delivery() -> None:
    noon = datetime.datetime(2030, 1, 1, 12)  # as the host sends it: UTC, and it does not say so
    given = message(
        b"body",
        message_id="id",
        sequence_number=7,
        delivery_count=3,
        enqueued_time_utc=noon,
        application_properties={
            "text": "a",
            "number": 2,
            "flag": True,
            "none": None,
            "list": [1],
            b"bytes": b"as from AMQP",
        },
    )
    delivery = delivery_of(given, "tasks")
    assert (delivery.queue, delivery.message_id, delivery.body) == ("tasks", "id", b"body")
    assert (delivery.sequence_number, delivery.delivery_count) == (7, 3)
    assert delivery.enqueued_at == datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC).timestamp()
    assert delivery.properties == {"text": "a", "number": 2, "flag": True, "list": "[1]", "bytes": "as from AMQP"}


def test_what_a_message_lacks_has_a_meaning() -> None:
    bare = delivery_of(message(b"one", message_id=None, application_properties=None), "tasks")
    other = delivery_of(message(b"two", message_id=None, application_properties=None), "tasks")
    assert (bare.message_id, bare.delivery_count, bare.enqueued_at, bare.properties) == ("", 1, 0.0, {})
    assert bare.sequence_number != other.sequence_number
    assert bare.sequence_number == delivery_of(message(b"one"), "tasks").sequence_number


def test_each_event_loop_has_its_own_runner() -> None:
    engine = LocalEngine()
    app = Boilermaker("state", engine)

    @app.task
    async def task(state: str) -> str:
        return state

    run_task = function_app(app).get_functions()[0].get_user_function()
    tasks = [Task(function_name="task") for _ in range(2)]
    for one in tasks:  # each in a loop that ends
        asyncio.run(run_task(message(encode(one), message_id=one.task_id)))

    assert engine.table is not None
    store = ResultStore(engine.table)
    rows = [asyncio.run(store.read(one.task_id)) for one in tasks]
    assert [row and row.status for row in rows] == [TaskStatus.Success, TaskStatus.Success]
    asyncio.run(engine.close())


# -- files of the repository -------------------------------------------------------------------------------------------


def test_no_message_waits_in_the_memory_of_a_host() -> None:
    assert json.loads((ROOT / "host.json").read_text())["extensions"]["serviceBus"]["prefetchCount"] == 0


def test_the_sample_settings_are_those_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    values = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    config = Config()
    assert config.service_bus_namespace_url == values["ServiceBusConnection__fullyQualifiedNamespace"]
    assert config.service_bus_queue_name == values["SERVICE_BUS_QUEUE_NAME"]
    assert config.dead_letter_queue == values["DEAD_LETTER_QUEUE_NAME"]
    assert config.boilermaker_table_name == values["BOILERMAKER_TABLE_NAME"]
    assert config.table_connection_string == values["AzureWebJobsStorage"]
    assert config.problems() == []
