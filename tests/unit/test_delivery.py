"""Every row of the table "What becomes of one delivery", on the core alone: no clock, no queue, no await."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from boilermaker_fn import effects as fx
from boilermaker_fn.delivery import TRANSITIONS, Phase, State, step
from boilermaker_fn.errors import IllegalTransition
from boilermaker_fn.messages import (
    DEAD_LETTER_REASON,
    DEAD_LETTER_SUFFIX,
    GIVEN_UP,
    POSTPONED,
    POSTPONED_UNKNOWN,
    REDELIVERED,
    TRACEPARENT,
    Delivery,
    Message,
)
from boilermaker_fn.outcomes import ErrorInfo, Failed, Interrupted, Outcome, Reason, RetryAsked, Succeeded
from boilermaker_fn.retries import NoRetry, RetryMode, RetryPolicy
from boilermaker_fn.rules import Rules
from boilermaker_fn.task import Task, TaskStatus
from boilermaker_fn.task.result import TerminalRow

NOW = 1_000_000.0
BOOM = ErrorInfo("ValueError", "boom", "Traceback ...")


@dataclass
class Known:
    policy: RetryPolicy = field(default_factory=lambda: RetryPolicy(max_tries=3, delay=10))
    acks_late: bool = True
    should_dead_letter: bool = True
    keep_result: bool = True
    expires: float | None = None


CAREFUL = Known(acks_late=False, should_dead_letter=False, keep_result=False, expires=60)


def rules(*, keeps_rows: bool = True) -> Rules:
    return Rules({"charge": Known(), "careful": CAREFUL}, "dead", keeps_rows, 256 * 1024)


def a_task(name: str = "charge", **changes: Any) -> Task:
    return Task(**{"function_name": name, "task_id": "t1", "policy": RetryPolicy(max_tries=3, delay=10), **changes})


def delivery(task: Task | bytes, *, count: int = 1, queue: str = "work", **properties: Any) -> Delivery:
    body = task if isinstance(task, bytes) else task.model_dump_json().encode()
    return Delivery(queue, "t1", body, sequence_number=7, delivery_count=count, properties=properties)


@dataclass
class Played:
    """What one delivery led to: the kinds of effects in their order, and what they said."""

    effects: list[fx.Effect]

    @property
    def order(self) -> list[str]:
        return [type(effect).__name__ for effect in self.effects]

    @property
    def sent(self) -> list[Message]:
        return [m for effect in self.effects if isinstance(effect, fx.Send) for m in effect.messages]

    @property
    def row(self) -> TerminalRow:
        return next(effect.row for effect in self.effects if isinstance(effect, fx.WriteRow))

    @property
    def ending(self) -> str:
        last = self.effects[-1]
        return last.ending if isinstance(last, fx.Settle) else ""


def play(
    message: Delivery,
    outcome: Outcome | None = None,
    *,
    stored: TerminalRow | None = None,
    winner: TerminalRow | None = None,
    keeps_rows: bool = True,
    down: str = "",
    refuse: bool = False,
    aside: bool = False,
    chance: float = 1.0,
) -> Played:
    """Feed one delivery to the core until it ends. `down` names the effect at which the store is down."""
    state = State(rules(keeps_rows=keeps_rows), message)
    event: fx.Event = fx.SetAside(NOW) if aside else fx.Delivered(NOW)
    effects: list[fx.Effect] = []
    while True:
        state, effect = step(state, event)
        effects.append(effect)
        match effect:
            case fx.Settle() | fx.Hold():
                return Played(effects)
            case fx.ReadRow() | fx.WriteRow() if type(effect).__name__ == down:
                event = fx.StoreDown("no answer", NOW)
            case fx.ReadRow():
                event = fx.RowRead(stored, NOW)
            case fx.Run():
                assert outcome is not None, "the task must not run here"
                event = fx.Ran(outcome, NOW, NOW + 1, chance)
            case fx.WriteRow():
                event = fx.RowWritten(winner, NOW + 1)
            case fx.Send():
                event = fx.NotAccepted("down") if refuse else fx.Sent()


def ended(status: TaskStatus = TaskStatus.Success, **changes: Any) -> TerminalRow:
    return TerminalRow("t1", "charge", status, **changes)


def reason_of(message: Message) -> Any:
    return message.properties[DEAD_LETTER_REASON]


OK = Succeeded("1")
FAILED = Failed(Reason.TaskFailed, BOOM)
RETRY = RetryAsked(BOOM)


# -- can it be read?


@pytest.mark.parametrize("body", [b"\xff\x00garbage", b"", b"[]", b"17", b'{"task_id": "t1"}', b'{"a":' * 3000])
def test_a_body_that_cannot_be_read_is_a_dead_letter(body: bytes) -> None:
    played = play(delivery(body))
    assert played.order == ["Send", "Settle"]
    letter = played.sent[0]
    assert (letter.queue, letter.body, reason_of(letter)) == ("dead", body, "InvalidTaskFormat")


def test_a_task_id_that_cannot_be_a_key_is_no_envelope() -> None:
    body = json.dumps({"task_id": "a/b", "function_name": "charge", "payload": {}}).encode()
    assert reason_of(play(delivery(body)).sent[0]) == "InvalidTaskFormat"


# -- is it settled already?


def test_a_settled_task_does_not_run_and_its_follow_ups_are_sent_again() -> None:
    task = a_task(on_success=a_task(task_id="next"), on_failure=a_task(task_id="never"))
    played = play(delivery(task), stored=ended())
    assert played.order == ["ReadRow", "Send", "Settle"]
    assert [m.message_id for m in played.sent] == ["next"]


def test_a_failed_task_that_comes_again_sends_its_handler_and_its_dead_letter_again() -> None:
    task = a_task(on_failure=a_task(task_id="handler"))
    first = play(delivery(task), FAILED)
    again = play(delivery(task, count=2), stored=first.row)
    assert [(m.queue, m.message_id) for m in again.sent] == [(m.queue, m.message_id) for m in first.sent]
    assert [m.message_id for m in again.sent] == ["handler", "t1/dead"]


def test_a_cancelled_task_does_not_run_and_nothing_follows_it() -> None:
    task = a_task(on_success=a_task(task_id="a"), on_failure=a_task(task_id="b"))
    assert play(delivery(task), stored=ended(TaskStatus.Cancelled)).order == ["ReadRow", "Settle"]


# -- is the function known?


def test_an_unknown_function_is_put_off_and_uses_no_attempt() -> None:
    message = delivery(a_task("later"), **{TRACEPARENT: "00-a-b-01"})
    played = play(message)
    again = played.sent[0]
    assert played.order == ["ReadRow", "Send", "Settle"]
    assert (again.queue, again.body, again.message_id) == ("work", message.body, "t1/p1")
    assert again.not_before == NOW + 5
    assert again.properties == {TRACEPARENT: "00-a-b-01", POSTPONED: 1, POSTPONED_UNKNOWN: 1}


def test_an_unknown_function_fails_when_it_was_put_off_often_enough() -> None:
    task = a_task("never", on_failure=a_task(task_id="handler"))
    played = play(delivery(task, **{POSTPONED_UNKNOWN: 10, POSTPONED: 12}))
    assert played.order == ["ReadRow", "WriteRow", "Send", "Settle"]
    assert (played.row.reason, played.row.status) == ("UnknownTask", TaskStatus.Failure)
    assert [m.message_id for m in played.sent] == ["handler", "t1/dead"]


def test_delays_grow_up_to_five_minutes() -> None:
    delays = [(play(delivery(a_task("x"), **{POSTPONED: n})).sent[0].not_before or 0) - NOW for n in range(9)]
    assert delays == [5, 10, 20, 40, 80, 160, 300, 300, 300]


@pytest.mark.parametrize("body", [b'{"version": 2, "shape": "new"}', b'{"version":2,"function_name":"charge"}'])
def test_an_envelope_of_a_newer_version_is_put_off_untouched_and_then_set_aside(body: bytes) -> None:
    first = play(delivery(body))
    assert first.order == ["Send", "Settle"]
    assert (first.sent[0].body, first.sent[0].queue, first.ending) == (body, "work", "postponed")
    last = play(delivery(body, **{POSTPONED_UNKNOWN: 10}))
    assert (reason_of(last.sent[0]), last.sent[0].queue) == ("UnknownTask", "dead")


# -- was it acknowledged early, has it expired?


@pytest.mark.parametrize("how", [{"count": 2}, {REDELIVERED: 1}])
def test_a_task_acknowledged_early_does_not_run_twice(how: dict[str, Any]) -> None:
    task = a_task(acks_late=False, on_failure=a_task(task_id="handler"))
    played = play(delivery(task, **how))
    assert played.order == ["ReadRow", "WriteRow", "Send", "Settle"]
    assert [m.message_id for m in played.sent] == ["handler", "t1/dead"]
    assert reason_of(played.sent[1]) == "LostAfterEarlyAck"


def test_without_a_row_only_the_dead_letter_tells_of_a_task_lost_after_early_ack() -> None:
    task = a_task(acks_late=False, on_failure=a_task(task_id="handler"))
    played = play(delivery(task, count=2), keeps_rows=False)
    assert [m.message_id for m in played.sent] == ["t1/dead"]


def test_an_expired_task_calls_its_failure_handler_and_leaves_no_dead_letter() -> None:
    task = a_task(expires_at=NOW - 1, on_failure=a_task(task_id="handler"))
    played = play(delivery(task))
    assert played.order == ["ReadRow", "WriteRow", "Send", "Settle"]
    assert (played.row.status, played.row.attempts) == (TaskStatus.Expired, 0)
    assert [m.message_id for m in played.sent] == ["handler"]


def test_a_task_runs_until_the_moment_it_expires() -> None:
    assert "Run" in play(delivery(a_task(expires_at=NOW)), OK).order


# -- what a task published by name leaves open


def test_a_task_published_by_name_is_acknowledged_and_kept_as_registered_where_it_runs() -> None:
    task = a_task("careful", by_name=True)
    assert play(delivery(task, count=2)).order == ["Settle"]  # lost after early ack, and no dead letter wanted
    assert play(delivery(task), OK).order == ["Run", "Settle"]


def test_a_task_published_by_name_expires_as_registered_counted_from_when_it_was_due() -> None:
    late = a_task("careful", by_name=True, published_at=NOW - 100, delay=30)
    assert play(delivery(late)).ending == "expired"
    assert play(delivery(late.model_copy(update={"delay": 50})), OK).ending == "success"
    assert play(delivery(late.model_copy(update={"expires": 90, "expires_at": NOW + 20})), OK).ending == "success"


def test_a_task_published_with_the_code_says_it_all_itself() -> None:
    assert play(delivery(a_task("careful"), count=2), OK).order == ["ReadRow", "Run", "WriteRow", "Settle"]


# -- how the attempt ended


def test_success_writes_the_row_sends_the_callback_and_settles_last() -> None:
    played = play(delivery(a_task(on_success=a_task(task_id="next"))), Succeeded('"done"'))
    assert played.order == ["ReadRow", "Run", "WriteRow", "Send", "Settle"]
    assert (played.row.result, played.row.attempts, played.row.started_at) == ('"done"', 1, NOW)


def test_a_plain_task_without_a_store_costs_no_table_operation() -> None:
    assert play(delivery(a_task()), OK, keeps_rows=False).order == ["Run", "Settle"]


def test_a_task_whose_result_is_not_kept_and_that_nothing_follows_costs_no_table_operation() -> None:
    assert play(delivery(a_task(keep_result=False)), OK).order == ["Run", "Settle"]


def test_a_chain_goes_on_with_its_next_task_and_the_rest() -> None:
    task = a_task(chain=[a_task(task_id="t2"), a_task(task_id="t3")], chain_on_failure=a_task(task_id="handler"))
    following = Task.model_validate_json(play(delivery(task), OK).sent[0].body)
    assert (following.task_id, [t.task_id for t in following.chain]) == ("t2", ["t3"])
    assert following.chain_on_failure is not None
    assert following.published_at == NOW + 1


def test_a_link_with_a_handler_of_its_own_uses_that() -> None:
    task = a_task(on_failure=a_task(task_id="own"), chain_on_failure=a_task(task_id="shared"))
    assert [m.message_id for m in play(delivery(task), FAILED).sent] == ["own", "t1/dead"]


def test_a_retry_is_a_scheduled_message_and_writes_no_row() -> None:
    played = play(delivery(a_task()), RETRY)
    again = Task.model_validate_json(played.sent[0].body)
    assert played.order == ["ReadRow", "Run", "Send", "Settle"]
    assert (played.sent[0].message_id, played.sent[0].not_before) == ("t1/0/1", NOW + 11)
    assert (again.attempts.attempts, again.attempt) == (1, 2)
    assert again.attempts.last_retry == datetime.datetime.fromtimestamp(NOW + 1, datetime.UTC)


def test_the_policy_of_a_retry_exception_stays_with_the_task() -> None:
    policy = RetryPolicy(max_tries=9, delay=100, retry_mode=RetryMode.Linear)
    played = play(delivery(a_task()), RetryAsked(BOOM, policy))
    assert Task.model_validate_json(played.sent[0].body).policy == policy
    assert played.sent[0].not_before == NOW + 101


def test_a_task_without_a_policy_uses_the_one_its_function_is_registered_with() -> None:
    assert play(delivery(a_task(policy=None)), RETRY).sent[0].not_before == NOW + 11


def test_exhaustion_is_found_in_the_delivery_of_the_last_attempt() -> None:
    task = a_task(on_failure=a_task(task_id="handler"))
    task.attempts.attempts = 2
    played = play(delivery(task), RETRY)
    assert played.order == ["ReadRow", "Run", "WriteRow", "Send", "Settle"]
    assert (played.row.status, played.row.attempts) == (TaskStatus.RetriesExhausted, 3)
    assert [m.message_id for m in played.sent] == ["handler", "t1/0/2/dead"]
    assert reason_of(played.sent[1]) == "RetriesExhausted"


def test_no_retry_means_one_message() -> None:
    assert play(delivery(a_task(policy=NoRetry())), RETRY).ending == "retries_exhausted"


@pytest.mark.parametrize("reason", [Reason.TaskFailed, Reason.TimedOut, Reason.ResultNotSerializable])
def test_a_failure_is_recorded_with_type_message_and_traceback(reason: Reason) -> None:
    played = play(delivery(a_task()), Failed(reason, BOOM))
    assert (played.row.error, played.row.reason) == (BOOM, reason)
    letter = played.sent[0]
    assert reason_of(letter) == reason
    assert (letter.properties["error_type"], letter.properties["traceback"]) == ("ValueError", "Traceback ...")
    assert (letter.properties["attempt"], letter.properties["origin"]) == (1, "work")


def test_should_dead_letter_false_leaves_out_the_dead_letter_and_nothing_else() -> None:
    task = a_task(should_dead_letter=False, on_failure=a_task(task_id="handler"))
    played = play(delivery(task), FAILED)
    assert played.order == ["ReadRow", "Run", "WriteRow", "Send", "Settle"]
    assert [m.message_id for m in played.sent] == ["handler"]


def test_an_interrupted_attempt_goes_back_and_nothing_is_written_or_sent() -> None:
    assert play(delivery(a_task()), Interrupted()).order == ["ReadRow", "Run", "Hold"]


def test_the_stored_outcome_wins_and_its_follow_ups_are_sent() -> None:
    task = a_task(on_success=a_task(task_id="yes"), on_failure=a_task(task_id="no"))
    played = play(delivery(task, count=2), FAILED, winner=ended())
    assert [m.message_id for m in played.sent] == ["yes"]


# -- the store is down, sending fails


@pytest.mark.parametrize("where", ["ReadRow", "WriteRow"])
def test_a_store_that_is_down_puts_the_attempt_off_and_fails_nothing(where: str) -> None:
    message = delivery(a_task())
    played = play(message, OK, down=where)
    assert played.ending == "postponed"
    assert (played.sent[0].body, played.sent[0].message_id) == (message.body, "t1/p1")


def test_there_is_no_bound_on_a_store_that_stays_down() -> None:
    assert play(delivery(a_task(), **{POSTPONED: 10_000}), down="ReadRow").ending == "postponed"


def test_a_task_acknowledged_early_that_ran_is_not_started_again_after_the_store_was_down() -> None:
    played = play(delivery(a_task(acks_late=False)), OK, down="WriteRow")
    assert played.sent[0].properties[REDELIVERED] == 1


def test_a_task_acknowledged_early_that_did_not_run_may_still_run() -> None:
    assert REDELIVERED not in play(delivery(a_task(acks_late=False)), down="ReadRow").sent[0].properties


def test_when_nothing_can_be_sent_the_message_is_held() -> None:
    assert play(delivery(a_task()), RETRY, refuse=True).order == ["ReadRow", "Run", "Send", "Hold"]


# -- what the broker gave up


def from_the_broker(task: Task) -> Delivery:
    reason = {DEAD_LETTER_REASON: "MaxDeliveryCountExceeded", "DeadLetterErrorDescription": "11 deliveries"}
    return delivery(task, count=11, queue="work" + DEAD_LETTER_SUFFIX, **reason)


def test_what_the_broker_gave_up_fails_without_running() -> None:
    played = play(from_the_broker(a_task(on_failure=a_task(task_id="handler"))), aside=True)
    assert played.order == ["ReadRow", "WriteRow", "Send", "Settle"]
    assert (played.row.reason, played.row.error) == (
        "MaxDeliveryCountExceeded",
        ErrorInfo("MaxDeliveryCountExceeded", "11 deliveries"),
    )
    assert [(m.queue, m.message_id) for m in played.sent] == [("work", "handler"), ("dead", "t1/dead")]


def test_a_task_that_ended_before_the_broker_gave_it_up_stays_as_it_ended() -> None:
    task = a_task(on_success=a_task(task_id="next"))
    assert [m.message_id for m in play(from_the_broker(task), stored=ended(), aside=True).sent] == ["next"]


def test_the_store_being_down_does_not_make_a_given_up_task_run() -> None:
    played = play(from_the_broker(a_task()), aside=True, down="ReadRow")
    again = played.sent[0]
    assert (again.queue, again.properties[GIVEN_UP]) == ("work", "MaxDeliveryCountExceeded")
    later = play(delivery(again.body, **dict(again.properties)))
    assert later.row.reason == "MaxDeliveryCountExceeded"


# -- the table itself


def test_what_cannot_happen_raises_and_changes_nothing() -> None:
    state = State(rules(), delivery(a_task()))
    every: list[fx.Event] = [
        fx.Delivered(NOW), fx.SetAside(NOW), fx.RowRead(None, NOW), fx.Ran(OK, NOW, NOW, 0.5), fx.RowWritten(None, NOW),
        fx.StoreDown("", NOW), fx.Sent(), fx.NotAccepted(""), fx.Undeliverable((), (), NOW),
    ]  # fmt: skip
    refused = 0
    for phase in Phase:
        for event in every:
            if (phase, type(event)) not in TRANSITIONS:
                refused += 1
                with pytest.raises(IllegalTransition):
                    step(state._replace(phase=phase), event)
    assert refused == len(Phase) * len(every) - len(TRANSITIONS)
