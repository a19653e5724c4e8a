"""How does a Python value travel as JSON and arrive as what it was? By its annotation, and never silently changed.

Values with an annotation are written and revived by pydantic. Values without one must be plain JSON, or one of the
types that have one obvious form (models, dataclasses, datetimes, UUIDs, decimals, enums, paths); sets, bytes, NaN and
all others would come back as something else, so they are refused.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import inspect
import json
import pathlib
import uuid
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

_PLAIN: Final = (str, bool, int, type(None))
_UNTYPED: Final = (Any, inspect.Parameter.empty, object)
_ONE_FORM: Final = (
    BaseModel,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    uuid.UUID,
    decimal.Decimal,
    enum.Enum,
    pathlib.PurePath,
)


class JsonValue:
    """Writes values of one annotation as JSON and revives them."""

    def __init__(self, annotation: Any = Any) -> None:
        self._adapter: TypeAdapter[Any] | None = None if annotation in _UNTYPED else _adapter(annotation)

    def checked(self, value: Any) -> Any:
        """The value as its annotation wants it. Raises pydantic.ValidationError."""
        return value if self._adapter is None else self._adapter.validate_python(value)

    def write(self, value: Any) -> str:
        """The value as JSON text. Raises TypeError or ValueError when it would not come back as it is."""
        if value is None:
            return "null"
        if self._adapter is not None and type(value) not in _PLAIN:
            value = _dumped(self._adapter, value)
        try:
            text = _ENCODER.encode(value)
            if not text.isascii():
                text.encode()  # half a surrogate pair cannot travel
            if self._adapter is None:
                _refuse_keys_that_change(value)
        except (RecursionError, PydanticSerializationError, UnicodeEncodeError) as error:
            raise ValueError(f"{type(value).__name__} cannot be written as JSON: {error}") from error
        return text

    def jsonable(self, value: Any) -> Any:
        """The value as JSON data. Raises TypeError or ValueError when it would not come back as it is."""
        return value if type(value) in _PLAIN else json.loads(self.write(value))

    def revive(self, data: Any) -> Any:
        """The value from JSON data. Raises pydantic.ValidationError."""
        if self._adapter is None:
            return data
        try:
            return self._adapter.validate_python(data)
        except ValidationError:
            # Some types (bytes, tuples in strict models) only read their own JSON form.
            return self._adapter.validate_json(json.dumps(data))


def problem_with_reference(value: Any) -> str | None:
    """What to say of a value that was refused because the result of another task is in it; None: there is none."""
    from .graph.references import ONLY_IN_A_GRAPH, holds_reference  # whoever only runs tasks needs no graphs

    return ONLY_IN_A_GRAPH if holds_reference(value) else None


def _dumped(adapter: TypeAdapter[Any], value: Any) -> Any:
    try:
        return adapter.dump_python(value, mode="json", warnings="error")
    except PydanticSerializationError as error:
        raise TypeError(str(error)) from error


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation)
    except PydanticSchemaGenerationError:
        # A class pydantic knows nothing of: only its instances fit, and they cannot travel, which the error then says.
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))


def _refuse_keys_that_change(value: Any) -> None:
    """JSON's keys are text: `{1: "a"}` would come back as `{"1": "a"}`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(
                    f"a dict with the key {key!r} would come back with text for it: annotate it, or use str"
                )
            _refuse_keys_that_change(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_keys_that_change(inner)


def _plain(value: Any) -> Any:
    if not isinstance(value, _ONE_FORM) and not dataclasses.is_dataclass(value):
        raise TypeError(f"a {type(value).__name__} has no form of its own in JSON: annotate it, or convert it")
    return to_jsonable_python(value)


_ENCODER: Final = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain)
