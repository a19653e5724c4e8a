"""Arguments and results travel as JSON and arrive as what they were, by the annotations of the function."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import re
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import pydantic
import pytest
from typing_extensions import TypedDict  # before Python 3.12 pydantic wants this one

from boilermaker_fn.errors import ArgumentError
from boilermaker_fn.json_values import JsonValue
from boilermaker_fn.signature import Signature

if TYPE_CHECKING:
    from somewhere_else import OnlyForCheckers


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


class Address(pydantic.BaseModel):
    street: str
    since: datetime.date


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    when: datetime.datetime
    parts: tuple[int, str]


class Customer(pydantic.BaseModel):
    name: str
    addresses: list[Address] = []


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Pair(NamedTuple):
    left: int
    right: str


class Options(TypedDict):
    deep: bool


INSTANT = datetime.datetime(2030, 1, 1, 12, 30, 15, 123456, tzinfo=datetime.UTC)

VALUES: list[tuple[Any, Any]] = [
    (int, 5),
    (int, 2**70),
    (float, 0.1),
    (float, 1e300),
    (str, "é🔥\x00\u2028\n\"'\\"),
    (bool, True),
    (type(None), None),
    (bytes, b"\x00 and text"),
    (datetime.datetime, INSTANT),
    (datetime.datetime, INSTANT.astimezone(datetime.timezone(datetime.timedelta(hours=5, minutes=30)))),
    (datetime.datetime, datetime.datetime(2030, 1, 1)),
    (datetime.date, datetime.date(2030, 1, 1)),
    (datetime.time, datetime.time(12, 30)),
    (datetime.timedelta, datetime.timedelta(days=3, microseconds=1)),
    (uuid.UUID, uuid.UUID(int=7)),
    (decimal.Decimal, decimal.Decimal("0.1000")),
    (pathlib.PurePosixPath, pathlib.PurePosixPath("/a/b")),
    (Colour, Colour.RED),
    (Colour, Colour.BLUE),
    (Literal["a", "b"], "b"),
    (Point, Point(1, 2.5)),
    (Pair, Pair(1, "x")),
    (Options, {"deep": True}),
    (Address, Address(street="Main", since=datetime.date(2000, 1, 1))),
    (Customer, Customer(name="Ann", addresses=[Address(street="Main", since=datetime.date(2000, 1, 1))])),
    (Strict, Strict(when=INSTANT, parts=(1, "x"))),
    (list[Point], [Point(1, 2), Point(3, 4)]),
    (tuple[int, str], (1, "x")),
    (tuple[int, ...], (1, 2, 3)),
    (set[int], {1, 2}),
    (frozenset[str], frozenset({"a"})),
    (dict[str, Point], {"a": Point(1, 2)}),
    (dict[int, uuid.UUID], {1: uuid.UUID(int=7)}),
    (datetime.datetime | None, INSTANT),
    (datetime.datetime | None, None),
    (int | str, "5"),
    (int | str, 5),
    (Annotated[int, pydantic.Field(gt=3)], 4),
    (Any, {"plain": [1, 2.5, None, True, "x"]}),
]


@pytest.mark.parametrize(("annotation", "value"), VALUES, ids=lambda one: repr(one)[:50])
@pytest.mark.parametrize("passed", ["by position", "by keyword", "in *args", "in **kwargs", "keyword-only"])
def test_an_argument_arrives_as_what_it_was(annotation: Any, value: Any, passed: str) -> None:
    def plain(state, value): ...

    def star(state, *value): ...

    def double(state, **value): ...

    def only(state, *, value): ...

    fn: Callable[..., Any] = {"in *args": star, "in **kwargs": double, "keyword-only": only}.get(passed, plain)
    fn.__annotations__["value"] = annotation
    signature = Signature("fn", fn, takes_state=True)
    by_position = passed in ("by position", "in *args")
    args, kwargs = ([value], {}) if by_position else ([], {"value": value})
    payload = json.loads(json.dumps(signature.payload(args, kwargs)))
    arrived, keywords = signature.revive(payload["args"], payload["kwargs"])
    one = arrived[0] if by_position else keywords["value"]
    assert one == value
    assert type(one) is type(value)


@pytest.mark.parametrize(("annotation", "value"), VALUES, ids=lambda one: repr(one)[:50])
def test_a_result_arrives_as_what_it_was(annotation: Any, value: Any) -> None:
    travelling = JsonValue(annotation)
    arrived = travelling.revive(json.loads(travelling.write(value)))
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (INSTANT, "2030-01-01T12:30:15.123456Z"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (decimal.Decimal("0.10"), "0.10"),
        (Colour.RED, "red"),
        (Point(1, 2.5), {"x": 1, "y": 2.5}),
        (Address(street="Main", since=datetime.date(2000, 1, 1)), {"street": "Main", "since": "2000-01-01"}),
        ([(1, 2)], [[1, 2]]),
        ({"a": None}, {"a": None}),
    ],
)
def test_without_an_annotation_what_has_one_obvious_form_travels_in_it(value: Any, form: Any) -> None:
    assert JsonValue().jsonable(value) == form


@pytest.mark.parametrize(
    "value",
    [
        {1},
        frozenset(),
        b"x",
        bytearray(),
        memoryview(b"x"),
        float("nan"),
        float("-inf"),
        object(),
        print,
        Point,
        1j,
        [{1}],
        (n for n in [1]),
        re.compile("x"),
        collections.deque([1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_without_an_annotation_what_would_come_back_as_something_else_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        JsonValue().write(value)


@pytest.mark.parametrize("annotation", [float, list[float], dict[str, float], Any, float | None])
def test_no_annotation_lets_nan_through(annotation: Any) -> None:
    nan = float("nan")
    value = {list[float]: [nan], dict[str, float]: {"a": nan}}.get(annotation, nan)
    with pytest.raises((TypeError, ValueError)):
        JsonValue(annotation).write(value)


def test_a_value_that_refers_to_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match=r"[Cc]ircular"):
        JsonValue().write(loop)


def test_a_value_too_deep_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        JsonValue().write(deep)


def test_a_result_that_is_not_what_its_annotation_says_is_refused() -> None:
    with pytest.raises((TypeError, ValueError)):
        JsonValue(list[int]).write(["x"])


class Opaque:
    """A class that nobody can write."""


def test_a_class_nobody_can_write_is_refused_where_it_is_used_and_not_before() -> None:
    def fn(state, value: Opaque, other: int = 0) -> Opaque: ...

    signature = Signature("fn", fn, takes_state=True)
    with pytest.raises(ArgumentError, match="'value'"):
        signature.payload([Opaque()], {})
    with pytest.raises(ArgumentError, match="'value'"):
        signature.payload([5], {})


def test_a_type_imported_for_checkers_only_is_taken_as_any_and_the_others_still_count() -> None:
    def fn(state, unknown: OnlyForCheckers, when: datetime.datetime) -> OnlyForCheckers: ...

    signature = Signature("fn", fn, takes_state=True)
    payload = signature.payload([{"any": "thing"}, INSTANT], {})
    assert signature.revive(**payload) == ([{"any": "thing"}, INSTANT], {})
    with pytest.raises(ArgumentError, match="'when'"):
        signature.payload([{}, "not a time"], {})
    assert json.loads(signature.result.write({"any": "thing"})) == {"any": "thing"}


def test_a_type_that_is_defined_later_is_found() -> None:
    assert Signature("later", later, takes_state=True).payload([Later(n=1)], {})["args"] == [{"n": 1}]


def later(state, value: Later) -> None: ...


class Later(pydantic.BaseModel):
    n: int


def everything(state, first, /, second: int, *rest: int, only: str = "x", **more: float) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1, 2), {}),
        ((1, 2, 3, 4), {"only": "y", "weight": 1.5}),
        ((1,), {"second": 2}),
        ((1, 2), {"first": 3.0}),  # positional-only, so the name is free
    ],
)
def test_every_kind_of_parameter(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    signature = Signature("everything", everything, takes_state=True)
    assert signature.revive(**signature.payload(args, kwargs)) == (list(args), kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "parameter"),
    [
        ((1, 2, 3, "x"), {}, "rest"),
        ((1, 2), {"weight": "heavy"}, "more"),
        ((1, 2), {"only": 5}, "only"),
        ((1, "two"), {}, "second"),
        ((1,), {}, None),
        ((), {}, None),
    ],
)
def test_the_wrong_argument_is_named(args: tuple[Any, ...], kwargs: dict[str, Any], parameter: str | None) -> None:
    with pytest.raises(ArgumentError) as caught:
        Signature("everything", everything, takes_state=True).payload(args, kwargs)
    name = {"more": "weight"}.get(str(parameter), parameter)
    assert caught.value.parameter == name


def test_arguments_are_made_what_the_annotation_wants() -> None:
    def fn(state, number: int, when: datetime.date) -> None: ...

    signature = Signature("fn", fn, takes_state=True)
    assert signature.payload(["5", "2030-01-01"], {}) == {"args": [5, "2030-01-01"], "kwargs": {}}


def test_without_annotations_nothing_is_looked_at_but_the_shape() -> None:
    def fn(state, a, b=1): ...

    signature = Signature("fn", fn, takes_state=True)
    assert signature.revive([{"x": 1}], {}) == ([{"x": 1}], {})
    for args in ([], [1, 2, 3]):
        with pytest.raises(ArgumentError):
            signature.revive(args, {})


def test_the_arguments_given_are_not_changed() -> None:
    def fn(state, values: list[int]): ...

    values = ["1", "2"]
    assert Signature("fn", fn, takes_state=True).payload([values], {})["args"] == [[1, 2]]
    assert values == ["1", "2"]


@pytest.mark.parametrize("annotation", ["1 +", "datetime.nope", "int[5]", "'int' | 5", "undefined", "list[undefined]"])
def test_an_annotation_that_is_nonsense_is_taken_as_any(annotation: str) -> None:
    def fn(state, odd, number: int) -> None: ...

    fn.__annotations__["odd"] = annotation
    signature = Signature("fn", fn, takes_state=True)
    assert signature.payload([[1], 2], {})["args"] == [[1], 2]
    with pytest.raises(ArgumentError, match="'number'"):
        signature.payload([[1], "two"], {})
