"""Which functions are tasks, and with which options? What is wrong is refused when it is registered."""

# No `from __future__ import annotations` here: at every start each annotation would be compiled once more.

import enum
import importlib.util
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypedDict

from .errors import BoilermakerUnregisteredFunction, MissingExtra, RegistrationError
from .ids import problem_with_queue
from .retries import MAX_SECONDS, RetryPolicy, exponential_without_jitter, problem_with_policy
from .signature import Signature
from .task.task import MAX_NAME_LENGTH


class TaskOptions(TypedDict, total=False):
    """What can be said of a task function when it is registered, beside `cpu_bound`. Times are seconds."""

    name: str
    policy: RetryPolicy
    retry_on: Iterable[type[BaseException]]
    max_retries: int
    retry_delay: float
    acks_late: bool
    should_dead_letter: bool
    timeout: float | None
    queue: str | None
    expires: float | None
    keep_result: bool


class Kind(enum.Enum):
    """Where a task function runs."""

    LOOP = "on the event loop"
    THREAD = "in a thread"
    PROCESS = "in a process"


class Registration(NamedTuple):
    """A task function and its options, complete and checked."""

    name: str
    fn: Callable[..., Any]
    kind: Kind
    signature: Signature
    policy: RetryPolicy
    retry_on: tuple[type[BaseException], ...] = ()
    acks_late: bool = True
    should_dead_letter: bool = True
    timeout: float | None = None
    queue: str | None = None
    expires: float | None = None
    keep_result: bool = True

    @property
    def on_loop(self) -> bool:
        """Whether it runs on the event loop."""
        return self.kind is Kind.LOOP


class Registry(Mapping[str, Registration]):
    """All task functions of an app, by name."""

    def __init__(self, built_in: Iterable[Registration] = ()) -> None:
        self._by_name: dict[str, Registration] = {}
        self._by_function: dict[Callable[..., Any], Registration] = {}
        self._runnable = {registration.name: registration for registration in built_in}

    def __getitem__(self, name: str) -> Registration:
        return self._by_name[name]

    def __iter__(self) -> Any:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def runnable(self) -> Mapping[str, Registration]:
        """What can be run here, now and later: all task functions, and what is built in."""
        return MappingProxyType(self._runnable)

    def register(self, fn: Callable[..., Any], options: Mapping[str, Any]) -> Registration:
        """Add a function. Raises RegistrationError saying all that is wrong."""
        registration = registered(fn, options)
        if registration.name in self._by_name:
            raise RegistrationError(
                f"a task named {registration.name!r} is registered already ({self._by_name[registration.name].fn!r}): "
                "give one of them another name=..."
            )
        self._by_name[registration.name] = self._runnable[registration.name] = registration
        self._by_function[fn] = registration
        return registration

    def of(self, fn: Callable[..., Any]) -> Registration:
        """The registration of a function. Raises BoilermakerUnregisteredFunction."""
        layer: Any = fn
        while layer is not None:
            if (registration := self._by_function.get(layer)) is not None:
                return registration
            layer = getattr(layer, "__wrapped__", None)  # other decorators may stand above ours
        raise BoilermakerUnregisteredFunction(getattr(fn, "__name__", repr(fn)))


_KNOWN: Final = frozenset(TaskOptions.__annotations__) | {"cpu_bound"}
_POSITIVE: Final = ("timeout", "expires")
_SWITCHES: Final = ("acks_late", "should_dead_letter", "keep_result")


def registered(fn: Callable[..., Any], options: Mapping[str, Any]) -> Registration:
    """The registration of `fn`. Raises RegistrationError with a line for each thing that is wrong."""
    name = options.get("name", getattr(fn, "__name__", ""))
    problems = [*_problems_of_options(options), *_problems_of_function(fn, name, bool(options.get("cpu_bound")))]
    if problems:
        raise RegistrationError(f"{name or fn!r} cannot be registered: " + "; ".join(problems))
    kind = _kind(fn, bool(options.get("cpu_bound")))
    if kind is Kind.PROCESS and importlib.util.find_spec("pebble") is None:
        raise MissingExtra("cpu_bound=True", "cpu")
    passed = {key: options[key] for key in _KNOWN - _DERIVED if key in options and options[key] is not None}
    return Registration(
        **{**passed, "name": name},
        fn=fn,
        kind=kind,
        signature=Signature(name, fn, takes_state=kind is not Kind.PROCESS),
        **_retrying(options),
    )


_DERIVED: Final = frozenset({"policy", "retry_on", "max_retries", "retry_delay", "cpu_bound"})


