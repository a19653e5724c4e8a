"""How is a published graph cancelled, or begun anew? The machines of `graph_progress`, driven from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import effects as fx
from . import table_effects as tx
from .errors import StoreUnavailable
from .graph_errors import GraphNotFound, GraphNotRetried
from .graph_progress import cancelling, reopening
from .graph_progress.heads import GraphStatus
from .performing import performed

if TYPE_CHECKING:
    from .ports import Table, Transport


class GraphControl:
    """Changes how one graph goes on. Everything raises GraphNotFound, StoreUnavailable, and NotSent."""

    def __init__(self, table: Table, transport: Transport, clock: Callable[[], float], graph_id: str) -> None:
        self._table = table
        self._transport = transport
        self._clock = clock
        self._graph_id = graph_id

    async def cancel(self) -> GraphStatus:
        """Cancel it; where it stands then."""
        return GraphStatus(await self._driven(cancelling.step, *cancelling.started(self._graph_id)))

    async def retry_failed(self) -> None:
        """Begin it anew where it failed. Raises GraphNotRetried for one that has not ended badly."""
        await self._driven(reopening.step, *reopening.started(self._graph_id))

    async def _driven(self, step: Callable[[Any, Any], Any], state: Any, effect: Any) -> str:
        while not isinstance(effect, fx.Settle):
            if isinstance(effect, fx.Hold):
                raise GraphNotRetried(self._graph_id, effect.why)
            state, effect = step(state, await self._performed(effect))
        if effect.ending in (cancelling.Phase.GONE, reopening.Phase.GONE):
            raise GraphNotFound(self._graph_id)
        return effect.ending

    async def _performed(self, effect: Any) -> Any:
        if isinstance(effect, fx.Send):
            await self._transport.send(effect.messages)
            return fx.Sent()
        if not isinstance(effect, tx.Read | tx.Query | tx.Write):
            raise TypeError(f"changing a graph asked for {effect!r}")
        answer = await performed(effect, self._table, self._clock)
        if isinstance(answer, fx.StoreDown):
            raise StoreUnavailable(answer.error)
        return answer
