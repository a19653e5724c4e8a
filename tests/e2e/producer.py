"""Who publishes? A process of its own, with the library and the real SDK: `python -m tests.e2e.producer`.

It runs in the directory of the app; its settings are its environment. Each line it reads is a list of tasks to
publish, as JSON; for each it writes a line: what became of that.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import tasks

from boilermaker_fn import Task
from boilermaker_fn.errors import BoilermakerError, PublishError


def built(wanted: dict[str, Any]) -> Task:
    """A task as a test describes it: `do`, `args`, `options`, and what follows it."""
    publisher = tasks.app.options(**wanted.get("options", {}))
    task = publisher.create_task(getattr(tasks, wanted["do"]), *wanted.get("args", []))
    for follower in ("on_success", "on_failure"):
        if follower in wanted:
            setattr(task, follower, built(wanted[follower]))
    if "chain" in wanted:
        return tasks.app.chain(task, *map(built, wanted["chain"]))
    return task


async def publish(request: list[dict[str, Any]]) -> dict[str, Any]:
    """Publish, and say what became of it: `sent`, `not_sent` and, if it was refused, `error` and `message`."""
    try:
        handles = await tasks.app.publish_many([built(wanted) for wanted in request])
    except PublishError as error:
        return {"sent": error.sent, "not_sent": error.not_sent, "error": type(error).__name__, "message": str(error)}
    except BoilermakerError as error:
        return {"sent": [], "not_sent": [], "error": type(error).__name__, "message": str(error)}
    return {"sent": [handle.task_id for handle in handles], "not_sent": []}


async def main() -> None:
    """Answer requests until there are no more."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await publish(json.loads(line))), flush=True)
    await tasks.app.close()


if __name__ == "__main__":
    asyncio.run(main())
