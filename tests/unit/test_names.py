"""How tasks and messages are named: ids are unique, sorted, and fit everywhere they are used."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boilermaker_fn.entities import check_key
from boilermaker_fn.ids import MAX_ID_LENGTH, new_task_id, problem_with_id
from boilermaker_fn.messages import (
    DEAD_LETTER_SUFFIX,
    attempt_id,
    dead_letter_id,
    origin_of,
    postponed_id,
    task_id_of,
)
from boilermaker_fn.task import Task

MAX_MESSAGE_ID = 128


def test_ids_are_uuids_of_version_7_in_the_order_they_were_made() -> None:
    ids = [new_task_id() for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert ids == sorted(ids)
    assert {uuid.UUID(one).version for one in ids} == {7}


@given(st.text(min_size=0, max_size=120))
def test_what_is_allowed_as_an_id_is_a_key_of_a_table_and_an_id_of_a_task(text: str) -> None:
    if problem_with_id(text) is None:
        check_key(text)
        assert Task(task_id=text, function_name="f").task_id == text
        assert task_id_of(attempt_id(text, 3, 7)) == text
    else:
        with pytest.raises(ValueError, match="task_id"):
            Task(task_id=text, function_name="f")


@pytest.mark.parametrize("text", ["", "x" * 97, "a/b", "a\\b", "a#b", "a?b", "a%b", 'a"b', "a\nb", "a\x7fb", "a\x9fb"])
def test_what_is_not_allowed_is_told_why(text: str) -> None:
    assert "task_id" in str(problem_with_id(text))


def test_the_longest_id_leaves_room_for_all_we_append() -> None:
    longest = attempt_id("x" * MAX_ID_LENGTH, 9_999, 9_999)
    assert len(dead_letter_id(postponed_id(longest, 99_999))) <= MAX_MESSAGE_ID


def test_the_first_attempt_has_the_id_of_its_task() -> None:
    assert attempt_id("t", 0, 0) == "t"


def test_no_two_messages_of_a_task_share_an_id() -> None:
    attempts = [attempt_id("t", generation, before) for generation in range(4) for before in range(12)]
    postponements = [postponed_id(one, times) for one in attempts for times in range(1, 4)]
    letters = [dead_letter_id(one) for one in attempts]
    everything = [*attempts, *postponements, *letters]
    assert len(set(everything)) == len(everything)
    assert {task_id_of(one) for one in everything} == {"t"}


def test_the_origin_of_what_was_set_aside() -> None:
    assert origin_of("q" + DEAD_LETTER_SUFFIX) == origin_of("q") == "q"
