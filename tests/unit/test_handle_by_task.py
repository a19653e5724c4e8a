"""Following what is not published by itself: callbacks, links of a chain, tasks published elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from boilermaker_fn import Boilermaker
from boilermaker_fn.errors import BoilermakerError, OptionError, ResultMismatch, TaskNotFound
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.testing import VirtualWorker


async def step(state: Any, name: str) -> str:
    return name


async def number(state: Any) -> int:
    return 7


def app_with(*functions: Any) -> Boilermaker:
    return Boilermaker([]).register_many_async(functions)


def test_the_last_link_of_a_chain_can_be_waited_for_from_the_start() -> None:
    app = app_with(step)
    first, last = app.create_task(step, "first"), app.create_task(step, "last")
    with VirtualWorker(app) as worker:

        async def waits() -> Any:
            await app.publish_task(app.chain(first, last))
            return await app.handle(last).result(timeout=60)

        assert worker.run(waits()) == "last"


def test_by_its_id_alone_a_link_whose_turn_has_not_come_is_not_found_and_the_error_says_what_to_do() -> None:
    app = app_with(step)
    first, last = app.create_task(step, "first"), app.create_task(step, "last")
    with VirtualWorker(app) as worker:

        async def asks() -> Any:
            await app.options(delay=60).publish_task(app.chain(first, last))
            return await app.handle(last.task_id).status()

        with pytest.raises(TaskNotFound, match=r"give app.handle\(\) the Task"):
            worker.run(asks())


def test_a_result_that_does_not_fit_the_annotation_any_more_says_how_to_get_it() -> None:
    app = app_with(step, number)
    with VirtualWorker(app) as worker:
        handle = worker.run(app.apply_async(step, "not a number"))
        worker.until_idle()
        with pytest.raises(ResultMismatch, match=handle.task_id):
            worker.run(app.handle(handle.task_id, number).result())
        assert worker.run(app.handle(handle.task_id).result()) == "not a number"


def test_code_without_a_loop_follows_a_task_by_its_id() -> None:
    app = Boilermaker([], LocalEngine(None)).register_many_async([step])
    with app.sync as client:
        task_id = client.apply(step, "x").task_id
        assert client.handle(task_id, step).status() == "pending"
        assert client.handle(task_id).cancel()
        with pytest.raises(BoilermakerError, match="cancelled"):
            client.result(task_id)


@pytest.mark.parametrize("wrong", [step, "an id", None, 17])
def test_what_is_no_task_is_not_published(wrong: Any) -> None:
    app = app_with(step)
    with VirtualWorker(app) as worker, pytest.raises(OptionError, match="is no task: make it one"):
        worker.run(app.publish_task(wrong))


@pytest.mark.parametrize("name", ["", "x" * 257, step, None])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    app = app_with(step)
    with VirtualWorker(app) as worker, pytest.raises(OptionError, match="name is"):
        worker.run(app.publish_by_name(name))


@pytest.mark.parametrize("task_id", [17, "\ud800", "", "a/b", "x" * 97])
def test_an_id_that_is_none_is_refused_when_it_is_given(task_id: Any) -> None:
    with pytest.raises(OptionError, match="task_id"):
        Boilermaker().options(task_id=task_id)


def test_what_is_no_task_is_no_link() -> None:
    app = app_with(step)
    with pytest.raises(ValueError, match="is no task: make it one"):
        app.chain(app.create_task(step, "x"), step)  # type: ignore[arg-type]
