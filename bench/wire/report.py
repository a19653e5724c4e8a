"""What does it cost to publish and to run a task over AMQP? Ours, boilermaker-servicebus, Celery, and the SDK alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..rounds import Measured, cpu, in_turn, measured, median, ratio, table, wall
from . import idle
from .emulator import emulator

_ROUNDS = 5
_PUBLISHED, _IN_BATCHES, _WORKED = 1_600, 4_800, 2_000

_BATCHED = "ours, publish_many of 400"
_SINGLE = "ours, 16 concurrent apply_async"
_PUBLISHERS = {
    _BATCHED: ("ours_batched", _IN_BATCHES),
    _SINGLE: ("ours_single", _PUBLISHED),
    "boilermaker-servicebus 1.4.1, 16 concurrent": ("ancestor_single", _PUBLISHED),
    "boilermaker-servicebus 1.4.1, one after another": ("ancestor_in_turn", _PUBLISHED),
    "the SDK alone, batches of 400": ("sdk_batches", _IN_BATCHES),
}
_WORKERS = {"ours, 16 at once": "ours_working", "boilermaker-servicebus 1.4.1": "ancestor_working"}


def _contestant(*arguments: str) -> Callable[[], Measured]:
    def run() -> Measured:
        with emulator() as connection:
            return _each(measured("-m", *arguments, connection))

    return run


def _each(result: Measured) -> Measured:
    """Microseconds a task."""
    return Measured(result.wall / result.counted * 1e6, result.cpu / result.counted * 1e6, result.counted)


def _rows(results: dict[str, Sequence[Measured]], ours: str) -> list[list[str]]:
    return [
        [
            name,
            f"{1e6 / median(one, wall):,.0f}",
            f"{ratio(results[ours], one, wall):.2f}",
            f"{ratio(results[ours], one, cpu):.2f}",
        ]
        for name, one in results.items()
    ]


def report() -> None:
    """Measure, and print the tables."""
    contestants = {
        name: _contestant("bench.wire.contestants", one, str(count)) for name, (one, count) in _PUBLISHERS.items()
    }
    contestants["Celery 5.7, one after another"] = _contestant("bench.wire.celery_app", "publish", str(_PUBLISHED))
    published = dict(in_turn(contestants, _ROUNDS))
    columns = ["", "tasks/s", "cost / ours", "cpu / ours"]
    for ours in (_BATCHED, _SINGLE):
        table(f"Publishing over AMQP; compared with {ours}", columns, _rows(published, ours))
    contestants = {name: _contestant("bench.wire.contestants", one, str(_WORKED)) for name, one in _WORKERS.items()}
    contestants["Celery 5.7, solo"] = _contestant("bench.wire.celery_app", "work", str(_WORKED))
    worked = dict(in_turn(contestants, _ROUNDS))
    table("Running tasks that do nothing, one process", columns, _rows(worked, "ours, 16 at once"))
    idle.report()
