"""What every Table does: the semantics and the limits of Azure Table Storage."""

from __future__ import annotations

import asyncio
import datetime
import math

import pytest

from boilermaker_fn.entities import (
    ANY_ETAG,
    MAX_ENTITY_BYTES,
    MAX_OPERATIONS,
    MAX_PAGE,
    MAX_PROPERTIES,
    MAX_PROPERTY_BYTES,
    Delete,
    Entity,
    Insert,
    Merge,
    Replace,
    Where,
)
from boilermaker_fn.errors import Conflict, LimitExceeded, NotFound

NOON = datetime.datetime(2026, 1, 2, 12, 0, 0, 123456, datetime.UTC)


def row(key="r", values=None, etag="", partition="p"):
    return Entity(partition, key, values or {}, etag)


async def insert(table, *entities):
    return await table.write([Insert(entity) for entity in entities])


async def keys(table, **options):
    return [entity.row for entity in (await table.query("p", **options)).entities]


async def all_keys(table, **options):
    """Row keys, and how many pages they took."""
    found, pages, continuation = [], 0, None
    while True:
        page = await table.query("p", continuation=continuation, **options)
        found += [entity.row for entity in page.entities]
        pages += 1
        continuation = page.continuation
        if continuation is None:
            return found, pages


# Rows


async def test_a_row_that_is_not_there(table):
    assert await table.read("p", "r") is None
    assert (await table.query("p")).entities == []


@pytest.mark.parametrize(
    "value",
    [
        "",
        "text ä € \U0001f600 \x00",
        0,
        2**63 - 1,
        -(2**63),
        2**31,
        -(2**31) - 1,
        1.0,
        -0.1,
        1e300,
        5e-324,
        float("inf"),
        float("-inf"),
        True,
        False,
        b"",
        bytes(range(256)),
        NOON,
        datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC),
        datetime.datetime(9999, 12, 31, 23, 59, 59, 999999, datetime.UTC),
    ],
    ids=repr,
)
async def test_values_come_back_as_what_they_were(table, value):
    await insert(table, row(values={"value": value}))
    found = await table.read("p", "r")
    assert found.values == {"value": value}
    assert type(found.values["value"]) is type(value)


async def test_what_is_not_a_number_comes_back(table):
    await insert(table, row(values={"value": math.nan}))
    assert math.isnan((await table.read("p", "r")).values["value"])


async def test_a_row_without_properties_has_none(table):
    await insert(table, row())
    assert (await table.read("p", "r")).values == {}
    assert [entity.values for entity in (await table.query("p")).entities] == [{}]


@pytest.mark.parametrize("key", ["", "'", "it's ''so''", "a b", "%41+&=;:,", "(k='v')", "ä€\U0001f600", "~!@$^*|<>"])
async def test_keys_are_what_they_are(table, key):
    (etag,) = await insert(table, row(key, {"n": 1}, partition=key))
    assert await table.read(key, key) == row(key, {"n": 1}, etag, key)
    page = await table.query(key, first=key, before=key + "~")
    assert [entity.row for entity in page.entities] == [key]
    await table.write([Merge(row(key, {"n": 2}, etag, key)), Insert(row(key + "2", partition=key))])
    await table.write([Delete(row(key, etag=ANY_ETAG, partition=key))])
    assert [entity.row for entity in (await table.query(key)).entities] == [key + "2"]


async def test_a_time_comes_back_in_utc(table):
    zone = datetime.timezone(datetime.timedelta(hours=2))
    await insert(table, row(values={"at": NOON.astimezone(zone)}))
    at = (await table.read("p", "r")).values["at"]
    assert at == NOON
    assert at.utcoffset() == datetime.timedelta(0)


async def test_a_written_row_has_the_etag_that_was_returned(table):
    (etag,) = await insert(table, row(values={"n": 1}))
    found = await table.read("p", "r")
    assert (found.partition, found.row, found.etag) == ("p", "r", etag)
    assert etag
    assert (await table.query("p")).entities == [found]


async def test_select_keeps_only_what_is_named(table):
    (etag,) = await insert(table, row(values={"a": 1, "b": 2}))
    assert (await table.read("p", "r", select=["b", "missing"])).values == {"b": 2}
    assert (await table.read("p", "r", select=[])).values == {}
    (entity,) = (await table.query("p", select=["a"])).entities
    assert entity.values == {"a": 1}
    assert entity.etag == (await table.read("p", "r", select=["a"])).etag == etag


