"""`boilermaker-fn doctor`, as it is typed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from boilermaker_fn import Boilermaker
from boilermaker_fn.cli.commands import cli
from boilermaker_fn.cli.doctor.checkup import checkup
from boilermaker_fn.cli.doctor.findings import Level
from boilermaker_fn.config import Config
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.local.queue import Rules
from tests.azurite import a_table_name, connection_string
from tests.emulated import EmulatorProcess

QUEUES = {"orders": Rules(), "orders-dead-letters": Rules()}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for field, info in Config.model_fields.items():
        monkeypatch.delenv(str(info.validation_alias or field.upper()), raising=False)


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *arguments])


def test_on_a_laptop() -> None:
    result = doctor()
    assert result.exit_code == 0, result.output
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["ok", "versions"],
        ["ok", "settings"],
        ["ok", "file"],
        ["ok", "disk"],
    ]
    assert result.stderr == "no problems, no warnings\n"


def test_settings_that_are_wrong_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BUS_NAMESPACE_URL", "shop")
    monkeypatch.setenv("SERVICE_BUS_QUEUE_NAME", "bad name!")
    result = doctor("--json")
    assert result.exit_code == 2
    answer = json.loads(result.stdout)
    assert answer["worst"] == "problem"
    assert [(one["found"], one["remedy"]) for one in answer["findings"] if one["check"] == "settings"] == [
        (
            "SERVICE_BUS_QUEUE_NAME is 'bad name!'",
            "the name of a queue has 1 to 260 letters, digits and ._-/ and begins and ends with a letter or digit",
        ),
        (
            "SERVICE_BUS_NAMESPACE_URL is 'shop'",
            "give the host name of the namespace, such as my-namespace.servicebus.windows.net",
        ),
    ]


async def test_an_app_that_works_the_queue_for_dead_letters() -> None:
    app = Boilermaker(None, LocalEngine(None))

    @app.task(queue="boilermaker-tasks-dead-letters")
    async def nothing(state: None) -> None: ...

    (finding,) = [finding for finding in await checkup(app) if finding.level is Level.PROBLEM]
    assert finding.check == "settings"
    assert "to be worked, and to get what was given up" in finding.found


def test_an_app_that_does_not_exist() -> None:
    result = doctor("--app", "nowhere:app")
    assert result.exit_code == 2
    assert "there is no module 'nowhere'" in result.stderr


def test_against_emulator_and_azurite(azurite: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "doctors_shop.py").write_text(
        "from boilermaker_fn import Boilermaker\napp = Boilermaker()\n\n\n@app.task(queue='slow')\ndef f(state): ...\n"
    )
    monkeypatch.setenv("SERVICE_BUS_QUEUE_NAME", "orders")
    monkeypatch.setenv("AzureWebJobsStorage", connection_string(azurite))
    monkeypatch.setenv("BOILERMAKER_TABLE_NAME", a_table_name())
    with EmulatorProcess(tmp_path, QUEUES) as emulator:
        monkeypatch.setenv("ServiceBusConnection", emulator.connection_string)
        well, ill = doctor(), doctor("--app", "doctors_shop")
    assert well.exit_code == 0, well.output
    assert {line.split()[1] for line in well.stdout.splitlines() if line.startswith("ok")} >= {
        "settings",
        "namespace",
        "connection",
        "token",
        "queue",
        "clock",
    }
    assert "warning  table" in well.stdout
    assert "is not there yet" in well.stdout
    assert well.stderr == "no problems, 1 warning\n"
    assert ill.exit_code == 2
    (line,) = [line for line in ill.stdout.splitlines() if line.startswith("problem")]
    assert "queue slow" in line
    assert "does not exist in 127.0.0.1  -> add it to the emulator's configuration" in line


def test_on_a_terminal_remedies_stand_below(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from boilermaker_fn.cli.doctor import command
    from boilermaker_fn.cli.doctor.findings import ok, problem

    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    command._print([ok("clock", "agrees"), problem("queue orders", "does not exist", "create it: az " + "x" * 300)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "does not exist" in lines[1]
    assert lines[2].strip().startswith("-> create it: az xxx")


def test_the_doctor_asks_for_no_loop_of_its_own() -> None:
    async def inside() -> int:
        result = await asyncio.to_thread(doctor)
        return result.exit_code

    assert asyncio.run(inside()) == 0
