"""Are a configuration's queues what it says, and is what it says wrongly, or we cannot do, named with its place?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from boilermaker_fn.emulator.options import queues_in, queues_named
from boilermaker_fn.errors import ConfigurationError
from boilermaker_fn.local.queue import Rules

# The properties that Microsoft's emulator documents, with the values of its sample.
SAMPLE = {
    "DeadLetteringOnMessageExpiration": False,
    "DefaultMessageTimeToLive": "PT1H",
    "DuplicateDetectionHistoryTimeWindow": "PT20S",
    "ForwardDeadLetteredMessagesTo": "",
    "ForwardTo": "",
    "LockDuration": "PT1M",
    "MaxDeliveryCount": 3,
    "RequiresDuplicateDetection": False,
    "RequiresSession": False,
}
PROPERTIES = "UserConfig.Namespaces[0].Queues[0].Properties"


def file(*queues: object, **namespace: object) -> str:
    """A configuration with these queues."""
    named = {"Name": "sbemulatorns", "Queues": list(queues), **namespace}
    return json.dumps({"UserConfig": {"Namespaces": [named], "Logging": {"Type": "File"}}})


def rules_with(**properties: object) -> Rules:
    return queues_in(file({"Name": "orders", "Properties": properties}))["orders"]


def problems_in(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        queues_in(text, "queues.json")
    first, *lines = str(caught.value).splitlines()
    assert first == "queues.json cannot be used:"
    return [line.strip() for line in lines]


def problems_with(**properties: object) -> list[str]:
    return problems_in(file({"Name": "orders", "Properties": properties}))


# -- what it says


def test_microsofts_sample_is_read() -> None:
    assert queues_in(file({"Name": "queue.1", "Properties": SAMPLE}, Topics=[])) == {
        "queue.1": Rules(
            lock_duration=60, max_delivery_count=3, duplicate_window=0, time_to_live=3600, dead_letter_expired=False
        )
    }


def test_what_is_not_said_is_as_in_a_new_queue_of_the_service() -> None:
    new = Rules(lock_duration=60, max_delivery_count=10, duplicate_window=0, dead_letter_expired=False)
    assert queues_in(file({"Name": "a"}, {"Name": "b/c", "Properties": {}})) == {"a": new, "b/c": new}
    assert rules_with(RequiresDuplicateDetection=True).duplicate_window == 600


def test_all_options_together() -> None:
    assert rules_with(
        LockDuration="PT2M30S",
        MaxDeliveryCount=2000,
        RequiresDuplicateDetection=True,
        DuplicateDetectionHistoryTimeWindow="P7D",
        DefaultMessageTimeToLive="P1DT12H",
        DeadLetteringOnMessageExpiration=True,
    ) == Rules(150, 2000, 7 * 86400, 36 * 3600, True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT1S", 1),
        ("PT1.5S", 1.5),
        ("P1D", 86400),
        ("PT90M", 5400),
        ("P10675199DT2H48M5.4775807S", 922337203685.4775807),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert rules_with(DefaultMessageTimeToLive=text).time_to_live == pytest.approx(seconds, abs=1e-3)


def test_names_alone_make_queues_that_this_package_wants() -> None:
    assert queues_named("work", "dead") == {
        "work": Rules(60, 10, 7200, None, True),
        "dead": Rules(60, 10, 7200, None, True),
    }


# -- what it says wrongly


@pytest.mark.parametrize(
    "value", ["", "P", "PT", "P1", "1M", "PT1H30", "P1Y", "P1W", "-PT1M", "00:01:00", "PT\u0661S", 60, True, []]
)
def test_what_is_no_duration(value: object) -> None:
    (problem,) = problems_with(LockDuration=value)
    assert problem == (
        f"{PROPERTIES}.LockDuration is {json.dumps(value)}: it must be a duration such as PT1M, PT20S or P1DT12H"
    )


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("LockDuration", "PT5M1S", 'is "PT5M1S", which is 301 s: it must be 1 to 300 s'),
        ("LockDuration", "PT0S", 'is "PT0S", which is 0 s: it must be 1 to 300 s'),
        ("DuplicateDetectionHistoryTimeWindow", "PT19S", 'is "PT19S", which is 19 s: it must be 20 to 604800 s'),
        ("DuplicateDetectionHistoryTimeWindow", "P8D", 'is "P8D", which is 691200 s: it must be 20 to 604800 s'),
        ("DefaultMessageTimeToLive", "PT0.5S", 'is "PT0.5S", which is 0.5 s: it must be at least 1 s'),
        ("MaxDeliveryCount", 0, "is 0: it must be a number from 1 to 2000"),
        ("MaxDeliveryCount", 2001, "is 2001: it must be a number from 1 to 2000"),
        ("MaxDeliveryCount", "3", 'is "3": it must be a number from 1 to 2000'),
        ("MaxDeliveryCount", True, "is true: it must be a number from 1 to 2000"),
        ("RequiresDuplicateDetection", "true", 'is "true": it must be true or false'),
        ("DeadLetteringOnMessageExpiration", 1, "is 1: it must be true or false"),
        ("RequiresSession", True, "is true: sessions are not emulated; set it to false"),
        ("ForwardTo", "b", "is 'b': messages are not forwarded here; leave it empty"),
        ("ForwardDeadLetteredMessagesTo", "b", "is 'b': messages are not forwarded here; leave it empty"),
        ("LockDurations", "PT1M", "is not known: did you mean LockDuration?"),
        ("maxdeliverycount", 3, "is not known: did you mean MaxDeliveryCount?"),
    ],
)
def test_a_wrong_property_is_named(name: str, value: object, problem: str) -> None:
    assert problems_with(**{name: value}) == [f"{PROPERTIES}.{name} {problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            file(Topics=[{"Name": "news"}]),
            'Namespaces[0].Topics[0] is the topic "news": topics and subscriptions are not',
        ),
        (file(Queues={}), "Namespaces[0].Queues is {}: it must be a list"),
        (file(7), "Namespaces[0].Queues[0] is 7: it must be an object"),
        (file({}), "Namespaces[0].Queues[0].Name is None: the name of a queue has"),
        (file({"Name": "a b"}), "Namespaces[0].Queues[0].Name is 'a b': the name of a queue has"),
        (
            file({"Name": "a"}, {"Name": "A"}),
            "Namespaces[0].Queues[1].Name is 'A', which is there already: capitals make",
        ),
        (file({"Name": "a", "Properties": []}), "Namespaces[0].Queues[0].Properties is []: it must be an object"),
        (file({"Name": "a", "Lock": 1}), "Namespaces[0].Queues[0].Lock is not known: did you mean"),
        (file(), "Namespaces[0].Queues has no queue: name at least one"),
        ('{"UserConfig": {"Namespaces": [{}, {}]}}', "Namespaces[1] is a second namespace: put its queues into"),
        ('{"UserConfig": {}}', "Namespaces[0].Queues has no queue: name at least one"),
    ],
)
def test_a_wrong_place_is_named(text: str, problem: str) -> None:
    assert [line for line in problems_in(text) if line.startswith(f"UserConfig.{problem}")]


def test_everything_is_said_at_once() -> None:
    bad: dict[str, Any] = {"RequiresSession": True, "LockDuration": "1M", "Color": "red"}
    lines = problems_in(file({"Name": "?", "Properties": bad}, Topics=[{"Name": "a"}, {"Name": "b"}]))
    assert len(lines) == 6


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "[" * 100_000, '"UserConfig"', "null"])
def test_what_is_no_configuration_at_all(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^queues.json (is no JSON|holds .*: it must be an object)"):
        queues_in(text, "queues.json")


def test_a_misplaced_configuration_is_told_where_it_belongs() -> None:
    assert problems_in('{"Namespaces": []}')[0].startswith("Namespaces is not known: did you mean UserConfig?")
