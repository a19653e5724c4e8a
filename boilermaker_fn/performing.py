"""How are effects on rows performed? On the Table port, each yielding one event."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from . import effects as fx
from . import table_effects as tx
from .entities import MAX_PAGE, Entity
from .errors import Conflict, NotFound, StoreUnavailable

if TYPE_CHECKING:
    from .ports import Table

Answer: TypeAlias = tx.TableEvent | fx.StoreDown


async def performed(effect: tx.TableEffect, table: Table, clock: Callable[[], float]) -> Answer:
    """Perform one effect; `clock` gives seconds since the epoch. A store that does not answer yields StoreDown."""
    try:
        if isinstance(effect, tx.Read):
            entity = await table.read(effect.partition, effect.row, effect.select)
            return tx.Found(entity, clock())
        if isinstance(effect, tx.Query):
            entities = await _all(effect, table)
            return tx.Queried(entities, clock())
        etags = await table.write(effect.operations)
    except Conflict:
        return tx.Refused(clock())
    except NotFound:
        return tx.Missing(clock())
    except StoreUnavailable as error:
        return fx.StoreDown(str(error), clock())
    return tx.Written(tuple(etags), clock())


async def _all(query: tx.Query, table: Table) -> tuple[Entity, ...]:
    found: list[Entity] = []
    continuation: str | None = None
    while True:
        page = await table.query(
            query.partition,
            first=query.first,
            before=query.before,
            where=query.where,
            select=query.select,
            limit=MAX_PAGE,
            continuation=continuation,
        )
        found += page.entities
        if page.continuation is None:
            return tuple(found)
        continuation = page.continuation


PERFORMED: Final = (tx.Read, tx.Query, tx.Write)
