"""How is it told what somebody did? In a few words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from boilermaker_fn import effects as fx
from boilermaker_fn import table_effects as tx
from boilermaker_fn.entities import Entity


def said(effect: Any) -> str:
    """What was asked for."""
    if isinstance(effect, tx.Write):
        rows = [one.entity for one in effect.operations]
        return f"writes {_named(rows)} in {rows[0].partition}"
    if isinstance(effect, tx.Read):
        return f"reads {effect.row} in {effect.partition}"
    if isinstance(effect, tx.Query):
        return f"queries {effect.first}... in {effect.partition}"
    if isinstance(effect, fx.Send):
        return "sends " + ", ".join(message.message_id for message in effect.messages)
    return type(effect).__name__.lower()


def heard(event: Any) -> str:
    """What was answered."""
    if isinstance(event, tx.Queried):
        return _named(event.entities) or "nothing"
    if isinstance(event, tx.Found):
        return "nothing" if event.entity is None else str(event.entity.values.get("status", ""))
    return type(getattr(event, "outcome", event)).__name__.lower()


def _named(rows: Iterable[Entity]) -> str:
    return ", ".join(f"{row.row} {row.values.get('status', '')!s}".strip() for row in rows)
