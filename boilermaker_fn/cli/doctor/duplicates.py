"""Does a queue drop duplicates, where its options cannot be read? Two messages for tomorrow, taken back, show it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from typing import Final

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusReceiver, ServiceBusSender
from azure.servicebus.exceptions import MessageNotFoundError, ServiceBusError

from ...envelopes import encode
from ...task.task import Task

#: If this process is killed before it has taken them back, then tomorrow a task runs that does nothing.
_LATER: Final = datetime.timedelta(days=1)
_HARMLESS: Final = "debug_task"


async def drops_duplicates(sender: ServiceBusSender, receiver: ServiceBusReceiver) -> bool:
    """Whether the queue of both drops the second of two messages with one id. Raises ServiceBusError.

    Both are scheduled, and cancelled before it returns, also when it is interrupted: no receiver ever sees them.
    """
    numbers: list[int] = []
    scheduling = asyncio.ensure_future(_schedule_twice(sender, numbers))
    try:
        await asyncio.shield(scheduling)  # interrupted half-way, nobody would know what to cancel
        return not all([await _holds(receiver, number) for number in numbers])
    finally:
        with contextlib.suppress(ServiceBusError):  # raised above
            await scheduling
        for number in numbers:
            with contextlib.suppress(MessageNotFoundError):  # the duplicate that was dropped
                await sender.cancel_scheduled_messages(number)


async def _schedule_twice(sender: ServiceBusSender, numbers: list[int]) -> None:
    task, when = Task.default(_HARMLESS), datetime.datetime.now(datetime.UTC) + _LATER
    for _ in range(2):
        numbers += await sender.schedule_messages(ServiceBusMessage(encode(task), message_id=task.task_id), when)


async def _holds(receiver: ServiceBusReceiver, number: int) -> bool:
    found = await receiver.peek_messages(1, sequence_number=number)
    return any(message.sequence_number == number for message in found)
