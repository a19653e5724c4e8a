"""Do these arguments fit this function, and how do they travel? One signature per registered function.

Annotations are resolved when first needed, so that types defined further down, or imported only for type checking,
do no harm: one that cannot be resolved is taken as Any.
"""

from __future__ import annotations

import contextlib
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

from pydantic import ValidationError

from .errors import ArgumentError
from .json_values import JsonValue, problem_with_reference

Payload: typing.TypeAlias = dict[str, Any]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Signature:
    """The parameters of a task function, without the state, and its result."""

    def __init__(self, name: str, fn: Callable[..., Any], *, takes_state: bool) -> None:
        self._name = name
        self._fn = fn
        parameters = list(inspect.signature(fn).parameters.values())
        self._parameters = parameters[1:] if takes_state else parameters
        self._bound = inspect.Signature(self._parameters)
        # Whether arguments fit depends on their number and their names alone.
        self._problem = lru_cache(maxsize=16)(self._problem_with)

    @cached_property
    def result(self) -> JsonValue:
        """How the result travels."""
        return JsonValue(self._hints.get("return", Any))

    def payload(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], unknown: frozenset[int | str] = frozenset()
    ) -> Payload:
        """The arguments, checked and as JSON data; those at `unknown` positions and keywords are left as they are.

        Raises ArgumentError naming the parameter.
        """
        self._check_shape(args, kwargs)
        return {
            "args": [
                value if position in unknown else self._written(name, value)
                for position, (name, value) in enumerate(self._positional(args))
            ],
            "kwargs": {
                name: value if name in unknown else self._written(name, value) for name, value in kwargs.items()
            },
        }

    def revive(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments from JSON data. Raises ArgumentError naming the parameter."""
        self._check_shape(args, kwargs)
        values = self._values
        if not values:
            return list(args), dict(kwargs)
        return (
            [self._revived(name, value) for name, value in self._positional(args)],
            {name: self._revived(name, value) for name, value in kwargs.items()},
        )

    def _check_shape(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        problem = self._problem(len(args), tuple(kwargs))
        if problem is not None:
            raise ArgumentError(self._name, None, problem)

    def _problem_with(self, count: int, names: Sequence[str]) -> str | None:
        try:
            self._bound.bind(*[None] * count, **dict.fromkeys(names))
        except TypeError as error:
            return f"{error}{self._hint(names)}"
        return None

    def _hint(self, names: Sequence[str]) -> str:
        moved = [name for name in ("delay", "policy", "publish_attempts") if name in names]
        known = {parameter.name for parameter in self._parameters}
        options = ", ".join(f"{name}=..." for name in moved if name not in known)
        return (
            f" (publishing options go through app.options({options}).apply_async({self._name}, ...))" if options else ""
        )

    def _positional(self, args: Sequence[Any]) -> list[tuple[str, Any]]:
        names = self._positional_names
        rest = names[-1] if names else ""
        return [(names[i] if i < len(names) else rest, value) for i, value in enumerate(args)]

    @cached_property
    def _positional_names(self) -> list[str]:
        # `*args` is last, so all that is left over belongs to it.
        return [p.name for p in self._parameters if p.kind in (*_POSITIONAL, inspect.Parameter.VAR_POSITIONAL)]

    def _written(self, name: str, value: Any) -> Any:
        json_value = self._value_of(name)
        try:
            return json_value.jsonable(json_value.checked(value))
        except ValidationError as error:
            problem = problem_with_reference(value) or f"{_first_line(error)} (got {value!r:.80})"
            raise ArgumentError(self._name, name, problem) from None
        except (TypeError, ValueError) as error:
            problem = problem_with_reference(value) or f"cannot travel as JSON: {error}"
            raise ArgumentError(self._name, name, problem) from None

    def _revived(self, name: str, data: Any) -> Any:
        try:
            return self._value_of(name).revive(data)
        except ValidationError as error:
            raise ArgumentError(self._name, name, f"{_first_line(error)} (got {data!r:.80})") from None

    def _value_of(self, name: str) -> JsonValue:
        return self._values.get(name) or self._values.get(self._keywords) or _ANY

    @cached_property
    def _keywords(self) -> str:
        return next((p.name for p in self._parameters if p.kind is p.VAR_KEYWORD), "")

    @cached_property
    def _values(self) -> dict[str, JsonValue]:
        hints = self._hints
        return {p.name: JsonValue(hints[p.name]) for p in self._parameters if p.name in hints}

    @cached_property
    def _hints(self) -> dict[str, Any]:
        fn = inspect.unwrap(self._fn)
        try:
            return typing.get_type_hints(fn, include_extras=True)
        except Exception:  # an annotation can be any code
            return _resolvable(fn)


def _resolvable(fn: Callable[..., Any]) -> dict[str, Any]:
    """The annotations that can be resolved; imports under TYPE_CHECKING do not exist at run time."""
    hints = {}
    for name, annotation in getattr(fn, "__annotations__", {}).items():
        lone = type("_Lone", (), {"__annotations__": {name: annotation}, "__module__": fn.__module__})
        with contextlib.suppress(Exception):  # as above
            hints.update(typing.get_type_hints(lone, include_extras=True))
    return hints


def _first_line(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])


_ANY = JsonValue()