# One operation


async def test_insert_refuses_a_row_that_exists(table):
    await insert(table, row(values={"n": 1}))
    with pytest.raises(Conflict) as caught:
        await insert(table, row(values={"n": 2}))
    assert (caught.value.partition, caught.value.row) == ("p", "r")
    assert (await table.read("p", "r")).values == {"n": 1}


async def test_replace_replaces_all_properties(table):
    (etag,) = await insert(table, row(values={"a": 1, "b": 2}))
    (new,) = await table.write([Replace(row(values={"b": 3}, etag=etag))])
    found = await table.read("p", "r")
    assert (found.values, found.etag) == ({"b": 3}, new)
    assert new != etag


async def test_merge_changes_only_the_given_properties(table):
    (etag,) = await insert(table, row(values={"a": 1, "b": b"\x00", "at": NOON}))
    await table.write([Merge(row(values={"a": "one", "c": 2.5}, etag=etag))])
    assert (await table.read("p", "r")).values == {"a": "one", "b": b"\x00", "at": NOON, "c": 2.5}


async def test_delete_removes_the_row(table):
    (etag,) = await insert(table, row())
    assert await table.write([Delete(row(etag=etag))]) == [""]
    assert await table.read("p", "r") is None


@pytest.mark.parametrize("operation", [Replace, Merge, Delete])
async def test_another_etag_is_a_conflict(table, operation):
    (old,) = await insert(table, row(values={"n": 1}))
    await table.write([Replace(row(values={"n": 2}, etag=old))])
    with pytest.raises(Conflict) as caught:
        await table.write([operation(row(values={"n": 3}, etag=old))])
    assert (caught.value.partition, caught.value.row) == ("p", "r")
    assert (await table.read("p", "r")).values == {"n": 2}


@pytest.mark.parametrize("operation", [Replace, Merge])
async def test_any_etag_overwrites(table, operation):
    await insert(table, row(values={"n": 1}))
    await table.write([operation(row(values={"n": 2}, etag=ANY_ETAG))])
    assert (await table.read("p", "r")).values == {"n": 2}


async def test_any_etag_deletes(table):
    await insert(table, row())
    await table.write([Delete(row(etag=ANY_ETAG))])
    assert await table.read("p", "r") is None


@pytest.mark.parametrize("operation", [Replace, Merge, Delete])
async def test_a_row_that_does_not_exist_cannot_be_changed(table, operation):
    (etag,) = await insert(table, row("other"))
    for condition in (ANY_ETAG, etag):
        with pytest.raises(NotFound) as caught:
            await table.write([operation(row(etag=condition))])
        assert (caught.value.partition, caught.value.row) == ("p", "r")
    assert await table.read("p", "r") is None


async def test_an_etag_is_never_used_again(table):
    etags = set()
    for _ in range(3):
        etags.update(await insert(table, row()))
        etags.update(await table.write([Replace(row(etag=ANY_ETAG))]))
        await table.write([Delete(row(etag=ANY_ETAG))])
    assert len(etags) == 6


async def test_of_those_who_race_for_a_row_one_wins(table):
    (etag,) = await insert(table, row(values={"winner": -1}))
    outcomes = await asyncio.gather(
        *(table.write([Replace(row(values={"winner": number}, etag=etag))]) for number in range(20)),
        return_exceptions=True,
    )
    winners = [number for number, outcome in enumerate(outcomes) if not isinstance(outcome, Exception)]
    assert len(winners) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 19
    assert (await table.read("p", "r")).values == {"winner": winners[0]}


