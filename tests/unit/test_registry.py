"""Which functions are tasks, with which options."""

from __future__ import annotations

import functools

import pytest

from boilermaker_fn import Boilermaker, NoRetry, RetryPolicy
from boilermaker_fn.errors import BoilermakerUnregisteredFunction, RegistrationError
from boilermaker_fn.registry import Kind
from boilermaker_fn.retries import RetryMode
from tests.stage import Stage


async def work(state: object, number: int = 0) -> int:
    return number


def plain(state: object) -> None: ...


def compute(number: int) -> int:
    return number


def test_what_is_said_of_a_function_is_kept() -> None:
    app = Boilermaker()
    policy = NoRetry()
    app.register_async(
        work,
        name="full",
        policy=policy,
        retry_on=[OSError],
        acks_late=False,
        should_dead_letter=False,
        timeout=5,
        queue="q",
        expires=60,
        keep_result=False,
    )
    one = app.shell.registry["full"]
    assert (one.name, one.fn, one.kind) == ("full", work, Kind.LOOP)
    assert (one.policy, one.retry_on, one.timeout, one.queue, one.expires) == (policy, (OSError,), 5, "q", 60)
    assert not one.acks_late
    assert not one.should_dead_letter
    assert not one.keep_result


def test_what_is_not_said_is_the_default() -> None:
    one = Boilermaker().register_async(work).shell.registry["work"]
    assert (one.policy, one.retry_on, one.timeout, one.queue, one.expires) == (
        RetryPolicy.default(), (), None, None, None,
    )  # fmt: skip
    assert one.acks_late
    assert one.should_dead_letter
    assert one.keep_result


@pytest.mark.parametrize(
    "nothing",
    [
        {"timeout": None},
        {"queue": None},
        {"retry_on": None},
        {"keep_result": None},
        {"policy": None},
        {"expires": None},
    ],
)
def test_none_says_nothing(nothing: dict[str, None]) -> None:
    assert Boilermaker().register_async(work, **nothing).shell.registry["work"].policy == RetryPolicy.default()


def test_max_retries_tries_again_on_any_error_unless_told_which() -> None:
    app = Boilermaker()
    app.register_async(work, max_retries=3).register_async(plain, max_retries=3, retry_on=(OSError,), retry_delay=9)
    any_error, some = app.shell.registry["work"], app.shell.registry["plain"]
    assert (any_error.retry_on, some.retry_on) == ((Exception,), (OSError,))
    assert (some.policy.max_tries, some.policy.delay, some.policy.retry_mode) == (4, 9, RetryMode.Exponential)


def test_each_kind_of_function_has_its_place() -> None:
    app = Boilermaker().register_async(work).register_async(plain).register_async(compute, cpu_bound=True)
    assert [one.kind for one in app.shell.registry.values()] == [Kind.LOOP, Kind.THREAD, Kind.PROCESS]


def test_the_decorator_gives_the_function_back() -> None:
    app = Boilermaker()
    assert app.task()(work) is work
    assert app.task(plain) is plain


def test_several_are_registered_at_once() -> None:
    app = Boilermaker().register_many_async([work, plain], timeout=5)
    assert [one.timeout for one in app.shell.registry.values()] == [5, 5]


def test_a_function_may_have_two_names() -> None:
    app = Boilermaker().register_async(work).register_async(work, name="again", timeout=9)
    assert set(app.shell.registry) == {"work", "again"}


def test_another_function_of_the_same_name_is_not_taken_for_it() -> None:
    app = Boilermaker().register_async(work)

    def other() -> object:
        async def work(state: object, text: str) -> None: ...

        return work

    with pytest.raises(BoilermakerUnregisteredFunction):
        app.create_task(other(), "x")


async def test_a_wrapped_function_is_found_as_in_boilermaker_servicebus(stage: Stage) -> None:
    """There, the decorator returns a wrapper, and other decorators may stand above ours."""
    stage.app.register_async(work)

    @functools.wraps(work)
    async def wrapper(*args: object) -> object:
        return await work(*args)

    handle = await stage.app.apply_async(wrapper, 5)
    await stage.play()
    assert await handle.result(timeout=1) == 5


@pytest.mark.parametrize("wrong", [{"name": 17}, {"retry_on": 17}, {"queue": 17}, {"queue": ""}])
def test_a_wrong_kind_of_option_is_refused_with_words(wrong: dict[str, object]) -> None:
    with pytest.raises(RegistrationError, match=next(iter(wrong))):
        Boilermaker().register_async(work, **wrong)


@pytest.mark.parametrize("wrong", [{"acks_late": "no"}, {"should_dead_letter": 1}])
def test_a_switch_is_true_or_false(wrong: dict[str, object]) -> None:
    with pytest.raises(RegistrationError, match=next(iter(wrong))):
        Boilermaker().register_async(work, **wrong)


def test_a_name_that_does_not_fit_into_a_message_is_refused() -> None:
    with pytest.raises(RegistrationError, match="1 to 256 characters"):
        Boilermaker().register_async(work, name="x" * 257)


async def test_methods_and_partials_and_callables_are_tasks_too(stage: Stage) -> None:
    class Service:
        async def method(self, state: list[object], number: int) -> int:
            return number + 1

        async def __call__(self, state: list[object], number: int) -> int:
            return number + 2

    async def base(state: list[object], number: int, plus: int) -> int:
        return number + plus

    service = Service()
    functions = {"method": service.method, "callable": service, "partial": functools.partial(base, plus=3)}
    for name, fn in functions.items():
        stage.app.register_async(fn, name=name)
    handles = [await stage.app.apply_async(fn, 1) for fn in functions.values()]
    assert await stage.play() == ["success"] * 3
    assert [await handle.result(timeout=1) for handle in handles] == [2, 3, 4]
