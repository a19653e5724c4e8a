"""Whatever a stranger puts into a queue: the core always ends, and all that it sends and writes fits."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from boilermaker_fn import effects as fx
from boilermaker_fn.delivery import State, step
from boilermaker_fn.entities import Insert, check_operations
from boilermaker_fn.messages import (
    DEAD_LETTER_REASON,
    DEAD_LETTER_SUFFIX,
    GIVEN_UP,
    POSTPONED,
    POSTPONED_UNKNOWN,
    REDELIVERED,
    Delivery,
    refusal,
)
from boilermaker_fn.outcomes import ErrorInfo, Failed, Interrupted, RetryAsked, Succeeded
from boilermaker_fn.result_rows import from_entity, to_entity
from boilermaker_fn.retries import RetryPolicy
from boilermaker_fn.rules import Rules


class Known:
    policy = RetryPolicy.default()


NOW = 1_800_000_000.0
LONG = "x" * 20_000

text = st.one_of(
    st.sampled_from(["", "t1", "charge", "a/b", "#", "é" * 90, LONG, "\U0001f600" * 60]), st.text(max_size=20)
)
number = st.one_of(st.integers(), st.floats(), st.sampled_from([0, -1, 10**30, 1e308, 2**63]))
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), number, text),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)),
    max_leaves=5,
)
attempts = st.fixed_dictionaries(
    {}, optional={"attempts": st.one_of(number, anything), "last_retry": st.just("2026-01-01T00:00:00Z")}
)
policy = st.fixed_dictionaries(
    {}, optional={"max_tries": number, "delay": number, "delay_max": number, "retry_mode": number}
)
fields: dict[str, Any] = {
    "task_id": text,
    "function_name": st.one_of(st.just("charge"), text),
    "payload": st.one_of(st.just({"args": [], "kwargs": {}}), anything),
    "attempts": st.one_of(st.just({"attempts": 0, "last_retry": "2026-01-01T00:00:00Z"}), attempts),
    "policy": st.one_of(st.none(), policy),
    "acks_late": st.booleans(),
    "should_dead_letter": st.booleans(),
    "graph_id": st.one_of(st.none(), text),
    "generation": number,
    "delay": number,
    "eta": st.one_of(st.none(), st.just("9999-12-31T23:59:59Z"), text),
    "expires": number,
    "expires_at": number,
    "published_at": number,
    "timeout": number,
    "queue": st.one_of(st.none(), text),
    "version": st.one_of(st.just(1), number),
    "unheard_of": anything,
}
VALID: dict[str, Any] = {"task_id": "t1", "function_name": "charge", "payload": {"args": [], "kwargs": {}}}


@st.composite
def envelopes(draw: st.DrawFn, *, nested: bool = True) -> dict[str, Any]:
    """A valid envelope in which a few fields say something else."""
    envelope = dict(VALID)
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=4)):
        envelope[name] = draw(fields[name])
    for name in draw(st.lists(st.sampled_from(["on_success", "on_failure", "chain_on_failure"]), max_size=2 * nested)):
        envelope[name] = draw(envelopes(nested=False))
    if nested and draw(st.booleans()):
        envelope["chain"] = draw(st.lists(envelopes(nested=False), max_size=2))
    return envelope


body = st.one_of(st.binary(max_size=40), envelopes().map(lambda e: json.dumps(e).encode()))
properties = st.dictionaries(
    st.one_of(st.sampled_from([POSTPONED, POSTPONED_UNKNOWN, REDELIVERED, GIVEN_UP, DEAD_LETTER_REASON]), text),
    st.one_of(text, st.integers(-5, 2**62), st.booleans()),
    max_size=3,
)
outcome = st.sampled_from(
    [
        Succeeded("1"),
        Failed("TaskFailed", ErrorInfo("E" * 1024, "m" * 16_384, "t" * 16_384)),
        RetryAsked(ErrorInfo("E", "m")),
        RetryAsked(ErrorInfo("E", "m"), RetryPolicy(max_tries=100, delay=3600)),
        Interrupted(),
    ]
)


@settings(max_examples=800, deadline=None, derandomize=True)
@given(body=body, properties=properties, outcome=outcome, count=st.integers(1, 20), aside=st.booleans())
def test_the_core_always_ends_and_all_it_does_fits(
    body: bytes, properties: dict[str, Any], outcome: Any, count: int, aside: bool
) -> None:
    queue = "work" + (DEAD_LETTER_SUFFIX if aside else "")
    message = Delivery(queue, "m" * 128, body, 7, count, properties=properties)
    state = State(Rules({"charge": Known()}, "dead", True, 262_144), message)
    event: fx.Event = fx.SetAside(NOW) if aside else fx.Delivered(NOW)
    for _ in range(6):
        state, effect = step(state, event)
        match effect:
            case fx.Settle() | fx.Hold():
                return
            case fx.ReadRow():
                event = fx.RowRead(None, NOW)
            case fx.Run():
                assert not aside
                event = fx.Ran(outcome, NOW, NOW, 0.5)
            case fx.WriteRow(row):
                entity = to_entity(row)
                check_operations([Insert(entity)])
                assert from_entity(entity) == row
                event = fx.RowWritten(None, NOW)
            case fx.Send(messages):
                for sent in messages:
                    # A queue of a strange name is the broker's to refuse; everything else must fit.
                    assert refusal(sent) is None, refusal(sent)
                    assert sent.not_before is None or sent.not_before < 253_402_300_800  # what a datetime holds
                event = fx.Sent()
    raise AssertionError("it never ended")