async def test_of_those_who_race_to_insert_one_wins(table):
    outcomes = await asyncio.gather(
        *(insert(table, row(values={"winner": number})) for number in range(20)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 19


# Transactions


async def test_a_transaction_does_all(table):
    first, second, third = await insert(table, row("a", {"n": 1}), row("b", {"n": 1}), row("c", {"n": 1}))
    etags = await table.write(
        [
            Replace(row("a", {"m": 2}, first)),
            Merge(row("b", {"m": 2}, second)),
            Delete(row("c", etag=third)),
            Insert(row("d", {"m": 2})),
        ]
    )
    found = {entity.row: entity for entity in (await table.query("p")).entities}
    assert {key: entity.values for key, entity in found.items()} == {
        "a": {"m": 2},
        "b": {"n": 1, "m": 2},
        "d": {"m": 2},
    }
    assert etags == [found["a"].etag, found["b"].etag, "", found["d"].etag]
    assert len(set(etags)) == 4


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (lambda _: Insert(row("exists")), Conflict),
        (lambda etag: Replace(row("exists", etag=etag)), Conflict),
        (lambda etag: Delete(row("exists", etag=etag)), Conflict),
        (lambda _: Merge(row("missing", etag=ANY_ETAG)), NotFound),
        (lambda _: Delete(row("missing", etag=ANY_ETAG)), NotFound),
    ],
    ids=["insert", "replace", "delete", "merge missing", "delete missing"],
)
async def test_a_transaction_does_nothing_when_one_is_refused(table, refused, error):
    _, another = await insert(table, row("exists", {"n": 1}), row("other", {"n": 1}))
    operation = refused(another)
    before = (await table.query("p")).entities
    others = [Insert(row("new")), Replace(row("other", {"n": 2}, ANY_ETAG))]
    for operations in ([operation, *others], [*others, operation]):
        with pytest.raises(error) as caught:
            await table.write(operations)
        assert (caught.value.partition, caught.value.row) == ("p", operation.entity.row)
        assert (await table.query("p")).entities == before


async def test_a_refused_transaction_does_not_harm_its_neighbours(table):
    await insert(table, row("exists"))
    outcomes = await asyncio.gather(
        *(insert(table, row(f"n{number}" if number % 2 else "exists")) for number in range(10)), return_exceptions=True
    )
    assert [isinstance(outcome, Conflict) for outcome in outcomes] == [True, False] * 5
    assert await keys(table) == ["exists", "n1", "n3", "n5", "n7", "n9"]


# Limits


async def test_a_transaction_has_at_most_100_operations(table):
    with pytest.raises(LimitExceeded):
        await insert(table, *(row(f"{number:03}") for number in range(MAX_OPERATIONS + 1)))
    assert await keys(table) == []
    await insert(table, *(row(f"{number:03}") for number in range(MAX_OPERATIONS)))
    assert len(await keys(table)) == MAX_OPERATIONS


