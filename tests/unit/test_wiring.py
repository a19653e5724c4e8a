"""Where do tasks live? What the environment says, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.errors import ConfigurationError
from boilermaker_fn.local import LocalEngine


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("WEBSITE_INSTANCE_ID", "CONTAINER_APP_NAME", "SERVICE_BUS_NAMESPACE_URL", "SERVICE_BUS_QUEUE_NAME"):
        monkeypatch.delenv(name, raising=False)


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


@pytest.mark.parametrize("name", ["SERVICE_BUS_QUEUE_NAME", "SERVICE_BUS_NAMESPACE_URL", "WEBSITE_INSTANCE_ID"])
def test_an_empty_setting_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    assert Boilermaker().shell.wiring.queue == "boilermaker-tasks"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEBSITE_INSTANCE_ID", "ab12"),
        ("CONTAINER_APP_NAME", "shop"),
        ("SERVICE_BUS_NAMESPACE_URL", "https://shop.servicebus.windows.net"),
        ("ServiceBusConnection__fullyQualifiedNamespace", "shop.servicebus.windows.net"),
        ("ServiceBusConnection", "Endpoint=sb://shop"),
    ],
)
def test_in_the_cloud_the_embedded_engine_is_not_the_default(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=value):
        _ = Boilermaker().shell.wiring
    assert not Path(".boilermaker").exists()
    assert Boilermaker({}, LocalEngine(None)).shell.wiring.results is not None  # given, it is what was asked for


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
