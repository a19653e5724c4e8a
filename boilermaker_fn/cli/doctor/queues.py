"""Is a queue there, may one send to it and receive from it, and does it do what correctness needs?

Nothing is sent to those who receive, and nothing is taken.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from azure.core.exceptions import AzureError, HttpResponseError
from azure.servicebus import exceptions as sdk
from azure.servicebus.aio import ServiceBusReceiver, ServiceBusSender
from azure.servicebus.management import QueueProperties

from ...service_bus.failures import FAILURES, explained
from . import queue_options
from .duplicates import drops_duplicates
from .findings import Finding, ok, problem, warning
from .namespace import Namespace
from .needs import Needs
from .roles import OWNER, how_to_give, queue_scope

_SECONDS: Final = 30.0
_DENIED: Final = (401, 403)
_MISSING: Final = "does not exist"

#: How a queue must be made: duplicate detection can only be switched on then.
_HOW_TO_MAKE: Final = (
    "create it: az servicebus queue create --resource-group <group> --namespace-name {namespace} --name {queue} "
    "--enable-duplicate-detection true --duplicate-detection-history-time-window PT2H --lock-duration PT1M "
    "--max-delivery-count 5 --enable-dead-lettering-on-message-expiration true"
)


async def examined(namespace: Namespace, queue: str, needs: Needs, principal: str | None) -> list[Finding]:
    """What there is to say of one queue; `principal` is the object id of whom this runs as, where that is known."""
    if namespace.entity not in (None, queue):
        why = f"is out of reach: the connection string is for {namespace.entity!r} only (EntityPath)"
        return [problem(f"queue {queue}", why, "use a connection string of the namespace")]
    client = namespace.client
    sender, receiver = client.get_queue_sender(queue), client.get_queue_receiver(queue)
    async with contextlib.AsyncExitStack() as links:

        async def open_sender() -> None:
            await links.enter_async_context(sender)

        async def peek() -> None:
            await links.enter_async_context(receiver)
            await receiver.peek_messages(1)

        found = []
        for what, act in (("sending", open_sender), ("receiving", peek)):
            finding = await _tried(namespace, queue, principal, what, act)
            if finding is not None:
                found.append(finding)
                if finding.found.startswith(_MISSING):
                    break
        return found or await _options(namespace, sender, receiver, needs, principal)


# -- rights


async def _tried(
    namespace: Namespace,
    queue: str,
    principal: str | None,
    what: str,
    act: Callable[[], Awaitable[None]],
) -> Finding | None:
    """What is wrong with doing something with a queue, or None."""
    check = f"queue {queue}"
    try:
        async with asyncio.timeout(_SECONDS):
            await act()
    except FAILURES as error:
        if _says_missing(error):
            return _missing(namespace, queue)
        said = f"{what} fails: {_said(error)}"
        if isinstance(error, sdk.ServiceBusAuthorizationError | sdk.ServiceBusAuthenticationError):
            if namespace.keyed:
                remedy = (
                    "take a connection string whose policy may Send and Listen, if the namespace allows keys at all"
                )
                return problem(check, said, remedy)
            return problem(check, said, how_to_give(OWNER, queue_scope(namespace.host, queue), principal))
        return problem(check, said, str(explained(error, queue, namespace.host)))
    return None


def _missing(namespace: Namespace, queue: str) -> Finding:
    name = namespace.host.partition(".")[0]
    remedy = (
        "add it to the emulator's configuration (boilermaker-fn emulator --config FILE)"
        if namespace.emulated
        else _HOW_TO_MAKE.format(namespace=name, queue=queue)
    )
    where = "or correct SERVICE_BUS_QUEUE_NAME, DEAD_LETTER_QUEUE_NAME or queue="
    return problem(f"queue {queue}", f"{_MISSING} in {namespace.host}", f"{remedy}; {where}")


def _says_missing(error: BaseException) -> bool:
    """With a key, a queue that is not there is refused when the token for it is handed in, with this status."""
    causes = (error, getattr(error, "inner_exception", None))
    return isinstance(error, sdk.MessagingEntityNotFoundError) or any(
        getattr(cause, name, None) == 404 for cause in causes for name in ("status_code", "_status_code")
    )


# -- options


async def _options(
    namespace: Namespace, sender: ServiceBusSender, receiver: ServiceBusReceiver, needs: Needs, principal: str | None
) -> list[Finding]:
    queue = sender.entity_name
    if not namespace.manageable:
        return [await _probed(namespace, sender, receiver, needs)]
    try:
        async with asyncio.timeout(_SECONDS), namespace.administration() as administration:
            properties = await administration.get_queue(queue)
    except (AzureError, TimeoutError) as error:
        unseen = _not_managed(namespace, queue, error, principal)
        return [await _probed(namespace, sender, receiver, needs), unseen]
    return _judged(queue, properties, needs)


def _judged(queue: str, properties: QueueProperties, needs: Needs) -> list[Finding]:
    if queue == needs.dead_letter_queue:  # the service can spell it with other capitals
        return queue_options.dead_letter_queue(properties)
    return queue_options.work_queue(properties, needs)


async def _probed(
    namespace: Namespace, sender: ServiceBusSender, receiver: ServiceBusReceiver, needs: Needs
) -> Finding:
    queue = sender.entity_name
    check = f"queue {queue}"
    try:
        async with asyncio.timeout(_SECONDS):
            dropped = await drops_duplicates(sender, receiver)
    except FAILURES as error:
        remedy = str(explained(error, queue, namespace.host))
        return problem(check, f"scheduling and cancelling a message fails: {_said(error)}", remedy)
    if dropped:
        return ok(check, "is there, may be sent to and received from, and drops duplicates")
    return queue_options.keeps_duplicates(queue, given_up=queue == needs.dead_letter_queue)


def _not_managed(namespace: Namespace, queue: str, error: AzureError | TimeoutError, principal: str | None) -> Finding:
    unseen = "its lock, delivery count, expiry and duplicate window were not looked at"
    if isinstance(error, HttpResponseError) and error.status_code in _DENIED:
        remedy = (
            "take a connection string whose policy may Manage"
            if namespace.keyed
            else how_to_give(OWNER, queue_scope(namespace.host, queue), principal)
        )
        return warning(f"queue {queue}", f"may not be managed: {unseen}, and a Function App cannot scale by it", remedy)
    remedy = "let TCP port 443 out to the namespace, for this command"
    return warning(f"queue {queue}", f"its administration cannot be reached ({_said(error)}): {unseen}", remedy)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
