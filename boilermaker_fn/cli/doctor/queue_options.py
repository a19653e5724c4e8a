"""Is a queue set up as correctness needs it? Asked of the administration, which needs the right to manage."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Final

from azure.servicebus.management import EntityStatus, QueueProperties

from .findings import Finding, ok, problem, warning
from .needs import Needs

#: A lock that is shorter is easily lost between two renewals, in seconds.
_SHORT_LOCK: Final = 30.0
#: With fewer deliveries a task is given up after two hosts that went away.
_FEW_DELIVERIES: Final = 3
_SHORT_LIFE: Final = 86_400.0
#: What the service gives for "for ever".
_FOR_EVER: Final = 36_500 * 86_400.0

_UPDATE: Final = "az servicebus queue update --resource-group <group> --namespace-name <namespace> --name {queue}"


def work_queue(queue: QueueProperties, needs: Needs) -> list[Finding]:
    """What there is to say of a queue that tasks are run from."""
    check = f"queue {queue.name}"
    found = [*_duplicates(queue, needs), *_deliveries(queue), *_expiry(queue), *_routing(queue)]
    lock, window = _seconds(queue.lock_duration), _seconds(queue.duplicate_detection_history_time_window)
    return found or [
        ok(
            check,
            f"drops duplicates for {_written(window)}, locks for {_written(lock)}, delivers {queue.max_delivery_count} "
            "times, sets aside what expires",
        )
    ]


def dead_letter_queue(queue: QueueProperties) -> list[Finding]:
    """What there is to say of the queue for what was given up."""
    check, update = f"queue {queue.name}", _UPDATE.format(queue=queue.name)
    found = list(_routing(queue))
    if not queue.requires_duplicate_detection:
        found.append(keeps_duplicates(queue.name, given_up=True))
    life = _seconds(queue.default_message_time_to_live)
    if life < _FOR_EVER:
        remedy = f"let them live for ever: {update} --default-message-time-to-live P10675199D"
        found.append(warning(check, f"drops dead letters after {_written(life)}", remedy))
    return found or [ok(check, "drops duplicates and keeps dead letters for ever")]


def _duplicates(queue: QueueProperties, needs: Needs) -> Iterator[Finding]:
    check = f"queue {queue.name}"
    if not queue.requires_duplicate_detection:
        yield keeps_duplicates(queue.name, given_up=False)
        return
    window = _seconds(queue.duplicate_detection_history_time_window)
    remedy = f"{_UPDATE.format(queue=queue.name)} --duplicate-detection-history-time-window PT2H"
    for what, least in (
        ("the longest delay between two attempts", needs.longest_delay),
        ("the time for which the lock of a running task is renewed", needs.longest_lock),
    ):
        if window <= least:
            text = f"forgets ids after {_written(window)}, and {what} is {_written(least)}: a task could run twice"
            yield problem(check, text, f"{remedy}, or more than that")


def keeps_duplicates(queue: str, *, given_up: bool) -> Finding:
    """That a queue has no duplicate detection, be it of tasks or of what was given up."""
    if given_up:
        remedy = "make it again with --enable-duplicate-detection true; it cannot be switched on later"
        return warning(f"queue {queue}", "keeps duplicates: a dead letter can be there twice", remedy)
    return problem(
        f"queue {queue}",
        "keeps duplicates: whatever is sent again after a crash would run twice",
        "duplicate detection cannot be switched on later: make another queue with --enable-duplicate-detection true "
        "--duplicate-detection-history-time-window PT2H (not in the Basic tier), and set SERVICE_BUS_QUEUE_NAME to it",
    )


def _deliveries(queue: QueueProperties) -> Iterator[Finding]:
    check, update = f"queue {queue.name}", _UPDATE.format(queue=queue.name)
    times, lock = queue.max_delivery_count or 0, _seconds(queue.lock_duration)
    if times < _FEW_DELIVERIES:
        level = problem if times <= 1 else warning
        what = f"gives a task up after {times} deliver{'y' if times == 1 else 'ies'}: a host that goes away uses one up"
        yield level(check, what, f"{update} --max-delivery-count 5")
    if lock < _SHORT_LOCK:
        what = f"locks a message for {_written(lock)} only: a slow renewal loses it, and the task runs a second time"
        yield warning(check, what, f"{update} --lock-duration PT1M")


def _expiry(queue: QueueProperties) -> Iterator[Finding]:
    check, update = f"queue {queue.name}", _UPDATE.format(queue=queue.name)
    if not queue.dead_lettering_on_message_expiration:
        what = "drops what expires: such a task is never recorded, and what should follow it never starts"
        yield problem(check, what, f"{update} --enable-dead-lettering-on-message-expiration true")
    life = _seconds(queue.default_message_time_to_live)
    if life < _SHORT_LIFE:
        what = f"lets a task wait for {_written(life)} only, then it is given up"
        yield warning(check, what, f"{update} --default-message-time-to-live P14D")


def _routing(queue: QueueProperties) -> Iterator[Finding]:
    check, update = f"queue {queue.name}", _UPDATE.format(queue=queue.name)
    if queue.status not in (None, EntityStatus.ACTIVE):
        yield problem(check, f"has the status {queue.status}", f"enable it: {update} --status Active")
    if queue.requires_session:
        remedy = "sessions are not used here and cannot be switched off: make another queue without them"
        yield problem(check, "works with sessions: nothing can be received from it", remedy)
    if queue.forward_to:
        yield problem(check, f"forwards to {queue.forward_to}: no task runs from here", f"{update} --forward-to ''")
    if queue.forward_dead_lettered_messages_to:
        what = f"forwards what the broker gives up to {queue.forward_dead_lettered_messages_to}: nobody records it"
        yield problem(check, what, f"{update} --forward-dead-lettered-messages-to ''")


def _seconds(duration: datetime.timedelta | str | None) -> float:
    return duration.total_seconds() if isinstance(duration, datetime.timedelta) else 0.0


def _written(seconds: float) -> str:
    if seconds >= _FOR_EVER:
        return "ever"
    return str(datetime.timedelta(seconds=round(seconds)))
