"""How are many messages completed at once? Neighbours share a frame, as AMQP has it for that.

The Python SDK tells the service of one message a frame, and waits for each answer: for short tasks that is most of the
work. It has no public way to do better, so this uses its insides. Where they are not as expected, or an answer is
missing, it says that it does not know; the public way then asks the service about each message, and is right.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver

log = logging.getLogger("boilermaker_fn.service_bus")

# Seconds: for one read, and for all answers.
_READ: Final = 0.05
_ANSWERS: Final = 5.0


async def completed_at_once(
    receiver: ServiceBusReceiver, messages: Sequence[ServiceBusReceivedMessage]
) -> list[bool | None]:
    """For each message: whether the service completed it, or None where that is not known.

    The caller has the link to itself.
    """
    answers: dict[Any, dict[str, Any]] = {}
    try:
        await _tell(receiver._handler, messages, answers)
    except Exception as error:  # the public way will find out what it was
        log.debug("%d messages could not be completed at once: %r", len(messages), error)
    return [_completed(answers.get(message._delivery_tag)) for message in messages]


async def _tell(client: Any, messages: Sequence[Any], answers: dict[Any, dict[str, Any]]) -> None:
    """Tell the service of those that came on this link; `answers` is filled, by delivery tag."""
    from azure.servicebus._pyamqp.outcomes import Accepted

    link: Any = client._link
    here = [message for message in messages if message._delivery_tag in link._received_delivery_tags]
    answers.update((message._delivery_tag, {"settled": False, "outcome": None}) for message in here)
    link._pending_dispositions.update((message._delivery_id, answers[message._delivery_tag]) for message in here)
    try:
        for run in _runs(here):
            await link.send_disposition(
                first_delivery_id=run[0]._delivery_id,
                last_delivery_id=run[-1]._delivery_id,
                delivery_tag=run[0]._delivery_tag,
                settled=False,
                delivery_state=Accepted(),
            )
            link._received_delivery_tags.difference_update(message._delivery_tag for message in run)
        async with asyncio.timeout(_ANSWERS):
            while not all(answer["settled"] for answer in answers.values()):
                await client._connection.listen(wait=_READ)
                link.get_state()  # raises what was the matter when the link was detached
    finally:
        for message in here:
            link._pending_dispositions.pop(message._delivery_id, None)


def _runs(messages: Sequence[Any]) -> Iterator[list[Any]]:
    """Those that came one after the other."""
    run: list[Any] = []
    for message in sorted(messages, key=lambda message: message._delivery_id):
        if run and message._delivery_id != run[-1]._delivery_id + 1:
            yield run
            run = []
        run.append(message)
    if run:
        yield run


def _completed(answer: dict[str, Any] | None) -> bool | None:
    if answer is None or not answer["settled"]:
        return None
    return "accepted" in (answer["outcome"] or {})
