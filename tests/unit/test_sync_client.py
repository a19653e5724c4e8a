"""Code without an event loop publishes and waits, from any thread."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Iterator

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.errors import ArgumentError, OptionError, ResultTimeout, TaskFailed
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.sync_client import BackgroundLoop, SyncClient
from boilermaker_fn.task import TaskStatus


@pytest.fixture
def app(tmp_path) -> Iterator[Boilermaker]:
    """An app on a file, whose worker runs in the client's own loop."""
    app = Boilermaker([], LocalEngine(tmp_path / "tasks.db"))

    @app.task()
    async def double(state: list[int], number: int) -> int:
        state.append(number)
        return 2 * number

    @app.task()
    async def broken(state: list[int]) -> None:
        raise LookupError("boom")

    worker = app.worker(concurrency=4)
    app.sync._background.run(worker.start())
    yield app
    app.sync._background.run(worker.stop())
    app.sync.close()


def fn(app: Boilermaker, name: str):
    return app.shell.registry[name].fn


def test_it_publishes_and_waits(app: Boilermaker) -> None:
    handle = app.sync.apply(fn(app, "double"), 21)
    assert handle.result(timeout=20) == 42
    assert app.sync.result(handle) == 42
    assert handle.status() is TaskStatus.Success
    assert handle.info().attempts == 1
    assert handle.cancel() is False


def test_errors_are_those_of_the_other_client(app: Boilermaker) -> None:
    with pytest.raises(ArgumentError):
        app.sync.apply(fn(app, "double"), "x")
    with pytest.raises(OptionError):
        app.sync.options(delay=-1)
    with pytest.raises(TaskFailed, match="LookupError: boom"):
        app.sync.apply(fn(app, "broken")).result(timeout=20)


def test_tasks_made_before_and_by_name(app: Boilermaker) -> None:
    tasks = [app.create_task(fn(app, "double"), number) for number in range(5)]
    handles = [app.sync.publish_task(tasks[0]), *app.sync.publish_many(tasks[1:])]
    handles.append(app.sync.publish_by_name("double", 5))
    assert [handle.result(timeout=20) for handle in handles] == [0, 2, 4, 6, 8, 10]
    assert [handle.task_id for handle in handles[:5]] == [task.task_id for task in tasks]


def test_options_hold_for_what_is_published_with_them(app: Boilermaker) -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    handle = app.sync.options(eta=later, task_id="mine").apply(fn(app, "double"), 1)
    assert handle.task_id == "mine"
    with pytest.raises(ResultTimeout):
        handle.result(timeout=0.05)
    assert handle.cancel() is True
    assert handle.status() is TaskStatus.Cancelled


def test_many_threads_share_one_client(app: Boilermaker) -> None:
    results: dict[int, int] = {}
    start = threading.Barrier(12)

    def work(number: int) -> None:
        start.wait(20)
        results[number] = app.sync.apply(fn(app, "double"), number).result(timeout=30)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert results == {number: 2 * number for number in range(12)}


async def test_inside_an_event_loop_it_is_refused() -> None:
    app = Boilermaker([], LocalEngine())

    @app.task()
    async def work(state: list[int]) -> None: ...

    with pytest.raises(RuntimeError, match=r"use `await app"):
        app.sync.apply(work)
    await app.close()


def test_it_starts_anew_after_it_was_closed(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOILERMAKER_LOCAL_FILE", str(tmp_path / "tasks.db"))
    app = Boilermaker([])

    @app.task()
    async def work(state: list[int]) -> None: ...

    ids = []
    for _ in range(2):
        with app.sync as client:
            assert isinstance(client, SyncClient)
            ids.append(client.apply(work).task_id)
            assert client.apply(work).status() is TaskStatus.Pending
    with app.sync as client:
        assert [app.sync._background.run(app.handle(one).status()) for one in ids] == [TaskStatus.Pending] * 2
    assert not [thread for thread in threading.enumerate() if thread.name == "boilermaker-sync"]


def test_closing_twice_and_unused_is_harmless() -> None:
    app = Boilermaker([], LocalEngine())
    app.sync.close()
    app.sync.close()


def test_what_a_library_left_running_does_not_hold_up_the_end() -> None:
    background = BackgroundLoop()
    left: list[asyncio.Task[None]] = []

    async def leave_one_running() -> None:
        left.append(asyncio.ensure_future(asyncio.sleep(1e6)))

    background.run(leave_one_running())
    stopping = threading.Thread(target=background.stop, daemon=True)
    stopping.start()
    stopping.join(5.0)
    assert not stopping.is_alive()
    assert left[0].cancelled()


def test_closing_in_one_loop_leaves_the_connections_of_others_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "Endpoint=sb://127.0.0.1:9;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;"
    monkeypatch.setenv("SERVICE_BUS_CONNECTION_STRING", key)
    app = Boilermaker([])
    before = app.shell.wiring.engine
    asyncio.run(app.close())
    assert app.shell.wiring.engine is before
