"""Every snippet of boilermaker-servicebus's documentation does here what it says there; only the import changes."""

from __future__ import annotations

import ast
import asyncio
import inspect
import itertools
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from boilermaker_fn import Boilermaker, retries
from boilermaker_fn.config import Config
from boilermaker_fn.emulator import Emulator
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.local.queue import Rules
from boilermaker_fn.service_bus import AzureServiceBus
from boilermaker_fn.task import TaskStatus
from tests.emulated import emulated
from tests.stage import ManualClock, Stage, staged

QUEUE = "orders"
FOLDER = Path(__file__).parent / "snippets"
SNIPPETS = {
    f"{page.stem}: {name}": code
    for page in sorted(FOLDER.glob("*.md"))
    for name, code in re.findall(r"^## (.+?)\n\n```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
}


async def run(name: str, **names: Any) -> dict[str, Any]:
    """Run a snippet as if it stood in a module with `names`; what it defines."""
    code = compile(SNIPPETS[name], name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    namespace = {"__name__": "snippet", "retries": retries, **names}
    if code.co_flags & inspect.CO_COROUTINE:
        await eval(code, namespace)
    else:
        exec(code, namespace)
    return namespace


async def snippet(name: str, **names: Any) -> dict[str, Any]:
    """Run a snippet of the first page."""
    return await run(f"basic-concepts: {name}", **names)


async def test_a_task(stage: Stage) -> None:
    my_task = (await snippet("a task"))["my_task"]
    stage.app.register_async(my_task)
    handle = await stage.app.apply_async(my_task, "user-17", priority="high")
    assert await stage.play() == ["success"]
    assert await handle.result(timeout=1) == "Task completed"


async def test_state() -> None:
    clock = ManualClock()
    engine = LocalEngine(None, clock=clock)
    app = (
        await snippet(
            "state", Boilermaker=Boilermaker, service_bus_client=engine, get_db_connection=lambda: "a database"
        )
    )["app"]
    async with staged(app, engine=engine, clock=clock) as stage:

        @app.task()
        async def count(state: Any) -> str:
            state.metrics["processed"] += 1
            return str(state.database)

        handle = await app.apply_async(count)
        await app.apply_async(count)
        await stage.play()
        assert await handle.result(timeout=1) == "a database"
        assert app.state.metrics == {"processed": 2}


async def test_the_app() -> None:
    state, engine = {"any": "state"}, LocalEngine()
    app = (await snippet("the app", your_app_state=state, client=engine))["app"]
    assert app.state is state
    assert app.shell.wiring.engine is engine
    await app.close()


async def test_registration(stage: Stage) -> None:
    names = await snippet("registration", app=stage.app)
    upper = await stage.app.apply_async(names["decorated_task"], "Text")
    lower = await stage.app.apply_async(names["regular_task"], "Text")
    assert await stage.play() == ["success"] * 2
    assert (await upper.result(timeout=1), await lower.result(timeout=1)) == ("TEXT", "text")
    policy = stage.app.shell.registry["regular_task"].policy
    assert (policy.max_tries, policy.delay) == (5, 120)


async def test_scheduling(stage: Stage) -> None:
    @stage.app.task()
    async def my_task(state: list[str], first: str, keyword: str) -> None:
        state.append(first + keyword)

    await snippet("scheduling", app=stage.app, my_task=my_task)
    assert await stage.play() == ["success"]
    assert stage.app.state == ["arg1arg2"]


async def test_execution() -> None:
    app = Boilermaker([], LocalEngine())

    @app.task()
    async def my_task(state: list[str]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        state.append("ran")

    await app.apply_async(my_task)
    async with asyncio.timeout(30):
        await snippet("execution", app=app)  # until the signal
    assert app.state == ["ran"]


def registered(stage: Stage) -> Any:
    """A task function that fails."""

    @stage.app.task()
    async def my_function(state: list[str]) -> None:
        state.append("started")
        raise ValueError("boom")

    return my_function


async def test_acks_late(stage: Stage) -> None:
    task = (await snippet("acks late", app=stage.app, my_function=registered(stage)))["task"]
    await stage.app.publish_task(task)
    await stage.crash()  # before it could start: nothing is lost
    await stage.play()
    assert stage.app.state == ["started"]


async def test_acks_early(stage: Stage) -> None:
    task = (await snippet("acks early", app=stage.app, my_function=registered(stage)))["task"]
    await stage.app.publish_task(task)
    await stage.crash()  # it may have started: at most once
    await stage.play()
    assert stage.app.state == []
    assert await stage.reasons() == ["LostAfterEarlyAck"]


async def test_retry_policies(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    policies = []
    policy_class = retries.RetryPolicy
    monkeypatch.setattr(retries, "RetryPolicy", lambda **fields: policies.append(policy_class(**fields)))
    await snippet("retry policies")
    monkeypatch.undo()
    expected = [[60, 60], [30, 60, 120, 240], [30, 60, 90]]  # seconds, as the comments there say
    for number, (policy, delays) in enumerate(zip(policies, expected, strict=True)):

        @stage.app.task(name=f"flaky-{number}", policy=policy)
        async def flaky(state: list[float]) -> None:
            state.append(stage.clock.now)
            raise retries.RetryException("not today")

        stage.app.state.clear()
        await stage.app.publish_by_name(f"flaky-{number}")
        await stage.play()
        times = stage.app.state
        assert [round(later - sooner) for sooner, later in itertools.pairwise(times)] == delays


class TransientError(Exception):
    """Goes away by itself."""


class PermanentError(Exception):
    """Does not."""


async def test_raising_to_retry(stage: Stage) -> None:
    calls: list[str] = []

    async def external_api_call(data: str) -> str:
        calls.append(data)
        if data == "broken":
            raise PermanentError("no such thing")
        if len(calls) == 1:
            raise TransientError("busy")
        return f"answer to {data}"

    names = {"TransientError": TransientError, "PermanentError": PermanentError, "external_api_call": external_api_call}
    fragile_task = (await snippet("raising to retry", **names))["fragile_task"]
    stage.app.register_async(fragile_task)
    good = await stage.app.apply_async(fragile_task, "question")
    assert await stage.play() == ["retry", "success"]
    assert await good.result(timeout=1) == "answer to question"
    assert stage.clock.passed == 120
    await stage.app.apply_async(fragile_task, "broken")
    assert await stage.play() == ["failure"]  # not tried again
    (letter,) = await stage.letters()
    assert letter.properties["DeadLetterErrorDescription"] == f"{__name__}.PermanentError: no such thing"


async def test_returning_a_failure(stage: Stage) -> None:
    names = {"is_valid_email": lambda email: "@" in email, "send_email": lambda email: f"sent to {email}"}
    validation_task = (await snippet("returning a failure", **names))["validation_task"]
    stage.app.register_async(validation_task)

    @stage.app.task()
    async def alert(state: list[str]) -> None:
        state.append("alert")

    good = await stage.app.apply_async(validation_task, "somebody@example.com")
    bad = stage.app.create_task(validation_task, "nobody")
    bad.on_failure = stage.app.create_task(alert)
    await stage.app.publish_task(bad)
    assert await stage.play() == ["success", "failure", "success"]
    assert await good.result(timeout=1) == "sent to somebody@example.com"
    assert stage.app.state == ["alert"]
    assert (await stage.app.handle(bad.task_id).info()).status is TaskStatus.Failure


async def test_dead_letters(stage: Stage) -> None:
    my_function = registered(stage)
    task = (await snippet("dead letters", app=stage.app, my_function=my_function))["task"]
    assert task.should_dead_letter is False  # what it sets last
    await stage.app.publish_task(task)
    assert await stage.play() == ["failure"]
    assert await stage.letters() == []
    task = stage.app.create_task(my_function)
    task.should_dead_letter = True
    await stage.app.publish_task(task)
    assert await stage.play() == ["failure"]
    assert await stage.reasons() == ["TaskFailed"]


def noting(stage: Stage, *names: str) -> dict[str, Any]:
    """Task functions that put their name and arguments into the state, and fail when told so."""

    def made(name: str) -> Any:
        async def function(state: list[Any], *args: Any) -> None:
            state.append((name, *args))
            if "fail" in args:
                raise ValueError("boom")

        function.__name__ = name
        stage.app.register_async(function)
        return function

    return {name: made(name) for name in names}


async def test_success_callback(stage: Stage) -> None:
    names = noting(stage, "process_data", "send_notification")
    task = (await snippet("success callback", app=stage.app, **names))["main_task"]
    await stage.app.publish_task(task)
    await stage.play()
    assert stage.app.state == [("process_data", "input"), ("send_notification", "success")]


async def test_failure_callback(stage: Stage) -> None:
    names = noting(stage, "risky_operation", "send_alert")
    task = (await snippet("failure callback", app=stage.app, data="fail", **names))["main_task"]
    await stage.app.publish_task(task)
    await stage.play()
    assert stage.app.state == [("risky_operation", "fail"), ("send_alert", "failure")]
    assert await stage.reasons() == ["TaskFailed"]


async def test_chain(stage: Stage) -> None:
    names = noting(stage, "step1", "step2", "step3", "cleanup_handler")
    await snippet("chain", app=stage.app, data="input", **names)
    await stage.play()
    assert stage.app.state == [("step1", "input"), ("step2",), ("step3",)]


async def test_chain_that_breaks(stage: Stage) -> None:
    names = noting(stage, "step1", "step2", "step3", "cleanup_handler")
    await snippet("chain", app=stage.app, data="fail", **names)
    await stage.play()
    assert stage.app.state == [("step1", "fail"), ("cleanup_handler",)]


def on_the_emulator(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BUS_CONNECTION_STRING", emulator.connection_string)
    monkeypatch.setenv("SERVICE_BUS_QUEUE_NAME", QUEUE)


async def test_explicit_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BUS_NAMESPACE_URL", "https://shop.servicebus.windows.net")
    monkeypatch.setenv("SERVICE_BUS_QUEUE_NAME", QUEUE)
    config = (await snippet("explicit configuration"))["config"]
    assert config.service_bus_namespace_url == "https://my-namespace.servicebus.windows.net"
    assert config.service_bus_queue_name == "my-queue"
    engine = AzureServiceBus.from_config(config)
    assert (engine.name, engine.queue) == ("Service Bus my-namespace.servicebus.windows.net", "my-queue")


async def test_managed_identity() -> None:
    config = (await snippet("managed identity", Config=Config))["config"]
    credential = config.az_credential()
    assert "ManagedIdentityCredential" in {type(one).__name__ for one in credential.credentials}
    await credential.close()


async def test_basic_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    async with emulated({QUEUE: Rules(), f"{QUEUE}-dead-letters": Rules()}) as emulator:
        on_the_emulator(emulator, monkeypatch)
        names = await run("index: basic usage")
        app = names["app"]
        await names["publish_tasks"]()
        inbox = app.shell.wiring.engine.inbox(QUEUE)
        async with app, asyncio.timeout(60):
            while await inbox.peek(1):
                await asyncio.sleep(0.1)  # as long as they are worked on
        assert app.state.data == {"processed_count": 2}


async def test_running_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    async with emulated({QUEUE: Rules(), f"{QUEUE}-dead-letters": Rules()}) as emulator:
        on_the_emulator(emulator, monkeypatch)

        async def process_data(state: list[str], data_id: str) -> None:
            state.append(data_id)
            os.kill(os.getpid(), signal.SIGTERM)

        names = await run("index: running workers", AppState=list, process_data=process_data)
        app = names["app"]
        await app.apply_async(process_data, "data_123")
        async with asyncio.timeout(60):
            await names["run_worker"]()  # until the signal
        assert app.state == ["data_123"]
        assert await app.shell.wiring.engine.inbox(QUEUE).peek(1) == []
        await app.close()


def graph_functions(stage: Stage) -> dict[str, Any]:
    """What the snippet of a graph runs; the last two get no argument there."""

    async def fetch_data(state: list[str], endpoint: str) -> None:
        state.append(f"fetched {endpoint}")
        if endpoint == stage.app.state[0]:
            raise ValueError("boom")

    async def process_data(state: list[str], data: str = "what was fetched") -> None:
        state.append(f"processed {data}")

    async def save_results(state: list[str], results: str = "what was processed") -> None:
        state.append(f"saved {results}")

    async def cleanup_on_error(state: list[str]) -> None:
        state.append("cleaned up")

    functions = [fetch_data, process_data, save_results, cleanup_on_error]
    stage.app.register_many_async(functions)
    return {function.__name__: function for function in functions}


async def test_task_graph(stage: Stage) -> None:
    stage.app.state.append("another endpoint")
    await run("index: task graph", app=stage.app, **graph_functions(stage))
    await stage.play()
    assert stage.app.state[1:] == ["fetched api-endpoint", "processed what was fetched", "saved what was processed"]


async def test_task_graph_that_fails(stage: Stage) -> None:
    stage.app.state.append("api-endpoint")
    await run("index: task graph", app=stage.app, **graph_functions(stage))
    await stage.play()
    assert stage.app.state[1:] == ["fetched api-endpoint", "cleaned up"]
    assert await stage.reasons() == ["TaskFailed"]


def test_every_snippet_is_run() -> None:
    assert len(SNIPPETS) == 20
    text = Path(__file__).read_text()
    named = {f"basic-concepts: {name}" for name in re.findall(r'snippet\(\s*"([^"]+)"', text)}
    assert named | set(re.findall(r'run\("(index: [^"]+)"', text)) == set(SNIPPETS)
