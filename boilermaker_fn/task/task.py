"""What is the envelope? One requested execution, as JSON in a message.

The first ten fields are those of boilermaker-servicebus, so that its messages run here unchanged; the rest is new and
left out of the JSON while it says nothing. Fields of a newer version that we do not know are kept and passed on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from ..errors import AlreadyPublished
from ..ids import MAX_ID_LENGTH, GraphId, NullTaskId, TaskId, new_task_id
from ..retries import MAX_COUNT, MAX_SECONDS, RetryAttempts, RetryPolicy

#: The envelope's major version; raised when an older reader could misunderstand a newer envelope.
VERSION: Final = 1

#: Longest name of a function, in characters.
MAX_NAME_LENGTH: Final = 256

_ID_PATTERN = r'^[^/\\#?%"\x00-\x1f\x7f-\x9f]+$'


def _says_nothing(value: Any) -> bool:
    return not value


def _is_true(value: Any) -> bool:
    return value is True


_ARGS: Final = list | tuple | None
_KWARGS: Final = dict | None


def _with_arguments(payload: dict[str, Any]) -> dict[str, Any]:
    args, kwargs = payload.get("args"), payload.get("kwargs")
    fit = isinstance(args, _ARGS) and isinstance(kwargs, _KWARGS)
    if not fit:  # a text would go through as a list of its letters
        raise ValueError('must be {"args": [...], "kwargs": {...}}')
    return payload


class Task(BaseModel):
    """One requested execution of a registered function.

    Change it freely until it is published; after that it is what was sent, and changing it raises AlreadyPublished.

    `payload` is `{"args": [...], "kwargs": {...}}`, JSON data. `policy` None means: as registered where it runs.
    `delay` (seconds) and `eta` (an instant) say when it becomes due after it is sent, also as a callback; `expires`
    is how many seconds after that it is no longer worth starting; `timeout` how many seconds an attempt may take.
    `chain` holds the tasks that follow one another after this one succeeded, `chain_on_failure` what runs when one of
    them, or this one, fails and has no `on_failure` of its own.
    """

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, validate_assignment=True)

    task_id: TaskId = Field(default_factory=new_task_id, max_length=MAX_ID_LENGTH, pattern=_ID_PATTERN)
    should_dead_letter: bool = True
    acks_late: bool = True
    function_name: str = Field(min_length=1, max_length=MAX_NAME_LENGTH)
    attempts: RetryAttempts = Field(default_factory=RetryAttempts.default)
    policy: RetryPolicy | None = None
    payload: Annotated[dict[str, Any], AfterValidator(_with_arguments)] = Field(
        default_factory=lambda: {"args": [], "kwargs": {}}
    )
    graph_id: GraphId | None = Field(default=None, min_length=1, max_length=MAX_ID_LENGTH)
    on_success: Task | None = None
    on_failure: Task | None = None

    version: int = Field(default=VERSION, ge=1)
    generation: int = Field(default=0, ge=0, le=MAX_COUNT, exclude_if=_says_nothing)
    queue: str | None = Field(default=None, exclude_if=_says_nothing)
    delay: float = Field(default=0, ge=0, le=MAX_SECONDS, exclude_if=_says_nothing)
    eta: AwareDatetime | None = Field(default=None, exclude_if=_says_nothing)
    expires: float | None = Field(default=None, gt=0, le=MAX_SECONDS, exclude_if=_says_nothing)
    timeout: float | None = Field(default=None, gt=0, le=MAX_SECONDS, exclude_if=_says_nothing)
    keep_result: bool = Field(default=True, exclude_if=_is_true)
    chain: list[Task] = Field(default_factory=list, exclude_if=_says_nothing)
    chain_on_failure: Task | None = Field(default=None, exclude_if=_says_nothing)
    # Published by somebody without the code: what it does not say is as registered where it runs.
    by_name: bool = Field(default=False, exclude_if=_says_nothing)
    # Written when the task is sent, in seconds since the epoch.
    published_at: float | None = Field(default=None, exclude_if=_says_nothing)
    expires_at: float | None = Field(default=None, exclude_if=_says_nothing)

    # A plain slot: a private attribute of pydantic's would cost a fifth of the time it takes to read a task.
    __slots__ = ("_published", "_sequence_number")

    @classmethod
    def default(cls, function_name: str, **kwargs: Any) -> Task:
        """A task for `function_name` with the default policy; keywords set other fields."""
        payload = {"args": [], "kwargs": {}, **kwargs.pop("payload", {})}
        policy = kwargs.pop("policy", None) or RetryPolicy.default()
        return cls(function_name=function_name, policy=policy, payload=payload, **kwargs)

    @classmethod
    def si(
        cls,
        fn: Callable[..., Any],
        /,
        *fn_args: Any,
        should_dead_letter: bool = True,
        acks_late: bool = True,
        policy: RetryPolicy | None = None,
        **fn_kwargs: Any,
    ) -> Task:
        """An immutable signature: `fn` with all its arguments, without an app.

        The function is named by its `__name__`; the arguments are checked when the task is published.
        """
        return cls(
            should_dead_letter=should_dead_letter,
            acks_late=acks_late,
            function_name=fn.__name__,
            policy=policy or RetryPolicy.default(),
            payload={"args": fn_args, "kwargs": fn_kwargs},
        )

    @property
    def acks_early(self) -> bool:
        """At most once: a task that was delivered before is not run again."""
        return not self.acks_late

    @property
    def attempt(self) -> int:
        """Which attempt this envelope asks for: 1 is the first."""
        return self.attempts.attempts + 1

    @property
    def result(self) -> Any:
        """The task's result, to pass to another task of the same graph: `app.create_task(fn, task.result)`."""
        # Imported here: whoever only runs tasks builds no graphs.
        from ..graph.references import ResultOf

        return ResultOf(self)

    @property
    def is_prototype(self) -> bool:
        """Whether the task never got an id of its own."""
        return self.task_id == NullTaskId

    @property
    def sequence_number(self) -> int | None:
        """The number under which its queue has it, if the service told it when the task was published."""
        number: int | None = getattr(self, "_sequence_number", None)
        return number

    def mark_published(self, sequence_number: int | None = None) -> None:
        """From now on the task is what was sent. Marking it again, when it is published again, is harmless."""
        if sequence_number is not None:
            object.__setattr__(self, "_sequence_number", sequence_number)
        object.__setattr__(self, "_published", True)

    def __setattr__(self, name: str, value: Any) -> None:
        if getattr(self, "_published", False):
            raise AlreadyPublished(self.task_id, name)
        super().__setattr__(name, value)

    def __rshift__(self, other: Task) -> Task:
        """`a >> b`: b runs when a has succeeded. Returns b, so that `a >> b >> c` reads from left to right."""
        if not isinstance(other, Task):
            return NotImplemented
        self.on_success = other
        return other

    def __lshift__(self, other: Task) -> Task:
        """`a << b`: a runs when b has succeeded. Returns b, so that `a << b << c` runs c, b, a."""
        if not isinstance(other, Task):
            return NotImplemented
        other.on_success = self
        return other

    def __hash__(self) -> int:
        return hash(self.task_id)

    def __str__(self) -> str:
        return f"[{self.function_name}(id=...{self.task_id[-12:]})]"

    def __repr__(self) -> str:
        return f"Task<{self.function_name}: {self.task_id}>"
