"""What can go wrong, and what to do about it: the one tree of exceptions.

Every error carries what it is about as fields, and its message ends with the remedy. Names that
boilermaker-servicebus users catch are kept as bases (`BoilermakerAppException`, and so on); they can also be
imported from `boilermaker_fn.exc`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar


class _Identified(Protocol):
    @property
    def message_id(self) -> str: ...


M = TypeVar("M", bound=_Identified)


class BoilermakerError(Exception):
    """Base of everything this package raises."""


class BoilermakerAppException(BoilermakerError):
    """Base of what publishing raises. `errors` holds the causes, oldest first."""

    def __init__(self, message: str, errors: Sequence[object] = ()) -> None:
        super().__init__(f"{message} {list(errors)}" if errors else message)
        self.errors = list(errors)


class ConfigurationError(BoilermakerError):
    """Settings are missing or contradict each other. `problems` has a line for each."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class RegistrationError(BoilermakerError, ValueError):
    """A function cannot be registered as a task."""


class BoilermakerUnregisteredFunction(BoilermakerError, ValueError):
    """A task was made from a function that this app does not know. `function` is its name."""

    def __init__(self, function: str) -> None:
        super().__init__(
            f"{function!r} is not registered with this app: decorate it with @app.task(), call "
            f"app.register_async({function}), or publish it by name with app.publish_by_name({function!r}, ...)"
        )
        self.function = function


class OptionError(BoilermakerError, ValueError):
    """One or more publishing options are wrong. `problems` has a line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


class ArgumentError(BoilermakerAppException, TypeError):
    """The arguments of a task do not fit its function. `function` and `parameter` say where."""

    def __init__(self, function: str, parameter: str | None, problem: str) -> None:
        where = f"{function}(), parameter {parameter!r}" if parameter else f"{function}()"
        super().__init__(f"{where}: {problem}")
        self.function = function
        self.parameter = parameter
        self.problem = problem


class TaskTooLarge(BoilermakerAppException, ValueError):
    """An envelope is larger than a message may be. `size` and `limit` are in bytes."""

    def __init__(self, task_id: str, function: str, size: int, limit: int) -> None:
        super().__init__(
            f"task {task_id} ({function}) is {size} bytes as a message and the limit is {limit}: pass a reference "
            "(a blob name, a database key) instead of the data; nothing was sent"
        )
        self.task_id = task_id
        self.size = size
        self.limit = limit


class AlreadyPublished(BoilermakerAppException):
    """A published task was changed. What was sent cannot be changed: make another task."""

    def __init__(self, task_id: str, field: str) -> None:
        super().__init__(
            f"task {task_id} is published and can no longer change (field {field!r}): set it before publishing, or "
            "make a new task with app.create_task()"
        )
        self.task_id = task_id
        self.field = field


class PublishError(BoilermakerAppException):
    """Some tasks were not accepted by the queue. `not_sent` has their ids, `sent` the ids that were accepted."""

    def __init__(self, not_sent: Sequence[str], sent: Sequence[str], errors: Sequence[object]) -> None:
        super().__init__(
            f"{len(not_sent)} of {len(not_sent) + len(sent)} tasks were not accepted by the queue "
            f"({', '.join(not_sent[:3])}{', ...' if len(not_sent) > 3 else ''}); publishing them again is safe:",
            errors,
        )
        self.not_sent = list(not_sent)
        self.sent = list(sent)


class NotSent(BoilermakerError):
    """What a transport raises: these messages were not accepted; all others of the call were.

    `failures` pairs each message id with its error.
    """

    def __init__(self, failures: Sequence[tuple[str, BaseException]]) -> None:
        first = f"{failures[0][0]}: {failures[0][1]!r}" if failures else ""
        super().__init__(f"{len(failures)} messages were not accepted, the first is {first}; send them again")
        self.failures = list(failures)

    def of(self, messages: Sequence[M]) -> list[M]:
        """Those of the messages that were not accepted; all of them if it names none, for then we do not know."""
        refused = {message_id for message_id, _ in self.failures}
        return [message for message in messages if message.message_id in refused] or list(messages)

    @property
    def for_good(self) -> dict[str, str]:
        """Why, by message id, those that no queue will take however often they are sent."""
        return {message_id: str(error) for message_id, error in self.failures if isinstance(error, _FOR_GOOD)}


class LockLost(BoilermakerError):
    """A message is no longer ours: its lock expired or it is settled. It will be, or was, delivered again."""

    def __init__(self, message_id: str) -> None:
        super().__init__(
            f"the lock of message {message_id!r} is lost: another delivery has it or it is settled; if tasks run "
            "longer than the lock, check that locks are renewed"
        )
        self.message_id = message_id


class QueueUnavailable(BoilermakerError):
    """The service did not do what was asked of a queue; `passing` says that it may do it later, as things are."""

    def __init__(self, queue: str, problem: str, *, passing: bool) -> None:
        super().__init__(f"queue {queue!r}: {problem}")
        self.queue = queue
        self.passing = passing


class QueueNotFound(QueueUnavailable):
    """There is no such queue."""


#: The queue is not there, or the message is beyond what any queue takes.
_FOR_GOOD = (QueueNotFound, ValueError, TypeError, OverflowError)


class StoreUnavailable(BoilermakerError):
    """The table (or the file under it) did not answer within its deadline. Nothing was half-done."""


class Conflict(BoilermakerError):
    """A row was not as the writer expected: it exists already, or its ETag is another one."""

    def __init__(self, partition: str, row: str) -> None:
        super().__init__(f"row {partition!r}/{row!r} was changed by another writer: read it again and decide anew")
        self.partition = partition
        self.row = row


class NotFound(BoilermakerError):
    """A row that should be changed does not exist."""

    def __init__(self, partition: str, row: str) -> None:
        super().__init__(f"row {partition!r}/{row!r} does not exist: it was removed, or never written")
        self.partition = partition
        self.row = row


class LimitExceeded(BoilermakerError, ValueError):
    """A table operation is beyond what Azure Table Storage takes; nothing was written."""


class ResultTooLarge(BoilermakerError, ValueError):
    """A task returned more than a result row holds. `size` and `limit` are in bytes."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the result is {size} bytes as JSON and a row holds {limit}: store the data and return a reference to it"
        )
        self.size = size
        self.limit = limit