def _kind(fn: Callable[..., Any], cpu_bound: bool) -> Kind:
    if cpu_bound:
        return Kind.PROCESS
    is_async = inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__)
    return Kind.LOOP if is_async else Kind.THREAD


def _retrying(options: Mapping[str, Any]) -> dict[str, Any]:
    retry_on = tuple(options.get("retry_on") or ())
    if "max_retries" in options:
        policy = exponential_without_jitter(options["max_retries"], options.get("retry_delay", 1.0))
        return {"policy": policy, "retry_on": retry_on or (Exception,)}
    return {"policy": options.get("policy") or RetryPolicy.default(), "retry_on": retry_on}


def _problems_of_options(options: Mapping[str, Any]) -> list[str]:
    problems = [
        f"unknown option {unknown!r} (known are {', '.join(sorted(_KNOWN))})"
        for unknown in sorted(options.keys() - _KNOWN)
    ]
    if "max_retries" in options and options.get("policy") is not None:
        problems.append("max_retries and policy exclude each other: say it all in policy=RetryPolicy(...)")
    if "retry_delay" in options and "max_retries" not in options:
        problems.append("retry_delay goes with max_retries: add max_retries=..., or use policy=RetryPolicy(...)")
    policy = options.get("policy")
    if policy is not None and (problem := problem_with_policy(policy)):
        problems.append(problem)
    for switch in _SWITCHES:
        if not isinstance(options.get(switch), bool | None):
            problems.append(f"{switch} is {options[switch]!r}: it must be True or False")
    queue = options.get("queue")
    if queue is not None and (problem := problem_with_queue(queue)):
        problems.append(f"queue {problem}")
    return problems + _problems_of_numbers(options) + _problems_of_exceptions(options.get("retry_on") or ())


def _problems_of_numbers(options: Mapping[str, Any]) -> list[str]:
    problems = []
    for name in _POSITIVE:
        if (value := options.get(name)) is not None and not (_is_number(value) and value > 0):
            problems.append(
                f"{name} is {value!r}: it must be a number of seconds above 0 (at most {MAX_SECONDS}), or None"
            )
    if "retry_delay" in options and not (_is_number(options["retry_delay"]) and options["retry_delay"] >= 0):
        problems.append(f"retry_delay is {options['retry_delay']!r}: it must be seconds, 0 to {MAX_SECONDS}")
    retries = options.get("max_retries", 0)
    if not (isinstance(retries, int) and not isinstance(retries, bool) and 0 <= retries < 100):
        problems.append(f"max_retries is {retries!r}: it must be a whole number from 0 to 99")
    return problems


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -MAX_SECONDS <= value <= MAX_SECONDS


def _problems_of_exceptions(retry_on: Any) -> list[str]:
    if isinstance(retry_on, type):
        return [f"retry_on is the class {retry_on.__name__}: write retry_on=({retry_on.__name__},)"]
    if not isinstance(retry_on, Iterable):
        return [f"retry_on is {retry_on!r}: it must be a tuple of exception classes"]
    if isinstance(retry_on, Iterator):
        return [f"retry_on is {retry_on!r}, which can be read only once: make it a tuple"]
    wrong = [kind for kind in retry_on if not (isinstance(kind, type) and issubclass(kind, BaseException))]
    return [f"retry_on contains {kind!r}, which is no exception class" for kind in wrong]


def _problems_of_function(fn: Callable[..., Any], name: str, cpu_bound: bool) -> list[str]:
    if not callable(fn):
        return [f"{fn!r} is not a function"]
    if not (isinstance(name, str) and 1 <= len(name) <= MAX_NAME_LENGTH):
        return [f"its name is {name!r:.300}: give it one of 1 to {MAX_NAME_LENGTH} characters with name=..."]
    if cpu_bound:
        return _problems_of_cpu_function(fn)
    parameters = list(inspect.signature(fn).parameters.values())
    if not parameters or parameters[0].kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD):
        return [f"its first parameter must be the state: def {name}(state, ...)"]
    return []


def _problems_of_cpu_function(fn: Callable[..., Any]) -> list[str]:
    if inspect.iscoroutinefunction(fn):
        return ["a cpu_bound function runs in a process of its own and must be a plain def"]
    qualname = getattr(fn, "__qualname__", "<callable>")
    if "<" in qualname:
        return [
            f"a cpu_bound function is found by its name in another process, and {qualname!r} is local or a lambda: "
            "define it at the top of a module"
        ]
    return []