BAD_TRANSACTIONS = {
    "empty": [],
    "two partitions": [Insert(row("a")), Insert(row("b", partition="other"))],
    "one row twice": [Insert(row("a")), Replace(row("a", etag=ANY_ETAG))],
    "no etag": [Replace(row("a"))],
    "4 MiB": [Insert(row(f"{n}", {f"p{m}": bytes(60_000) for m in range(17)})) for n in range(5)],
    "1 MiB entity": [Insert(row("a", {f"p{m}": bytes(MAX_PROPERTY_BYTES) for m in range(16)}))],
    "64 KiB of bytes": [Insert(row("a", {"v": bytes(MAX_PROPERTY_BYTES + 1)}))],
    "64 KiB of text": [Insert(row("a", {"v": "x" * (MAX_PROPERTY_BYTES // 2 + 1)}))],
    "too many properties": [Insert(row("a", {f"p{n}": n for n in range(MAX_PROPERTIES + 1)}))],
    "65 bits": [Insert(row("a", {"v": 2**63}))],
    "year 1600": [Insert(row("a", {"v": datetime.datetime(1600, 12, 31, tzinfo=datetime.UTC)}))],
    "4 MiB as JSON": [Insert(row(f"{n:02}", {"v": bytes(60_000)})) for n in range(53)],
    "4 MiB of escapes": [Insert(row(f"{n:02}", {"v": "\x01" * 30_000})) for n in range(24)],
    "name with a dash": [Insert(row("a", {"with-dash": 1}))],
    "name with a digit first": [Insert(row("a", {"1st": 1}))],
    "no name": [Insert(row("a", {"": 1}))],
    "long name": [Insert(row("a", {"n" * 256: 1}))],
    "a name of the service": [Insert(row("a", {"Timestamp": 1}))],
    "slash": [Insert(row("a/b"))],
    "control character": [Insert(row("a\n"))],
    "bad partition": [Insert(row("a", partition="what?"))],
    "long key": [Insert(row("k" * 1025))],
}


@pytest.mark.parametrize("operations", BAD_TRANSACTIONS.values(), ids=BAD_TRANSACTIONS)
async def test_what_azure_refuses_is_refused(table, operations):
    with pytest.raises(LimitExceeded):
        await table.write(operations)
    assert (await table.query("p")).entities == []


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp's, from 1 MiB on
async def test_what_just_fits_is_kept(table):
    values = {
        f"p{number:02}": bytes(MAX_PROPERTY_BYTES - 22) for number in range(MAX_ENTITY_BYTES // MAX_PROPERTY_BYTES)
    }
    await insert(table, row("k", values))
    assert (await table.read("p", "k")).values == values


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_transaction_that_just_fits_is_written(table):
    rows = [row(f"{number:03}", {f"n{n}": n for n in range(50)} | {"v": bytes(25_000)}) for number in range(100)]
    await insert(table, *rows)
    assert len(await keys(table)) == 100


@pytest.mark.parametrize("limit", [0, MAX_PAGE + 1])
async def test_a_page_has_1_to_1000_rows(table, limit):
    with pytest.raises(LimitExceeded):
        await table.query("p", limit=limit)


BAD_CONDITIONS = {
    "13 conditions": [Where("v", "gt", number) for number in range(13)],
    "a name that is none": [Where("v eq 1 or w", "eq", 1)],
    "a key": [Where("RowKey", "eq", "r")],
    "65 bits": [Where("v", "lt", 2**63)],
    "no time zone": [Where("v", "lt", NOON.replace(tzinfo=None))],
    "not a number": [Where("v", "lt", math.nan)],
}


@pytest.mark.parametrize("where", BAD_CONDITIONS.values(), ids=BAD_CONDITIONS)
async def test_conditions_that_azure_refuses_are_refused(table, where):
    await insert(table, row(values={"v": 1}))
    with pytest.raises(LimitExceeded):
        await table.query("p", where=where)


async def test_twelve_conditions_beside_a_range(table):
    await insert(table, row("a", {"v": 1}))
    where = [Where("v", "gt", -number) for number in range(12)]
    assert await keys(table, first="a", before="b", where=where) == ["a"]


# Queries


async def test_a_query_stays_in_its_partition_and_goes_by_row_key(table):
    await insert(table, row("b"), row("a"), row("B"), row("10"), row("9"))
    await insert(table, row("c", partition="p2"))
    assert await keys(table) == ["10", "9", "B", "a", "b"]


async def test_a_range_of_row_keys(table):
    await insert(table, *(row(key) for key in "abcde"))
    assert await keys(table, first="b") == ["b", "c", "d", "e"]
    assert await keys(table, before="c") == ["a", "b"]
    assert await keys(table, first="b", before="d") == ["b", "c"]
    assert await keys(table, first="bb", before="bc") == []


async def test_pages_together_have_each_row_once(table):
    await insert(table, *(row(f"{number:02}") for number in range(10)))
    found, pages = await all_keys(table, first="02", before="09", limit=3)
    assert found == [f"{number:02}" for number in range(2, 9)]
    assert pages == 3


async def test_a_row_added_behind_a_page_is_found_by_the_next(table):
    await insert(table, *(row(key) for key in "aceg"))
    page = await table.query("p", limit=2)
    await insert(table, row("b"), row("f"))
    rest = await table.query("p", continuation=page.continuation)
    assert [entity.row for entity in rest.entities] == ["e", "f", "g"]


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        ("eq", ["2"]),
        ("ne", ["1", "3"]),
        ("lt", ["1"]),
        ("le", ["1", "2"]),
        ("gt", ["3"]),
        ("ge", ["2", "3"]),
    ],
)
@pytest.mark.parametrize(
    "values",
    [
        ["a", "b", "c"],
        [-1, 0, 1],
        [0.5, 1.5, 2.5],
        [NOON - datetime.timedelta(1), NOON, NOON + datetime.timedelta(1)],
        ["it", "it's", "it's a 'b' eq c"],
        [-(2**40), 2**31, 2**40],
        [2**53 - 1, 2**53, 2**53 + 1],
        [1e-7, 1.0, 1e16],
    ],
    ids=["text", "integers", "floats", "times", "quotes", "64 bits", "53 bits", "exponents"],
)
async def test_comparisons(table, comparison, expected, values):
    await insert(table, *(row(key, {"v": value}) for key, value in zip("123", values, strict=True)), row("4"))
    assert await keys(table, where=[Where("v", comparison, values[1])]) == expected


async def test_bytes_can_be_compared(table):
    await insert(table, row("a", {"v": b"\x00\xff"}), row("b", {"v": b""}))
    assert await keys(table, where=[Where("v", "eq", b"\x00\xff")]) == ["a"]
    assert await keys(table, where=[Where("v", "ne", b"\x00\xff")]) == ["b"]


async def test_booleans_are_no_numbers(table):
    await insert(table, row("a", {"v": True}), row("b", {"v": 1.0}))
    assert await keys(table, where=[Where("v", "eq", True)]) == ["a"]
    assert await keys(table, where=[Where("v", "eq", 1.0)]) == ["b"]


async def test_a_condition_finds_only_its_type(local_table):
    await insert(local_table, row("a", {"v": True}), row("b", {"v": 1}), row("c", {"v": 1.0}), row("d", {"v": "1"}))
    for key, value in zip("abcd", [True, 1, 1.0, "1"], strict=True):
        assert await keys(local_table, where=[Where("v", "eq", value)]) == [key]


async def test_a_row_without_the_property_does_not_match(table):
    await insert(table, row("a", {"v": "x"}), row("b", {"w": "x"}))
    assert await keys(table, where=[Where("v", "ne", "y")]) == ["a"]


async def test_all_conditions_must_hold(table):
    await insert(table, *(row(f"{n}", {"n": n, "even": n % 2 == 0}) for n in range(10)))
    where = [Where("n", "gt", 3), Where("n", "le", 8), Where("even", "eq", True)]
    assert await keys(table, where=where) == ["4", "6", "8"]


async def test_a_condition_may_be_on_what_is_not_selected(table):
    await insert(table, row("a", {"v": 1, "w": 2}))
    page = await table.query("p", where=[Where("v", "eq", 1)], select=["w"])
    assert [entity.values for entity in page.entities] == [{"w": 2}]


async def test_limit_counts_what_matches(table):
    await insert(table, *(row(f"{n:02}", {"even": n % 2 == 0}) for n in range(20)))
    page = await table.query("p", where=[Where("even", "eq", True)], limit=4)
    assert [entity.row for entity in page.entities] == ["00", "02", "04", "06"]
    found, _ = await all_keys(table, where=[Where("even", "eq", True)], limit=4)
    assert found == [f"{n:02}" for n in range(0, 20, 2)]


async def test_a_filter_bounds_the_work_of_a_page(local_table):
    for start in range(0, 2 * MAX_PAGE + 100, 100):
        await insert(local_table, *(row(f"{n:05}", {"last": n == 2 * MAX_PAGE}) for n in range(start, start + 100)))
    page = await local_table.query("p", where=[Where("last", "eq", True)])
    assert page.entities == []
    assert page.continuation is not None
    found, pages = await all_keys(local_table, where=[Where("last", "eq", True)])
    assert (found, pages) == ([f"{2 * MAX_PAGE:05}"], 3)


async def test_rows_without_a_filter_come_1000_a_page(table):
    for start in range(0, MAX_PAGE + 100, 100):
        await insert(table, *(row(f"{n:05}") for n in range(start, start + 100)))
    page = await table.query("p")
    assert len(page.entities) == MAX_PAGE
    assert len((await table.query("p", continuation=page.continuation)).entities) == 100


async def large_rows(table):
    for start in range(0, 120, 40):
        await insert(table, *(row(f"{n:03}", {"v": bytes(60_000)}) for n in range(start, start + 40)))


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_large_rows_are_all_found(table):
    await large_rows(table)
    found, _ = await all_keys(table)
    assert found == [f"{n:03}" for n in range(120)]


async def test_a_page_of_large_rows_ends_early(local_table):
    await large_rows(local_table)
    assert 1 <= len((await local_table.query("p")).entities) < 120
