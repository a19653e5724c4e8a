"""What becomes of a task that hangs, that blocks, or that is interrupted, in a function app?"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from azure.functions.servicebus import ServiceBusMessage

from boilermaker_fn import Boilermaker
from boilermaker_fn.errors import Held
from boilermaker_fn.functions import function_app
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.messages import DEAD_LETTER_REASON
from boilermaker_fn.outcomes import Reason
from boilermaker_fn.task.result import TaskStatus
from tests.host.host import FunctionsHost, RequestFailed
from tests.host.seen import Seen, message, settings, task

_APP = """
import asyncio, time
from boilermaker_fn import Boilermaker
from boilermaker_fn.functions import function_app

app = Boilermaker()

@app.task
async def hang(state) -> None:
    await asyncio.sleep(3600)

@app.task
async def block(state) -> str:
    time.sleep(0.6)
    return "done"

functions = function_app(app)
"""


@pytest.fixture
def place(tmp_path: Path, runtime: None) -> Path:
    """The directory of a function app whose host is in a hurry."""
    renewal = {"extensions": {"serviceBus": {"maxAutoLockRenewalDuration": "00:00:02"}}}
    (tmp_path / "host.json").write_text(json.dumps({"version": "2.0", "functionTimeout": "00:00:01", **renewal}))
    (tmp_path / "function_app.py").write_text(_APP)
    return tmp_path


async def test_a_task_that_hangs_ends_before_the_host_ends_the_process(place: Path) -> None:
    file, hanging = place / "tasks.db", message(task("hang", timeout=7200))
    with FunctionsHost(place, settings(file)) as host:
        await host.invoke("run_task", hanging)
    engine = LocalEngine(file)
    letter = await Seen(engine).letter(hanging.body)
    await engine.close()
    assert letter.properties[DEAD_LETTER_REASON] == Reason.TimedOut
    assert "0.9 s" in str(letter.properties["DeadLetterErrorDescription"])


async def test_the_host_hears_which_task_blocked_the_loop_and_for_how_long(place: Path) -> None:
    blocking = task("block")
    with FunctionsHost(place, settings(place / "tasks.db")) as host:
        await host.invoke("run_task", message(blocking))
    lines = [json.loads(log.message) for log in host.logs if "blocked" in log.message]
    assert [(line["level"], line["task_id"], line["function"]) for line in lines] == [
        ("warning", blocking.task_id, "block")
    ]
    assert lines[0]["event"].startswith("block blocked the event loop for ")
    assert lines[0]["blocked_seconds"] >= 0.6


async def test_an_app_whose_host_json_is_wrong_does_not_start(place: Path) -> None:
    (place / "host.json").write_text('{"version": "2.0", "functionTimeout": "00:10:00"}')
    wrong = r"functionTimeout is 00:10:00 \(600 s\) and .*maxAutoLockRenewalDuration 00:05:00 \(300 s\)"
    with pytest.raises(RequestFailed, match=wrong), FunctionsHost(place, settings(place / "tasks.db")):
        pass


async def test_interrupted_work_goes_back_and_no_attempt_is_used(tmp_path: Path) -> None:
    engine = LocalEngine(tmp_path / "tasks.db")
    app, started = Boilermaker(None, engine), asyncio.Event()
    began: list[str] = []

    @app.task(max_retries=3)
    async def work(state: None) -> str:
        began.append("again" if began else "first")
        if began == ["first"]:
            started.set()
            await asyncio.Event().wait()
        return "done"

    run_task = function_app(app).get_functions()[0].get_user_function()
    handle = await app.apply_async(work)
    inbox = engine.inbox(app.shell.wiring.queue)
    (delivery,) = await inbox.receive(1, 0)

    def triggered(count: int) -> ServiceBusMessage:
        return ServiceBusMessage(
            body=delivery.body,
            message_id=delivery.message_id,
            delivery_count=count,
            application_properties={},
            user_properties={},
        )

    invocation = asyncio.ensure_future(run_task(triggered(1)))
    await started.wait()
    invocation.cancel()
    with pytest.raises(Held, match="goes back to the queue"):
        await invocation
    assert [m.message_id for m in await inbox.peek(10)] == [delivery.message_id], "nothing else was sent"
    assert await Seen(engine).row(handle.task_id) is None

    await run_task(triggered(2))
    row = await Seen(engine).row(handle.task_id)
    await engine.close()
    assert row is not None
    assert (row.status, row.result, row.attempts) == (TaskStatus.Success, '"done"', 1)
    assert began == ["first", "again"]
