"""What type checkers must refuse: every line with the word at its end, and no other."""

from __future__ import annotations

from boilermaker_fn import Boilermaker, Task
from boilermaker_fn.task import TaskChain, TaskGraph, TaskGraphBuilder, TaskOf

app = Boilermaker()


@app.task()
async def order(state: object, number: int, *, note: str = "") -> str:
    return str(number)


@app.task()
def blocking(state: object, number: int) -> float:
    return number / 2


@app.task(cpu_bound=True)
def compute(number: int) -> bytes:
    return b""


async def arguments() -> None:
    await app.apply_async(order)  # refused
    await app.apply_async(order, "one")  # refused
    await app.apply_async(order, 1, 2)  # refused
    await app.apply_async(order, 1, note=2)  # refused
    await app.apply_async(order, 1, nope="x")  # refused
    await app.apply_async(order, 1, delay=5)  # refused
    await app.apply_async(blocking, "one")  # refused
    await app.apply_async(compute, "one")  # refused
    await app.apply_async(compute, object(), 1)  # refused
    await app.options(delay=5).apply_async(order, "one")  # refused
    app.create_task(order, "one")  # refused
    app.create_task(compute, "one")  # refused
    app.sync.apply(order, "one")  # refused
    app.sync.apply(compute, 1, 2)  # refused
    await app.apply_async("order", 1)  # refused
    await app.apply_async(lambda: None)  # refused


async def total(state: object, numbers: list[float]) -> float:
    return sum(numbers)


def graphs() -> None:
    text = app.create_task(order, 1)
    number = app.create_task(blocking, 1)
    app.create_task(order, text.result)  # refused
    app.create_task(order, 1, note=number.result)  # refused
    app.create_task(compute, text.result)  # refused
    app.create_task(total, number.result)  # refused
    app.create_task(total, [text.result])  # refused
    app.create_task(total, [number])  # refused
    wrong: TaskOf[int] = text  # refused
    TaskGraphBuilder().add(order)  # refused
    TaskGraphBuilder().add(text, depends_on=number)  # refused
    TaskGraphBuilder().add(text, on_failure=order)  # refused
    TaskGraphBuilder().build(number, 1)  # refused
    TaskChain(order)  # refused
    TaskGraph().add_task(text, parent_ids=[number])  # refused
    print(wrong)


async def results() -> None:
    number: int = await (await app.apply_async(order, 1)).result()  # refused
    text: str = app.sync.apply(blocking, 1).result()  # refused
    print(number, text)


async def options() -> None:
    app.options(dealy=5)  # refused
    app.options(delay="soon")  # refused
    app.options(eta="tomorrow")  # refused
    await app.publish_task("order")  # refused
    await app.publish_many([order])  # refused
    app.chain(order, order)  # refused
    _ = app.create_task(order, 1) >> order  # refused
    task: Task = await app.apply_async(order, 1)  # refused
    print(task)


@app.task(colour="red")  # refused
async def coloured(state: object) -> None: ...


@app.task(timeout="soon")  # refused
async def slow(state: object) -> None: ...


@app.task(max_retries="many")  # refused
async def flaky(state: object) -> None: ...
