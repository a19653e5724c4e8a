"""Where do tasks live? What the environment says, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.config import Config
from boilermaker_fn.errors import ConfigurationError
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.service_bus import AzureServiceBus
from boilermaker_fn.tables import AzureTable
from boilermaker_fn.testing import VirtualWorker

EMULATOR = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true;"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for field, info in Config.model_fields.items():
        monkeypatch.delenv(str(info.validation_alias or field.upper()), raising=False)


def test_with_nothing_configured_it_is_a_file_here() -> None:
    wiring = Boilermaker().shell.wiring
    assert ".boilermaker/local.db" in wiring.engine.name
    assert (wiring.queue, wiring.dead_letter_queue) == ("boilermaker-tasks", "boilermaker-tasks-dead-letters")
    assert wiring.results is not None


def test_queues_are_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BUS_QUEUE_NAME", "orders")
    monkeypatch.setenv("DEAD_LETTER_QUEUE_NAME", "lake")
    wiring = Boilermaker().shell.wiring
    assert (wiring.queue, wiring.dead_letter_queue) == ("orders", "lake")


@pytest.mark.parametrize(
    "name", ["SERVICE_BUS_QUEUE_NAME", "SERVICE_BUS_NAMESPACE_URL", "ServiceBusConnection", "WEBSITE_INSTANCE_ID"]
)
def test_an_empty_setting_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    assert Boilermaker().shell.wiring.queue == "boilermaker-tasks"


@pytest.mark.parametrize(
    ("name", "value"), [("WEBSITE_INSTANCE_ID", "ab12"), ("WEBSITE_SITE_NAME", "shop"), ("CONTAINER_APP_NAME", "shop")]
)
def test_in_the_cloud_the_embedded_engine_is_not_the_default(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"{name}={value} says that this runs in the cloud"):
        _ = Boilermaker().shell.wiring
    assert not Path(".boilermaker").exists()
    assert Boilermaker({}, LocalEngine(None)).shell.wiring.results is not None  # given, it is what was asked for


@pytest.mark.parametrize(
    ("variables", "host"),
    [
        ({"SERVICE_BUS_NAMESPACE_URL": "https://shop.servicebus.windows.net"}, "shop.servicebus.windows.net"),
        (
            {"ServiceBusConnection__fullyQualifiedNamespace": "shop.servicebus.windows.net"},
            "shop.servicebus.windows.net",
        ),
        ({"ServiceBusConnection": EMULATOR}, "127.0.0.1"),
    ],
)
def test_with_service_bus_configured_tasks_live_there(
    variables: dict[str, str], host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    wiring = Boilermaker().shell.wiring
    assert wiring.engine.name == f"Service Bus {host}"
    assert (wiring.queue, wiring.dead_letter_queue) == ("boilermaker-tasks", "boilermaker-tasks-dead-letters")
    assert wiring.results is None
    monkeypatch.setenv("AzureWebJobsStorage__accountName", "shopstore")
    results = Boilermaker().shell.wiring.results
    assert results is not None
    assert isinstance(results.table, AzureTable)
    assert results.table.account.name == "'boilermaker' at https://shopstore.table.core.windows.net"
    assert not Path(".boilermaker").exists()


def test_a_store_that_is_given_comes_before_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ServiceBusConnection", EMULATOR)
    monkeypatch.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    given = AzureTable(connection_string="UseDevelopmentStorage=true", table_name="mine")
    results = Boilermaker(results_storage=given).shell.wiring.results
    assert results is not None
    assert results.table is given


def test_an_engine_that_is_given_has_the_queues_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BUS_QUEUE_NAME", "elsewhere")
    wiring = Boilermaker({}, AzureServiceBus(None, "orders", connection_string=EMULATOR)).shell.wiring
    assert (wiring.queue, wiring.dead_letter_queue) == ("orders", "orders-dead-letters")
    wiring = Boilermaker({}, AzureServiceBus(None, None, connection_string=EMULATOR)).shell.wiring
    assert (wiring.queue, wiring.dead_letter_queue) == ("elsewhere", "elsewhere-dead-letters")
    monkeypatch.setenv("DEAD_LETTER_QUEUE_NAME", "lake")
    wiring = Boilermaker({}, AzureServiceBus(None, "orders", connection_string=EMULATOR)).shell.wiring
    assert (wiring.queue, wiring.dead_letter_queue) == ("orders", "lake")
    engine = AzureServiceBus(None, "orders", connection_string=EMULATOR, dead_letter_queue_name="pond")
    assert Boilermaker({}, engine).shell.wiring.dead_letter_queue == "pond"


def test_one_queue_for_tasks_and_what_was_given_up_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEAD_LETTER_QUEUE_NAME", "orders")
    with pytest.raises(ConfigurationError, match="'orders' is the queue of tasks and of what was given up"):
        _ = Boilermaker({}, AzureServiceBus(None, "orders", connection_string=EMULATOR)).shell.wiring


def test_a_virtual_worker_has_the_queues_of_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Boilermaker({}, AzureServiceBus(None, "orders", connection_string=EMULATOR))

    @app.task(max_retries=0)
    async def fail(state: Any) -> None:
        raise ValueError("boom")

    monkeypatch.setenv("SERVICE_BUS_NAMESPACE_URL", "nowhere: not even looked at")
    with VirtualWorker(app) as worker:
        assert app.shell.queues == ("orders",)
        assert app.shell.wiring.dead_letter_queue == "orders-dead-letters"
        worker.run(app.apply_async(fail))
        worker.until_idle()
        assert [letter.reason for letter in worker.dead_letters()] == ["RetriesExhausted"]


def test_settings_that_are_wrong_do_not_matter_to_an_engine_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BUS_NAMESPACE_URL", "shop")
    monkeypatch.setenv("ServiceBusConnection", "nonsense")
    assert Boilermaker({}, LocalEngine(None)).shell.wiring.queue == "boilermaker-tasks"
    with pytest.raises(
        ConfigurationError, match=r"SERVICE_BUS_NAMESPACE_URL is 'shop'.*ServiceBusConnection is no conn"
    ):
        _ = Boilermaker().shell.wiring


@pytest.mark.parametrize("store", ["results.db", 17])
def test_what_is_no_table_is_refused(store: Any) -> None:
    with pytest.raises(ConfigurationError, match="which is no table: give Boilermaker"):
        _ = Boilermaker(results_storage=store).shell.wiring


def test_names_that_are_no_queues_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BUS_QUEUE_NAME", "bad name!")
    monkeypatch.setenv("DEAD_LETTER_QUEUE_NAME", "-")
    with pytest.raises(
        ConfigurationError, match=r"SERVICE_BUS_QUEUE_NAME is 'bad name!'.*DEAD_LETTER_QUEUE_NAME is '-'"
    ):
        _ = Boilermaker().shell.wiring


@pytest.mark.parametrize("engine", ["tasks.db", 17])
def test_what_is_no_engine_is_refused(engine: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no engine: give Boilermaker"):
        _ = Boilermaker({}, engine).shell.wiring


async def test_a_worker_is_started_once() -> None:
    worker = Boilermaker({}, LocalEngine(None)).worker()
    await worker.start()
    with pytest.raises(RuntimeError, match="started before"):
        await worker.start()
    await worker.stop()
    with pytest.raises(RuntimeError, match="started before"):
        await worker.start()


@pytest.mark.parametrize(("option", "value"), [("concurrency", 0), ("concurrency", "2"), ("grace", -1), ("grace", "5")])
def test_a_worker_of_wrong_measure_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{option} is {value!r}"):
        Boilermaker().worker(**{option: value})
