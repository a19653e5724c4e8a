"""What an exception says, as text, whatever it is."""

from __future__ import annotations

import pytest

from boilermaker_fn.describe import MAX_TEXT, describe
from boilermaker_fn.errors import TaskTimeout


def raised(error: BaseException) -> BaseException:
    """The error with a traceback."""
    try:
        raise error
    except BaseException as caught:
        return caught


class Local(Exception):
    """Has a name of its own."""


class Mute(Exception):
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Liar(Exception):
    """Says something that is no text."""

    def __str__(self) -> str:
        return 17  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("error", "name", "message"),
    [
        (ValueError("boom"), "ValueError", "boom"),
        (KeyError("key"), "KeyError", "'key'"),
        (ValueError(), "ValueError", ""),
        (Local("own"), f"{__name__}.Local", "own"),
        (TaskTimeout(5), "boilermaker_fn.errors.TaskTimeout", str(TaskTimeout(5))),
        (Mute(), f"{__name__}.Mute", "(its str() raised RuntimeError)"),
        (Liar(), f"{__name__}.Liar", "(its str() raised TypeError)"),
        (ValueError("\ud800"), "ValueError", "?"),
    ],
)
def test_type_and_message(error: BaseException, name: str, message: str) -> None:
    info = describe(raised(error))
    assert (info.type, info.message) == (name, message)
    info.traceback.encode()
    assert name.rsplit(".", 1)[-1] in info.traceback


def test_the_traceback_has_the_causes_too() -> None:
    try:
        try:
            raise LookupError("the cause")
        except LookupError as cause:
            raise ValueError("the effect") from cause
    except ValueError as error:
        text = describe(error).traceback
    assert text.index("the cause") < text.index("direct cause") < text.index("the effect")


def test_the_members_of_a_group_are_in_the_traceback() -> None:
    text = describe(raised(ExceptionGroup("several", [ValueError("one"), Local("two")]))).traceback
    assert "one" in text
    assert "two" in text


def test_the_notes_of_an_error_are_in_the_traceback() -> None:
    error = ValueError("boom")
    error.add_note("while counting")
    assert "while counting" in describe(raised(error)).traceback


def deeper(levels: int) -> None:
    if levels:
        deeper(levels - 1)
    raise RecursionError("x" * 100_000)


def test_what_is_too_long_is_cut_where_it_says_least() -> None:
    with pytest.raises(RecursionError) as caught:
        deeper(300)
    info = describe(caught.value)
    assert len(info.message) <= MAX_TEXT
    assert len(info.traceback) <= MAX_TEXT
    assert info.traceback.endswith("xxx\n")


def test_an_endless_recursion_is_described() -> None:
    def endless() -> None:
        endless()

    with pytest.raises(RecursionError) as caught:
        endless()
    assert describe(caught.value).type == "RecursionError"


def test_an_error_that_was_never_raised_has_a_traceback_of_one_line() -> None:
    assert describe(ValueError("boom")).traceback == "ValueError: boom\n"
