"""What do the tasks work with? A shop in memory: a bank, couriers, and what was told to customers.

Nothing here is random. The bank and the couriers answer as the test cards and test couriers in the file say, so
every run tells the same story.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from .models import Card, Courier, Currency, Order, Shipment

_HOME = {
    Currency.EUR: {"DE", "ES", "FR", "IT", "NL", "PT"},
    Currency.USD: {"US"},
    Currency.GBP: {"GB"},
    Currency.CHF: {"CH"},
    Currency.SEK: {"SE"},
}

# How often the bank does not answer.
_BUSY = {Card.BUSY_ONCE: 1, Card.BUSY_TWICE: 2, Card.UNREACHABLE: 1_000}
# How long handing a parcel over takes, in seconds.
_HANDOVER = {Courier.POSTAL: 0.3, Courier.LOST: 60.0}
_USUAL_HANDOVER = 0.1


class BankBusy(Exception):
    """The bank did not answer; it may, if it is asked again."""


class FraudSuspected(Exception):
    """Better not to take money for an order."""


class NotAnOrder(ValueError):
    """A row of the file cannot be read as an order."""


class OutOfPaper(Exception):
    """Somebody has to walk to the printer."""


class NobodyHome(Exception):
    """An error of the nastier kind: asking what it says fails too."""

    def __str__(self) -> str:
        raise RuntimeError("no words for this")


class Bank:
    """Takes money, when it is not busy."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()

    async def take(self, order: Order) -> str | None:
        """The reference of the payment; None when the card is declined. Raises BankBusy."""
        await asyncio.sleep(0.05)
        self._asked[order.order_id] += 1
        if self._asked[order.order_id] <= _BUSY.get(order.card, 0):
            raise BankBusy("the bank does not answer")
        return None if order.card is Card.DECLINED else f"PAY-{order.order_id}"


class Couriers:
    """Carry parcels; some take their time, some never come back."""

    def __init__(self) -> None:
        self._turned_away: set[str] = set()

    async def hand_over(self, order: Order) -> Shipment | None:
        """The shipment; None when the van is full today."""
        if order.courier is Courier.FULL and order.order_id not in self._turned_away:
            self._turned_away.add(order.order_id)
            return None
        await asyncio.sleep(_HANDOVER.get(order.courier, _USUAL_HANDOVER))
        shipment = Shipment(tracking=f"TRK-{order.order_id}", courier=order.courier, ship_by=order.ship_by)
        if order.courier is Courier.QUANTUM:
            return shipment.model_copy(update={"tracking": {"here", "there"}})
        return shipment


class Printer:
    """Prints, when there is paper. Nobody ever refills it."""

    def print(self, text: str) -> None:
        """Raises OutOfPaper."""
        raise OutOfPaper(f"no paper for {len(text)} characters")


class Shop:
    """The state every task function gets."""

    def __init__(self) -> None:
        self.bank = Bank()
        self.couriers = Couriers()
        self.printer = Printer()

    def risk(self, order: Order) -> int:
        """How risky an order is, from 0 to 100. Blocks, as old libraries do."""
        time.sleep(0.02)
        if order.customer == "Null Null":
            raise NobodyHome
        far = order.country not in _HOME[order.currency]
        return min(100, int(order.amount / 200) + 50 * far)
