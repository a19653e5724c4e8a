"""What does the host allow a task? Whatever host.json says, and whatever nonsense stands in it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.errors import ConfigurationError
from boilermaker_fn.functions import function_app
from boilermaker_fn.host_settings import HostSettings, app_directory, problems, read
from boilermaker_fn.registry import Registration

ROOT = Path(__file__).parents[2]


def settings_of(directory: Path, text: str | bytes) -> HostSettings:
    (directory / "host.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    settings = read(directory)
    assert settings is not None
    return settings


def host_json(timeout: Any = "00:30:00", renewal: Any = "00:35:00", **service_bus: Any) -> str:
    service_bus = {"maxAutoLockRenewalDuration": renewal, **service_bus}
    return json.dumps({"version": "2.0", "functionTimeout": timeout, "extensions": {"serviceBus": service_bus}})


def tasks(**timeouts: float | None) -> list[Registration]:
    app = Boilermaker()

    async def task(state: None) -> None: ...

    for name, timeout in timeouts.items():
        app.register_async(task, name=name, timeout=timeout)
    return list(app.shell.registry.values())


# -- reading


def test_the_repositorys_own_host_json_is_in_order() -> None:
    settings = read(ROOT)
    assert settings == HostSettings(1800.0, 2100.0, concurrent_calls=32, completes_messages=True)
    assert problems(settings, tasks(short=60, none=None)) == []
    assert settings.longest == 1740


def test_without_a_host_json_there_is_no_host(tmp_path: Path) -> None:
    assert read(tmp_path) is None


def test_what_is_not_said_is_as_on_flex_consumption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert settings_of(tmp_path, '{"version": "2.0"}') == HostSettings(1800.0, 300.0, 64, completes_messages=True)


@pytest.mark.parametrize(
    ("span", "seconds"),
    [
        ("00:30:00", 1800),
        ("1:00:00", 3600),
        ("00:10", 600),
        ("23:59:59", 86_399),
        ("1.00:00:00", 86_400),
        ("10.01:02:03", 867_723),
        ("00:00:00.8", 0.8),
        ("00:00:01.2345678", 1.2345678),
        ("-1", math.inf),
        (-1, math.inf),
    ],
)
def test_time_spans_are_read_as_the_host_reads_them(tmp_path: Path, span: Any, seconds: float) -> None:
    assert settings_of(tmp_path, host_json(timeout=span)).function_timeout == pytest.approx(seconds)


@pytest.mark.parametrize("span", ["-00:00:00.0010000", "-00:00:00.001", "-0.00:00:00.0010000"])
def test_locks_can_be_renewed_for_ever(tmp_path: Path, span: str) -> None:
    settings = settings_of(tmp_path, host_json("-1", span))
    assert settings.lock_renewal == math.inf
    assert problems(settings, tasks(long=100_000)) == []
    assert settings.longest is None


def test_names_are_found_as_the_host_finds_them(tmp_path: Path) -> None:
    text = '{"FunctionTimeout": "00:20:00", "extensions": {"servicebus": {"maxautolockrenewalduration": "00:25:00"}}}'
    settings = settings_of(tmp_path, b"\xef\xbb\xbf" + text.encode())  # as some editors on Windows write it
    assert (settings.function_timeout, settings.lock_renewal) == (1200, 1500)


def test_app_settings_stand_above_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AzureFunctionsJobHost__functionTimeout", "00:10:00")
    monkeypatch.setenv("AzureFunctionsJobHost__extensions__serviceBus__autoCompleteMessages", "False")
    settings = settings_of(tmp_path, host_json())
    assert (settings.function_timeout, settings.completes_messages) == (600, False)


# -- what is wrong


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", '"2.0"', "// why\n{}", b"\xff\xfe\x00", "[" * 100_000],
    ids=lambda text: repr(text)[:12],
)
def test_a_file_that_is_no_settings_is_said_once(tmp_path: Path, text: str | bytes) -> None:
    (found,) = problems(settings_of(tmp_path, text), tasks(long=100_000))
    assert found.startswith("it ")


@pytest.mark.parametrize(
    "span",
    [
        "24:00:00",
        "1800",
        1800,
        "00:60:00",
        "00:00:60",
        "30m",
        "",
        "00:00:00",
        "-00:30:00",
        "1.2.3",
        True,
        [],
        "\u0660:30:00",
    ],
)
def test_a_time_that_is_none_is_refused_with_its_name_and_value(tmp_path: Path, span: Any) -> None:
    (found,) = problems(settings_of(tmp_path, host_json(timeout=span)), tasks(long=100_000))
    assert found.startswith(f"functionTimeout is {str(span)!r}: ")


@pytest.mark.parametrize("calls", [0, -1, 1.5, "many", True])
def test_a_number_of_calls_that_is_none_is_refused(tmp_path: Path, calls: Any) -> None:
    (found,) = problems(settings_of(tmp_path, host_json(maxConcurrentCalls=calls)), [])
    assert found.startswith(f"extensions.serviceBus.maxConcurrentCalls is {str(calls)!r}: ")


def test_who_settles_is_said_with_true_or_false(tmp_path: Path) -> None:
    (found,) = problems(settings_of(tmp_path, host_json(autoCompleteMessages="yes")), [])
    assert found.startswith("extensions.serviceBus.autoCompleteMessages is 'yes': ")


@pytest.mark.parametrize(
    ("timeout", "renewal", "named"),
    [
        ("00:30:00", "00:30:00", ("00:30:00 (1800 s)", "00:24:00 (1440 s), or", "00:35:00 (2100 s)")),
        ("1.00:00:00", "00:35:00", ("1.00:00:00 (86400 s)", "00:35:00 (2100 s)", "1.00:05:00 (86700 s)")),
        ("-1", "00:35:00", ("without limit", "00:35:00 (2100 s)", "set functionTimeout to 00:28:00 (1680 s)")),
    ],
)
def test_renewal_that_ends_before_the_function_is_refused(
    tmp_path: Path, timeout: str, renewal: str, named: tuple[str, ...]
) -> None:
    (found,) = problems(settings_of(tmp_path, host_json(timeout, renewal)), [])
    assert all(value in found for value in named), found


def test_the_defaults_do_not_keep_the_order(tmp_path: Path) -> None:
    (found,) = problems(settings_of(tmp_path, "{}"), [])
    assert "functionTimeout is 00:30:00 (1800 s)" in found
    assert "maxAutoLockRenewalDuration 00:05:00 (300 s)" in found


def test_each_task_whose_timeout_comes_too_late_is_named(tmp_path: Path) -> None:
    found = problems(settings_of(tmp_path, host_json()), tasks(a=1799, b=1800, c=7200, d=None))
    assert [line.partition(" and ")[0] for line in found] == [
        "task 'b' has a timeout of 1800 s",
        "task 'c' has a timeout of 7200 s",
    ]


# -- at start


def test_a_function_app_says_all_that_is_wrong_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "host.json").write_text(
        host_json("00:30:00", "00:05:00", maxConcurrentCalls="many", autoCompleteMessages=False)
    )
    monkeypatch.setenv("AzureWebJobsScriptRoot", str(tmp_path))
    app = Boilermaker()

    @app.task(timeout=3600)
    async def slow(state: None) -> None: ...

    with pytest.raises(ConfigurationError) as caught:
        function_app(app)
    for named in ("maxConcurrentCalls", "maxAutoLockRenewalDuration", "'slow' has a timeout of 3600 s", "is false"):
        assert named in str(caught.value)


def test_the_app_is_where_the_host_says_or_where_the_process_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AzureWebJobsScriptRoot", raising=False)
    assert app_directory() == Path()
    monkeypatch.setenv("AzureWebJobsScriptRoot", "/home/site/wwwroot")
    assert app_directory() == Path("/home/site/wwwroot")


@pytest.mark.parametrize(("timeout", "longest"), [("00:30:00", 1740), ("00:05:00", 270), ("00:00:10", 9)])
def test_a_task_ends_a_little_before_its_function(tmp_path: Path, timeout: str, longest: float) -> None:
    assert settings_of(tmp_path, host_json(timeout)).longest == pytest.approx(longest)
