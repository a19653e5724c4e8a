"""What does the host hear of its worker? Log lines, messages that go back, and its end."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from boilermaker_fn.messages import DEAD_LETTER_REASON
from boilermaker_fn.outcomes import Reason
from tests.host.host import FunctionsHost, Incoming, RequestFailed, RuntimeDied
from tests.host.rpc import protos
from tests.host.seen import Seen, message, task

# -- logs --------------------------------------------------------------------------------------------------------------


async def test_the_lines_of_concurrent_tasks_do_not_mix(host: FunctionsHost) -> None:
    heard = {t.task_id: t for t in (task("listen", [f"{n}-{topic}" for topic in "abc"]) for n in range(32))}
    await asyncio.gather(*(host.invoke("run_task", message(listening)) for listening in heard.values()))

    said: dict[str, list[str]] = {task_id: [] for task_id in heard}
    for log in host.logs:
        if not log.category.startswith("shop"):
            continue
        line = json.loads(log.message)
        assert (line["function"], line["message_id"]) == ("listen", line["task_id"])
        if log.category == "shop":
            assert log.level == protos.RpcLog.Information
            said[line["task_id"]].append(f"{line['event']} {line['topic']}")
        else:
            assert log.level == protos.RpcLog.Warning
            said[line["task_id"]].append(line["event"])
    for task_id, listening in heard.items():
        topics = listening.payload["args"][0]
        assert said[task_id] == [line for topic in topics for line in (f"heard {topic}", f"repeated {topic}")]


async def test_the_host_decides_which_levels_are_logged(host: FunctionsHost) -> None:
    greeting = task("greet", "Edsger")
    await host.invoke("run_task", message(greeting))
    lines = [json.loads(log.message) for log in host.logs if greeting.task_id in log.message]
    assert [line["level"] for line in lines] == ["info", "info"]
    assert [line["event"].split()[0] for line in lines] == ["started", "succeeded"]


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_message_that_cannot_be_settled_goes_back(host: FunctionsHost, seen: Seen, file: Path) -> None:
    garbage = Incoming(b"garbage while the file is locked", "held")
    with closing(sqlite3.connect(file, isolation_level=None)) as other_process:
        other_process.execute("BEGIN IMMEDIATE")
        with pytest.raises(RequestFailed, match=r"Held: message 'held' goes back to the queue"):
            await host.invoke("run_task", garbage)
        other_process.execute("ROLLBACK")
    await host.invoke("run_task", replace(garbage, delivery_count=2))
    assert (await seen.letter(garbage.body)).properties[DEAD_LETTER_REASON] == Reason.InvalidTaskFormat


@pytest.mark.usefixtures("runtime")
def test_an_app_that_cannot_be_indexed_says_why(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text("raise RuntimeError('no steam')")
    with pytest.raises(RequestFailed, match="no steam"), FunctionsHost(tmp_path, {}):
        pass


@pytest.mark.usefixtures("runtime")
def test_a_dead_runtime_is_noticed_with_its_last_words(tmp_path: Path) -> None:
    words = "import os, sys; print('out of steam', file=sys.stderr, flush=True); os._exit(3)"
    (tmp_path / "function_app.py").write_text(words)
    with pytest.raises(RuntimeDied, match="out of steam"), FunctionsHost(tmp_path, {}):
        pass
