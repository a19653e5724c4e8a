"""How long until a new instance has done its first task? Microsoft's runtime, from its start to the first answer.

Ours is an app with the settings of a deployed one, and a task that needs no SDK: nothing follows it and its result is
not kept. Beside it the same task on the embedded engine with its result kept, which opens a file and writes a row. Bare
is an app with one Service Bus trigger that returns; and the same one that imports what ours is built on and makes one
model. All in an environment with what a published app installs. Wall time is from starting the process to the answer to
the first message, CPU time that of the process from its start to its end.
"""

from __future__ import annotations

import asyncio
import resource
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

from .rounds import VENV, Measured, cpu, in_turn, median, ratio, table, wall

_ROUNDS: Final = 15
_PLACE: Final = VENV / "published"

#: What every contestant is told, as infra/ tells a deployed app.
_ALWAYS: Final = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
_DEPLOYED: Final = {
    "SERVICE_BUS_QUEUE_NAME": "tasks",
    "DEAD_LETTER_QUEUE_NAME": "tasks-dead-letters",
    "ServiceBusConnection__fullyQualifiedNamespace": "example.servicebus.windows.net",
    "ServiceBusConnection__credential": "managedidentity",
    "ServiceBusConnection__clientId": "00000000-0000-0000-0000-000000000000",
    "TABLE_STORAGE_URL": "https://example.table.core.windows.net",
    "WEBSITE_SITE_NAME": "example",
}

_DEPLOYED_APP: Final = "ours as deployed, before the SDK"
_OURS: Final = """
from boilermaker_fn import Boilermaker
from boilermaker_fn.functions import function_app

app = Boilermaker()

@app.taskKEEP
async def greet(state, name: str) -> str:
    return f"hello {name}"

functions = function_app(app)
"""

_BARE: Final = """
import azure.functions as func

app = func.FunctionApp()

@app.function_name("run_task")
@app.service_bus_queue_trigger(arg_name="msg", connection="ServiceBusConnection", queue_name="tasks")
async def run_task(msg: func.ServiceBusMessage) -> None: ...
"""

_BUILT_ON: Final = f"""
from pydantic import BaseModel

class Settings(BaseModel):
    queue: str = "tasks"
{_BARE}"""


def report() -> None:
    """Measure, and print the table."""
    if sys.version_info < (3, 13):
        print("\nCold start: left out, Microsoft's runtime needs Python 3.13")
        return
    python, front = _environment()
    codes = {
        "bare trigger": _BARE,
        "... with pydantic": _BUILT_ON,
        _DEPLOYED_APP: _OURS.replace("KEEP", "(keep_result=False)"),
        "ours on the embedded engine, result kept": _OURS.replace("KEEP", ""),
    }
    apps = {name: _app(f"app-{number}", code) for number, (name, code) in enumerate(codes.items())}
    once = {name: partial(_cold_start, app, python, front, name == _DEPLOYED_APP) for name, app in apps.items()}
    in_turn(once, 1)  # so that all is compiled
    results = in_turn(once, _ROUNDS)
    bare = results["bare trigger"]
    rows = [
        [name, f"{median(mine, wall):.3f}", *(f"{ratio(bare, mine, of):.2f}" for of in (wall, cpu))]
        for name, mine in results.items()
    ]
    table("Cold start to the first task done / bare trigger (target: at most 1.6)", ["", "s", "wall", "cpu"], rows)


def _cold_start(app: Path, python: Path, front: Path, deployed: bool) -> Measured:
    from tests.host.host import FunctionsHost
    from tests.host.seen import message, settings, task

    with tempfile.TemporaryDirectory() as directory:
        before, started = _of_children(), time.perf_counter()
        told = {**(_DEPLOYED if deployed else settings(Path(directory) / "tasks.db")), **_ALWAYS}
        with FunctionsHost(app, told, python=python, path=front) as host:
            asyncio.run(host.invoke("run_task", message(task("greet", "Ada", keep_result=not deployed))))
            seconds = time.perf_counter() - started
        return Measured(seconds, _of_children() - before)


def _of_children() -> float:
    used: Any = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment() -> tuple[Path, Path]:
    """The interpreter of an environment like that of a published app, and where the worker's side of the host is."""
    from tests.publish import package

    shutil.rmtree(_PLACE, ignore_errors=True)
    print(f"installing what a published app needs into {_PLACE}", flush=True)
    python = package.with_runtime(package.installed(package.ROOT / "requirements.txt", _PLACE / "venv"))
    return python.absolute(), package.front(_PLACE / "front").absolute()


def _app(name: str, code: str) -> Path:
    from tests.publish import package

    place = package.copied(package.ROOT, _PLACE / name)
    (place / "function_app.py").write_text(code)
    return place.absolute()