class ResultsNotKept(BoilermakerError):
    """A result was asked for that is kept nowhere."""

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"the result of task {task_id} is not kept: give the app a results store (results_storage=...), and do not "
            "register the function with keep_result=False"
        )
        self.task_id = task_id


class TaskNotFound(BoilermakerError, LookupError):
    """There is neither a message nor a result for this id."""

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"no task {task_id!r}: it was never published here, its result was purged, or it follows another task that "
            "has not ended (for that one, give app.handle() the Task instead of its id)"
        )
        self.task_id = task_id


class ResultTimeout(BoilermakerError, TimeoutError):
    """The task did not end in the time the caller wanted to wait. It goes on; ask again later."""

    def __init__(self, task_id: str, timeout: float) -> None:
        super().__init__(f"task {task_id} has not ended within {timeout:g} s: it is still queued or running; ask again")
        self.task_id = task_id
        self.timeout = timeout


class ResultMismatch(BoilermakerError, ValueError):
    """A stored result does not fit the function's return annotation any more."""

    def __init__(self, task_id: str, problem: str) -> None:
        super().__init__(
            f"the result of task {task_id} does not fit the return annotation: {problem}; "
            "app.handle(task_id) without a function gives it as JSON data"
        )
        self.task_id = task_id


class TaskFailed(BoilermakerError):
    """The task ended without a value.

    `status` is how, `reason` one of the words of `boilermaker_fn.outcomes.Reason`, `error_type`, `message` and
    `traceback` are those of the exception as text.
    """

    def __init__(self, task_id: str, status: str, reason: str, error_type: str, message: str, traceback: str) -> None:
        super().__init__(f"task {task_id} {status} ({reason}): {error_type}: {message}")
        self.task_id = task_id
        self.status = status
        self.reason = reason
        self.error_type = error_type
        self.message = message
        self.traceback = traceback


class TaskCancelled(TaskFailed):
    """The task was cancelled before it started."""


class TaskExpired(TaskFailed):
    """The task was not started before it expired."""


class TaskTimeout(BoilermakerError, TimeoutError):
    """A task function ran longer than its `timeout` (seconds). Put it in `retry_on` to try again."""

    def __init__(self, timeout: float) -> None:
        super().__init__(
            f"ran longer than its timeout of {timeout:g} s: raise timeout= (on Azure Functions also functionTimeout in "
            "host.json, which it stays below), or split the work"
        )
        self.timeout = timeout


class MissingExtra(BoilermakerError, ImportError):
    """A part of the package needs a dependency that is not installed. The message is the install line."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: pip install 'boilermaker_fn[{extra}]'")
        self.extra = extra


class Held(BoilermakerError):
    """A delivery was not settled and must go back to the queue. Raised to the door that delivered it."""

    def __init__(self, message_id: str, why: str) -> None:
        super().__init__(f"message {message_id!r} goes back to the queue: {why}; it will be delivered again")
        self.message_id = message_id
        self.why = why


class IllegalTransition(BoilermakerError):
    """A state machine was given an event that cannot happen in its state. A bug here, not in the caller."""

    def __init__(self, machine: str, phase: Any, event: Any) -> None:
        super().__init__(f"{machine}: {type(event).__name__} cannot happen in phase {phase}; please report this")
