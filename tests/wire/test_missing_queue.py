"""What becomes of a callback to a queue that the namespace does not have? Over AMQP, with a real worker."""

from __future__ import annotations

import asyncio

from boilermaker_fn import Boilermaker
from boilermaker_fn.emulator import Emulator
from boilermaker_fn.local import LocalEngine
from boilermaker_fn.local.queue import Rules
from boilermaker_fn.service_bus import AzureServiceBus


async def test_it_is_a_dead_letter_and_the_queue_is_empty() -> None:
    async with Emulator({name: Rules() for name in ("work", "work-dead-letters")}) as emulator:
        engine = AzureServiceBus(None, "work", connection_string=emulator.connection_string)
        app = Boilermaker([], engine, results_storage=LocalEngine().table)

        @app.task
        async def note(state: list[str], text: str) -> None:
            state.append(text)

        task = app.create_task(note, "ran")
        task.on_success = app.options(queue="missing").create_task(note, "never")
        async with asyncio.timeout(60), app:
            handle = await app.publish_task(task)
            assert await handle.result(timeout=30) is None
            lake = engine.inbox("work-dead-letters")
            while not (letters := await lake.peek(10)):
                await asyncio.sleep(0.05)
            while await engine.inbox("work").peek(1):
                await asyncio.sleep(0.05)
        (letter,) = letters
        assert letter.properties["DeadLetterReason"] == "Undeliverable"
        assert letter.properties["task_id"] == task.on_success.task_id
        assert "there is no such queue" in str(letter.properties["DeadLetterErrorDescription"])
        assert app.state == ["ran"]
