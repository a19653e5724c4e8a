"""Does a write that was done, and whose answer was lost, stay done once, and is it reported so?"""

from __future__ import annotations

import pytest

from boilermaker_fn.entities import ANY_ETAG, Delete, Entity, Insert, Merge, Replace
from boilermaker_fn.errors import Conflict, NotFound
from tests.tables.proxy import answers, cuts_after, cuts_before, done_then, halves, hides_success, meanwhile, passes

LOSSES = [cuts_after, halves, hides_success]
NOT_DONE = [cuts_before, answers(503, "ServerBusy")]
A, B = {"n": 1, "at": 1.5, "text": "it's"}, {"n": 2, "raw": b"\x00", "nan": float("nan")}


def row(key, values=None, etag=""):
    return Entity("p", key, values or {}, etag)


async def rows_of(table):
    return {entity.row: dict(entity.values) for entity in (await table.query("p")).entities}


def texts(rows):
    """NaN is not equal to itself."""
    return {key: sorted(map(repr, values.items())) for key, values in rows.items()}


WRITES = {
    "insert": lambda etag: [Insert(row("new", B))],
    "replace": lambda etag: [Replace(row("old", B, etag))],
    "merge": lambda etag: [Merge(row("old", B, etag))],
    "delete": lambda etag: [Delete(row("old", etag=etag))],
    "replace any": lambda etag: [Replace(row("old", B, ANY_ETAG))],
    "merge any": lambda etag: [Merge(row("old", B, ANY_ETAG))],
    "delete any": lambda etag: [Delete(row("old", etag=ANY_ETAG))],
    "transaction": lambda etag: [Replace(row("old", B, etag)), Insert(row("new", A)), Delete(row("older", etag="*"))],
}
EXPECTED = {
    "insert": {"old": A, "older": A, "new": B},
    "replace": {"old": B, "older": A},
    "merge": {"old": {**A, **B}, "older": A},
    "delete": {"older": A},
    "replace any": {"old": B, "older": A},
    "merge any": {"old": {**A, **B}, "older": A},
    "delete any": {"older": A},
    "transaction": {"old": B, "new": A},
}


@pytest.mark.parametrize("what", WRITES)
@pytest.mark.parametrize("fault", [*LOSSES, *NOT_DONE])
async def test_a_write_is_done_once_and_reported_as_done(table, direct, proxy, what, fault):
    (etag, _) = await table.write([Insert(row("old", A)), Insert(row("older", A))])
    operations = WRITES[what](etag)
    # The connection is in use by now, and it is lost twice.
    proxy.faults = [fault, fault]
    etags = await table.write(operations)
    assert texts(await rows_of(direct)) == texts(EXPECTED[what])
    for operation, new in zip(operations, etags, strict=True):
        found = await direct.read("p", operation.entity.row)
        assert new == ("" if found is None else found.etag)


@pytest.mark.parametrize("what", ["insert", "replace", "merge", "delete", "transaction"])
async def test_a_kept_connection_that_is_lost_once(table, direct, proxy, what):
    """aiohttp repeats a PUT or DELETE by itself then, without a word."""
    (etag, _) = await table.write([Insert(row("old", A)), Insert(row("older", A))])
    proxy.faults = [cuts_after]
    await table.write(WRITES[what](etag))
    assert texts(await rows_of(direct)) == texts(EXPECTED[what])


@pytest.mark.parametrize("fault", [cuts_before, cuts_after])
async def test_a_row_of_another_writer_is_a_conflict(table, direct, proxy, fault):
    await direct.write([Insert(row("old", A))])
    proxy.faults = [fault]
    with pytest.raises(Conflict) as caught:
        await table.write([Insert(row("old", B))])
    assert caught.value.row == "old"
    assert await rows_of(direct) == {"old": A}


@pytest.mark.parametrize("operation", [Replace, Merge, Delete])
@pytest.mark.parametrize("fault", [cuts_before, answers(500, "InternalError")])
async def test_who_lost_the_race_is_told_so(table, direct, proxy, operation, fault):
    (etag,) = await direct.write([Insert(row("old", A))])
    proxy.faults = [meanwhile(lambda: direct.write([Replace(row("old", {"n": 3}, etag))]), fault)]
    with pytest.raises(Conflict):
        await table.write([operation(row("old", B, etag))])
    assert await rows_of(direct) == {"old": {"n": 3}}


async def test_a_transaction_that_was_not_done_is_not_taken_for_done(table, direct, proxy):
    (etag,) = await direct.write([Insert(row("old", A))])
    proxy.faults = [meanwhile(lambda: direct.write([Replace(row("old", B, etag))]), cuts_before)]
    with pytest.raises(Conflict) as caught:
        # The row holds what this one would have written; the other row does not.
        await table.write([Replace(row("old", B, etag)), Insert(row("new", B))])
    assert caught.value.row == "old"
    assert list(await rows_of(direct)) == ["old"]


async def test_a_conflict_without_a_loss_costs_no_reading(table, direct, proxy):
    await direct.write([Insert(row("old", A))])
    with pytest.raises(Conflict):
        await table.write([Insert(row("old", A))])
    assert len(proxy.requests) == 1


async def test_who_was_throttled_and_then_finds_the_row_there_did_not_write_it(table, direct, proxy):
    await direct.write([Insert(row("old", A))])
    proxy.faults = [answers(429, "TooManyRequests")]
    with pytest.raises(Conflict):
        await table.write([Insert(row("old", A))])


async def test_a_row_that_is_gone_is_not_found(table, direct, proxy):
    (etag,) = await direct.write([Insert(row("old", A))])
    proxy.faults = [meanwhile(lambda: direct.write([Delete(row("old", etag=etag))]), cuts_before)]
    with pytest.raises(NotFound) as caught:
        await table.write([Merge(row("old", B, etag))])
    assert caught.value.row == "old"


async def test_a_row_that_was_written_and_then_changed_by_another_is_a_conflict(table, direct, proxy):
    (etag,) = await direct.write([Insert(row("old", A))])
    proxy.faults = [done_then(lambda: direct.write([Merge(row("old", {"n": 3}, ANY_ETAG))]))]
    with pytest.raises(Conflict):
        await table.write([Replace(row("old", B, etag))])
    assert (await rows_of(direct))["old"]["n"] == 3


async def test_looking_it_up_is_tried_again_too(table, direct, proxy):
    await direct.write([Insert(row("old", A))])
    busy = answers(503, "ServerBusy")
    proxy.faults = [cuts_after, passes, busy, passes, busy]
    await table.write([Insert(row("new", A))])
    assert await rows_of(direct) == {"old": A, "new": A}
    assert [request.split()[0] for request in proxy.requests] == ["POST", *["POST", "GET"] * 3]
