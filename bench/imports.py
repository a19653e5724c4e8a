"""How long until a process has what it needs? Each line of Python below in many fresh processes, in turn.

Wall and CPU time are those of the statement alone, after the interpreter has started; modules are those it added.
"""

from __future__ import annotations

from functools import partial

from .rounds import counted, cpu, in_turn, measured, median, ratio, table, wall

_ROUNDS = 15

_PRODUCER = """
import asyncio, os, tempfile
os.environ["BOILERMAKER_LOCAL_FILE"] = os.path.join(tempfile.mkdtemp(), "tasks.db")
from boilermaker_fn import Boilermaker
app = Boilermaker()
@app.task
async def remind(state, order: int) -> int: ...
async def publish():
    await app.apply_async(remind, 7)
    await app.close()
asyncio.run(publish())
"""

_ANCESTOR = "import boilermaker"

_STATEMENTS = {
    "from boilermaker_fn import Boilermaker": "from boilermaker_fn import Boilermaker",
    "... and publish one task, locally": _PRODUCER,
    "import function_app": "import function_app",
    "import azure.functions": "import azure.functions",
    "import pydantic": "from pydantic import BaseModel",
    _ANCESTOR: _ANCESTOR,
}

_CODE = """
import json, sys, time
before, wall, cpu = len(sys.modules), time.perf_counter(), time.process_time()
{statement}
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, len(sys.modules) - before]))
"""


def report() -> None:
    """Measure, and print the table."""
    results = in_turn(
        {name: partial(measured, "-c", _CODE.format(statement=statement)) for name, statement in _STATEMENTS.items()},
        _ROUNDS,
    )
    ancestor = results[_ANCESTOR]
    rows = [
        [name, *(f"{1 / ratio(mine, ancestor, of):.2f}" for of in (wall, cpu)), f"{median(mine, counted):.0f}"]
        for name, mine in results.items()
    ]
    table(f"Import: share of `{_ANCESTOR}` (target for the first: at most 0.25)", ["", "wall", "cpu", "modules"], rows)
