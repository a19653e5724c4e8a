"""When is a task tried again: the arithmetic of delays."""

from __future__ import annotations

import datetime
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boilermaker_fn import Boilermaker, retries
from boilermaker_fn.errors import OptionError, RegistrationError
from boilermaker_fn.retries import NoRetry, RetryAttempts, RetryMode, RetryPolicy, exponential_without_jitter

policies = st.builds(
    RetryPolicy,
    max_tries=st.integers(0, 100),
    delay=st.floats(0, 1e6),
    delay_max=st.floats(0, 1e6),
    retry_mode=st.sampled_from(RetryMode),
    jitter=st.booleans(),
)


@given(policies, st.integers(0, 10_000), st.floats(0, 1))
def test_a_delay_is_never_negative_nor_longer_than_the_longest(policy: RetryPolicy, before: int, chance: float) -> None:
    assert 0 <= policy.get_delay_interval(before, chance) <= policy.delay_max


@given(policies, st.integers(0, 200))
def test_delays_do_not_shrink(policy: RetryPolicy, before: int) -> None:
    assert policy.get_delay_interval(before, 0.5) <= policy.get_delay_interval(before + 1, 0.5)


@given(policies, st.integers(0, 200), st.floats(0, 1))
def test_jitter_takes_at_most_half(policy: RetryPolicy, before: int, chance: float) -> None:
    longest = policy.get_delay_interval(before, 1)
    assert longest / 2 <= policy.get_delay_interval(before, chance) <= longest


def test_jitter_is_drawn_when_it_is_not_given() -> None:
    policy = RetryPolicy(delay=100, retry_mode=RetryMode.Exponential)
    drawn = {policy.get_delay_interval(0) for _ in range(50)}
    assert len(drawn) > 1
    assert all(50 <= delay <= 100 for delay in drawn)


@pytest.mark.parametrize(
    ("mode", "delays"),
    [
        (RetryMode.Fixed, [30, 30, 30, 30, 30]),
        (RetryMode.Linear, [30, 60, 90, 100, 100]),
        (RetryMode.Exponential, [30, 60, 100, 100, 100]),
    ],
)
def test_each_mode(mode: RetryMode, delays: list[float]) -> None:
    policy = RetryPolicy(delay=30, delay_max=100, retry_mode=mode)
    assert [policy.get_delay_interval(before, 1) for before in range(5)] == delays


def test_a_fixed_delay_obeys_the_longest_one_too() -> None:
    assert RetryPolicy(delay=500, delay_max=60).get_delay_interval(0) == 60


@pytest.mark.parametrize(("retries_wanted", "delay"), [(0, 1.0), (5, 2.0), (99, 7200.0)])
def test_max_retries_are_attempts_after_the_first(retries_wanted: int, delay: float) -> None:
    policy = exponential_without_jitter(retries_wanted, delay)
    assert policy.max_tries == retries_wanted + 1
    assert policy.get_delay_interval(0) == delay


def test_the_defaults_are_those_of_boilermaker_servicebus() -> None:
    default = RetryPolicy.default()
    assert (default.max_tries, default.delay, default.delay_max, default.retry_mode) == (5, 120, 120, RetryMode.Fixed)
    assert NoRetry().max_tries == RetryPolicy.no_retry().max_tries == 1
    assert RetryPolicy().max_tries == 5
    assert [mode.value for mode in RetryMode] == [0, 1, 2]


@pytest.mark.parametrize(
    ("error", "mode"),
    [
        (retries.RetryExceptionDefaultExponential("x", max_tries=9), RetryMode.Exponential),
        (retries.RetryExceptionDefaultLinear("x", max_tries=9), RetryMode.Linear),
    ],
)
def test_default_exceptions_carry_their_policy(error: retries.RetryException, mode: RetryMode) -> None:
    assert error.policy is not None
    assert (error.policy.max_tries, error.policy.delay, error.policy.delay_max) == (9, 30, 600)
    assert error.policy.retry_mode is mode
    assert retries.RetryExceptionDefault("x").policy == RetryPolicy.default()
    assert retries.RetryException("x").policy is None
    assert retries.RetryException("why").msg == str(retries.RetryException("why")) == "why"


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tries": -1},
        {"max_tries": 101},
        {"delay": -1},
        {"delay_max": -1},
        {"delay": float("nan")},
        {"retry_mode": 9},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy.model_validate(wrong)


def test_a_policy_travels_with_whole_numbers() -> None:
    sent = RetryPolicy(delay=30, retry_mode=RetryMode.Linear).model_dump_json()
    assert sent == '{"max_tries":5,"delay":30,"delay_max":3600,"retry_mode":2,"jitter":true}'
    assert RetryPolicy.model_validate_json(sent) == RetryPolicy(delay=30, retry_mode=RetryMode.Linear)


def test_attempts_are_counted() -> None:
    attempts, when = RetryAttempts.default(), datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    assert [attempts.inc(when) for _ in range(3)] == [1, 2, 3]
    assert attempts.last_retry == when


def test_policies_cannot_be_changed_under_the_tasks_that_share_them() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RetryPolicy.default().max_tries = 9  # type: ignore[misc]


def test_exponential_reaches_any_longest_delay_without_overflow() -> None:
    policy = RetryPolicy(delay=1e-3, delay_max=1e6, retry_mode=RetryMode.Exponential, jitter=False)
    delays = [policy.get_delay_interval(before) for before in range(2_000)]
    assert all(later >= sooner for sooner, later in itertools.pairwise(delays))
    assert delays[-1] == 1e6


@pytest.mark.parametrize("policy", [retries.RetryPolicy(max_tires=9), retries.NoRetry(max_tires=9)])
def test_a_misspelt_word_is_refused_where_the_policy_is_given(policy: RetryPolicy) -> None:
    says = "has no 'max_tires': it has max_tries, delay, delay_max"
    with pytest.raises(RegistrationError, match=says):
        Boilermaker().register_async(lambda state: None, name="x", policy=policy)
    with pytest.raises(OptionError, match=says):
        Boilermaker().options(policy=policy)
    with pytest.raises(TypeError, match=says):
        retries.RetryException("again", policy)
    with pytest.raises(TypeError, match=says):
        retries.RetryExceptionDefaultLinear("again", max_tires=9)


def test_what_a_newer_version_says_of_a_policy_is_kept() -> None:
    policy = retries.RetryPolicy.model_validate_json('{"max_tries": 2, "colour": "red"}')
    assert '"colour":"red"' in policy.model_dump_json()
