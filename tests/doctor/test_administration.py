"""What the doctor says of a queue's options, as Microsoft's SDK reads them from the service's XML."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from boilermaker_fn import Boilermaker, retries
from boilermaker_fn.cli.doctor import queue_options
from boilermaker_fn.cli.doctor.findings import Finding, Level
from boilermaker_fn.cli.doctor.namespace import Namespace
from boilermaker_fn.cli.doctor.needs import Needs, needs_of
from boilermaker_fn.cli.doctor.queues import examined
from boilermaker_fn.host_settings import HostSettings
from boilermaker_fn.service_bus.access import Access
from tests.doctor.administration import Server, served
from tests.emulated import emulated

NEEDS = Needs(("orders",), "lake", longest_delay=300, longest_lock=2100)


async def judged(directory: Path, properties: dict[str, str | None], needs: Needs = NEEDS) -> list[Finding]:
    async with served(directory, {"orders": properties}) as server, server.client() as client:
        return queue_options.work_queue(await client.get_queue("orders"), needs)


async def test_a_queue_as_it_must_be(tmp_path: Path) -> None:
    (finding,) = await judged(tmp_path, {})
    assert finding.level is Level.OK
    assert finding.found == (
        "drops duplicates for 2:00:00, locks for 0:01:00, delivers 5 times, sets aside what expires"
    )


@pytest.mark.parametrize(
    ("properties", "level", "found", "remedy"),
    [
        (
            {"RequiresDuplicateDetection": "false", "DuplicateDetectionHistoryTimeWindow": None},
            Level.PROBLEM,
            "keeps duplicates",
            "make another queue with --enable-duplicate-detection true",
        ),
        (
            {"DuplicateDetectionHistoryTimeWindow": "PT30M"},
            Level.PROBLEM,
            "forgets ids after 0:30:00, and the time for which the lock of a running task is renewed is 0:35:00",
            "--duplicate-detection-history-time-window PT2H",
        ),
        ({"MaxDeliveryCount": "1"}, Level.PROBLEM, "gives a task up after 1 delivery", "--max-delivery-count 5"),
        ({"MaxDeliveryCount": "2"}, Level.WARNING, "gives a task up after 2 deliveries", "--max-delivery-count 5"),
        ({"LockDuration": "PT5S"}, Level.WARNING, "locks a message for 0:00:05 only", "--lock-duration PT1M"),
        (
            {"DeadLetteringOnMessageExpiration": "false"},
            Level.PROBLEM,
            "drops what expires",
            "--enable-dead-lettering-on-message-expiration true",
        ),
        (
            {"DefaultMessageTimeToLive": "PT1H"},
            Level.WARNING,
            "lets a task wait for 1:00:00 only",
            "--default-message-time-to-live P14D",
        ),
        ({"RequiresSession": "true"}, Level.PROBLEM, "works with sessions", "make another queue"),
        ({"Status": "ReceiveDisabled"}, Level.PROBLEM, "has the status ReceiveDisabled", "--status Active"),
        ({"ForwardTo": "elsewhere"}, Level.PROBLEM, "forwards to", "--forward-to ''"),
        (
            {"ForwardDeadLetteredMessagesTo": "elsewhere"},
            Level.PROBLEM,
            "forwards what the broker gives up to",
            "--forward-dead-lettered-messages-to ''",
        ),
    ],
)
async def test_options_that_are_wrong(
    properties: dict[str, str | None], level: Level, found: str, remedy: str, tmp_path: Path
) -> None:
    (finding,) = await judged(tmp_path, properties)
    assert (finding.check, finding.level) == ("queue orders", level)
    assert finding.found.startswith(found)
    assert remedy in finding.remedy


async def test_all_that_is_wrong_is_said(tmp_path: Path) -> None:
    found = await judged(tmp_path, {"MaxDeliveryCount": "1", "LockDuration": "PT5S", "RequiresSession": "true"})
    assert len(found) == 3


async def test_a_window_shorter_than_the_longest_delay_of_the_app(tmp_path: Path) -> None:
    app = Boilermaker()

    @app.task(policy=retries.RetryPolicy(max_tries=4, delay=3600, delay_max=86_400, retry_mode=1), queue="slow")
    async def slow(state: object) -> None: ...

    needs = needs_of(app, ("orders", "lake"), None)
    assert needs == Needs(("orders", "slow"), "lake", longest_delay=4 * 3600, longest_lock=0)
    (finding,) = await judged(tmp_path, {}, needs)
    assert finding.level is Level.PROBLEM
    assert finding.found.startswith("forgets ids after 2:00:00, and the longest delay between two attempts is 4:00:00")
    assert await judged(tmp_path, {"DuplicateDetectionHistoryTimeWindow": "PT5H"}, needs) == [
        Finding(
            "queue orders",
            Level.OK,
            "drops duplicates for 5:00:00, locks for 0:01:00, delivers 5 times, sets aside what expires",
        )
    ]


def test_how_long_locks_are_renewed() -> None:
    app = Boilermaker()

    @app.task(timeout=90)
    async def short(state: object) -> None: ...

    names = ("orders", "lake")
    assert needs_of(app, names, None).longest_lock == 90
    assert needs_of(app, names, HostSettings(1800, 2100, 32, completes_messages=True)).longest_lock == 2100
    assert needs_of(None, names, None) == Needs(("orders",), "lake", longest_delay=300, longest_lock=0)


async def test_the_queue_for_what_was_given_up(tmp_path: Path) -> None:
    wrong: dict[str, str | None] = {"RequiresDuplicateDetection": "false", "DefaultMessageTimeToLive": "P14D"}
    async with served(tmp_path, {"lake": {}, "pond": wrong}) as server, server.client() as client:
        (good,) = queue_options.dead_letter_queue(await client.get_queue("lake"))
        found = queue_options.dead_letter_queue(await client.get_queue("pond"))
    assert good.level is Level.OK
    assert [(one.level, one.found) for one in found] == [
        (Level.WARNING, "keeps duplicates: a dead letter can be there twice"),
        (Level.WARNING, "drops dead letters after 14 days, 0:00:00"),
    ]


class Administered(Namespace):
    """An emulator with an administration, which emulators have not."""

    def __init__(self, access: Access, server: Server) -> None:
        super().__init__(access)
        self.administration = server.client  # type: ignore[method-assign] # where it is

    @property
    def manageable(self) -> bool:
        return True


@asynccontextmanager
async def administered(server: Server) -> AsyncIterator[Namespace]:
    async with (
        emulated() as emulator,
        Administered(Access(None, None, emulator.connection_string), server) as namespace,
    ):
        yield namespace


@pytest.mark.parametrize(
    ("refusal", "found", "remedy"),
    [
        (401, "may not be managed: its lock, delivery count, expiry and duplicate window were not looked at", "Manage"),
        (403, "may not be managed", "Manage"),
        (500, "its administration cannot be reached (HttpResponseError:", "port 443"),
    ],
)
async def test_without_the_right_to_manage_duplicates_are_probed(
    refusal: int, found: str, remedy: str, tmp_path: Path
) -> None:
    async with served(tmp_path, {}, refusal) as server, administered(server) as namespace:
        probe, unseen = await examined(namespace, "orders", NEEDS, None)
    assert probe.level is Level.OK
    assert probe.found.endswith("drops duplicates")
    assert unseen.level is Level.WARNING
    assert unseen.found.startswith(found)
    assert remedy in unseen.remedy


async def test_with_it_options_are_read(tmp_path: Path) -> None:
    queues: dict[str, dict[str, str | None]] = {"orders": {"MaxDeliveryCount": "1"}, "orders-dead-letters": {}}
    needs = Needs(("orders",), "orders-dead-letters", longest_delay=300, longest_lock=0)
    async with served(tmp_path, queues) as server, administered(server) as namespace:
        (work,) = await examined(namespace, "orders", needs, None)
        (lake,) = await examined(namespace, "orders-dead-letters", needs, None)
    assert work.found.startswith("gives a task up after 1 delivery")
    assert lake.found == "drops duplicates and keeps dead letters for ever"
