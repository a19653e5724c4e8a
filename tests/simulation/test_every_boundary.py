"""Does every row of the table "What becomes of one delivery" survive everything, everywhere?

For each of them: once undisturbed; then once for each boundary (before and after each read, run, write and send, and
before settling) and each fault, which strikes there: a crash, an interruption, a refusal (before it was done or after),
and a pause after which a zombie goes on beside the next delivery. In the end all is as it is undisturbed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from boilermaker_fn.envelopes import outgoing
from boilermaker_fn.messages import DEAD_LETTER_REASON, Message
from boilermaker_fn.outcomes import ErrorInfo
from boilermaker_fn.result_rows import from_entity
from boilermaker_fn.retries import RetryPolicy
from boilermaker_fn.task import Task, TaskStatus
from boilermaker_fn.task.result import TerminalRow
from boilermaker_fn.testing import VirtualTimeLoop

from .faults import Fault, OneFault
from .workload import ACT, LATE, NOWHERE, Behaviour
from .world import QUEUE, Conditions, World, in_virtual_time

LOST = "LostAfterEarlyAck"


@dataclass(frozen=True)
class Scene:
    """One row of the table.

    `message` is due after `due` seconds and was delivered `delivered` times before; `stored` is the row that is there
    already; the store does not answer while it is `store_down`. `wanted` are the tasks that end, and how; `letters` the
    reasons of the dead letters.
    """

    message: Message
    wanted: dict[str, str]
    letters: tuple[str, ...] = ()
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    store_down: tuple[float, float] = (0.0, 0.0)
    due: float = 0.0
    delivered: int = 0
    stored: TerminalRow | None = None
    #: For a scene without a store, which tasks run.
    ran: frozenset[str] = frozenset()


@dataclass(frozen=True)
class End:
    """All that is left when nothing is left to do: rows, messages, and which attempts ran."""

    rows: dict[str, tuple[Any, ...]]
    messages: list[tuple[str, str, str]]
    ran: frozenset[tuple[str, int]]


def a_task(name: str = "t", **fields: Any) -> Task:
    return Task(
        **{
            "task_id": name,
            "function_name": ACT,
            "payload": {"args": [name], "kwargs": {}},
            "policy": RetryPolicy(max_tries=2, delay=7),
            **fields,
        }
    )


def asked(**fields: Any) -> Message:
    return outgoing(a_task(**fields), now=0.0, queue=QUEUE)


def row(status: TaskStatus, **fields: Any) -> TerminalRow:
    return TerminalRow("t", ACT, status, **fields)


YES, NO = a_task("yes"), a_task("no")
BOTH = {"on_success": YES, "on_failure": NO}
BOOM = {"t": Behaviour(ending="error")}

SCENES = {
    "no envelope": Scene(Message(QUEUE, "odd", b"{}"), {}, ("InvalidTaskFormat",)),
    "a newer envelope": Scene(Message(QUEUE, "new", b'{"version": 99}'), {}, ("UnknownTask",)),
    "succeeded before": Scene(asked(**BOTH), {"t": "success", "yes": "success"}, stored=row(TaskStatus.Success)),
    "failed before": Scene(
        asked(**BOTH),
        {"t": "failure", "no": "success"},
        ("TaskFailed",),
        stored=row(TaskStatus.Failure, reason="TaskFailed", error=ErrorInfo("E", "boom")),
    ),
    "cancelled": Scene(
        asked(**BOTH),
        {"t": "cancelled"},
        stored=row(TaskStatus.Cancelled, reason="Cancelled", error=ErrorInfo("Cancelled", "")),
    ),
    "registered nowhere": Scene(
        asked(function_name=NOWHERE, **BOTH), {"t": "failure", "no": "success"}, ("UnknownTask",)
    ),
    "deployed later": Scene(asked(function_name=LATE, **BOTH), {"t": "success", "yes": "success"}),
    "acknowledged early, delivered before": Scene(
        asked(acks_late=False, **BOTH), {"t": "failure", "no": "success"}, (LOST,), delivered=1
    ),
    "expired": Scene(asked(expires=5, **BOTH), {"t": "expired", "no": "success"}, due=20.0),
    "succeeded": Scene(asked(**BOTH), {"t": "success", "yes": "success"}),
    "succeeded, a chain": Scene(
        asked(chain=[a_task("u"), a_task("v")], chain_on_failure=NO), dict.fromkeys("tuv", "success")
    ),
    "a chain breaks": Scene(
        asked(chain=[a_task("u"), a_task("v")], chain_on_failure=NO),
        {"t": "success", "u": "failure", "no": "success"},
        ("TaskFailed",),
        {"u": Behaviour(ending="error")},
    ),
    "a retry, attempts left": Scene(
        asked(**BOTH), {"t": "success", "yes": "success"}, behaviours={"t": Behaviour(retries=1)}
    ),
    "a retry, none left": Scene(
        asked(**BOTH), {"t": "retries_exhausted", "no": "success"}, ("RetriesExhausted",), {"t": Behaviour(retries=2)}
    ),
    "failed": Scene(asked(**BOTH), {"t": "failure", "no": "success"}, ("TaskFailed",), BOOM),
    "failed, and says so": Scene(
        asked(**BOTH), {"t": "failure", "no": "success"}, ("TaskFailed",), {"t": Behaviour(ending="refusal")}
    ),
    "failed, no dead letter wanted": Scene(
        asked(should_dead_letter=False, **BOTH), {"t": "failure", "no": "success"}, (), BOOM
    ),
    "timed out": Scene(
        asked(timeout=5, **BOTH), {"t": "failure", "no": "success"}, ("TimedOut",), {"t": Behaviour(takes=9.0)}
    ),
    "a result that cannot travel": Scene(
        asked(**BOTH),
        {"t": "failure", "no": "success"},
        ("ResultNotSerializable",),
        {"t": Behaviour(ending="wrong result")},
    ),
    "the store is down": Scene(asked(**BOTH), {"t": "success", "yes": "success"}, store_down=(0.0, 30.0)),
    "the store goes down while it runs": Scene(
        asked(**BOTH),
        {"t": "success", "yes": "success"},
        behaviours={"t": Behaviour(takes=9.0)},
        store_down=(5.0, 30.0),
    ),
    "given up by the broker": Scene(
        asked(**BOTH), {"t": "failure", "no": "success"}, ("MaxDeliveryCountExceeded",), delivered=10
    ),
}

STORELESS = {
    "succeeded": Scene(asked(**BOTH), {}, ran=frozenset({"t", "yes"})),
    "succeeded, nothing follows": Scene(asked(), {}, ran=frozenset("t")),
    "succeeded, a chain": Scene(asked(chain=[a_task("u"), a_task("v")]), {}, ran=frozenset("tuv")),
    "a retry, attempts left": Scene(asked(), {}, behaviours={"t": Behaviour(retries=1)}, ran=frozenset("t")),
    "a retry, none left": Scene(
        asked(**BOTH), {}, ("RetriesExhausted",), {"t": Behaviour(retries=2)}, ran=frozenset({"t", "no"})
    ),
    "failed": Scene(asked(**BOTH), {}, ("TaskFailed",), BOOM, ran=frozenset({"t", "no"})),
    "expired": Scene(asked(expires=5, **BOTH), {}, due=20.0, ran=frozenset({"no"})),
    "registered nowhere": Scene(asked(function_name=NOWHERE, **BOTH), {}, ("UnknownTask",), ran=frozenset({"no"})),
    "acknowledged early, delivered before": Scene(asked(acks_late=False, **BOTH), {}, (LOST,), delivered=1),
    "given up by the broker": Scene(
        asked(**BOTH), {}, ("MaxDeliveryCountExceeded",), delivered=10, ran=frozenset({"no"})
    ),
}
ALL = {
    **{f"{name} (with a store)": (scene, True) for name, scene in SCENES.items()},
    **{f"{name} (without)": (scene, False) for name, scene in STORELESS.items()},
}


def play(scene: Scene, keeps_rows: bool, faults: OneFault) -> End:
    """Play a scene until nothing is left to do."""

    async def played(loop: VirtualTimeLoop) -> World:
        conditions = Conditions(keeps_rows=keeps_rows, store_down=scene.store_down)
        world = World(loop, random.Random(0), faults, conditions, scene.behaviours)
        if scene.stored is not None:
            await world.store.insert(scene.stored)
        world.broker.accept(scene.message)
        (stored,) = world.broker.queues[QUEUE].values()
        stored.due, stored.deliveries = scene.due, scene.delivered
        await world.until_nothing_is_left()
        return world

    world = in_virtual_time(played)
    assert not world.journal.errors
    return End(
        {r.task_id: (r.status, r.reason, r.attempts, r.result) for r in map(from_entity, world.table.rows.values())},
        sorted(
            (queue, stored.message.message_id, str(stored.message.properties.get(DEAD_LETTER_REASON, "")))
            for queue, messages in world.broker.queues.items()
            for stored in messages.values()
        ),
        frozenset((start.task_id, start.attempt) for start in world.journal.starts),
    )


@pytest.mark.parametrize("name", ALL)
def test_undisturbed(name: str) -> None:
    scene, keeps_rows = ALL[name]
    end = play(scene, keeps_rows, OneFault(Fault.CRASH, -1, 0.0))
    assert {task_id: str(status) for task_id, (status, *_) in end.rows.items()} == scene.wanted
    assert [reason for _, _, reason in end.messages] == list(scene.letters)
    if not keeps_rows:
        assert {task_id for task_id, _ in end.ran} == scene.ran


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("name", ALL)
def test_disturbed_once_anywhere(name: str, fault: Fault) -> None:
    scene, keeps_rows = ALL[name]
    undisturbed = OneFault(fault, -1, 0.0)
    wanted = play(scene, keeps_rows, undisturbed)
    assert undisturbed.met
    for boundary, where in enumerate(undisturbed.met):
        assert play(scene, keeps_rows, OneFault(fault, boundary, 150.0)) == wanted, f"{boundary}: {where}"


@pytest.mark.parametrize("keeps_rows", [True, False], ids=["with a store", "without"])
@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_acknowledged_early_it_starts_once_and_a_loss_is_seen(fault: Fault, keeps_rows: bool) -> None:
    scene = Scene(asked(acks_late=False), {})
    undisturbed = OneFault(fault, -1, 0.0)
    wanted = play(scene, keeps_rows, undisturbed)
    for boundary, where in enumerate(undisturbed.met):
        end = play(scene, keeps_rows, OneFault(fault, boundary, 150.0))
        reasons = [reason for _, _, reason in end.messages]
        assert end == wanted or reasons == [LOST], f"{boundary}: {where}"
