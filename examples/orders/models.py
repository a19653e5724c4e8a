"""What travels through the queue? Orders and what becomes of them; money is Decimal, days are dates."""

from __future__ import annotations

import datetime
import enum
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field


class Currency(enum.StrEnum):
    """What the shop takes."""

    EUR = "EUR"
    USD = "USD"
    GBP = "GBP"
    CHF = "CHF"
    SEK = "SEK"


class Priority(enum.StrEnum):
    """How soon an order leaves the house."""

    STANDARD = "standard"
    EXPRESS = "express"


class Card(enum.StrEnum):
    """Test cards: as with a real bank's, their name says what the bank will answer."""

    VISA = "visa"
    DECLINED = "declined"
    BUSY_ONCE = "busy-once"
    BUSY_TWICE = "busy-twice"
    UNREACHABLE = "unreachable"


class Courier(enum.StrEnum):
    """Test couriers: two that deliver, and what couriers do otherwise."""

    SWIFT = "swift"
    POSTAL = "postal"
    FULL = "full"
    LOST = "lost"
    QUANTUM = "quantum"


class Order(BaseModel):
    """One order of the file."""

    model_config = ConfigDict(frozen=True)

    order_id: str = Field(pattern=r"^O-\d{4}$")
    placed_on: datetime.date
    customer: str = Field(min_length=1)
    country: str = Field(pattern=r"^[A-Z]{2}$")
    currency: Currency
    amount: Decimal = Field(gt=0, max_digits=10, decimal_places=2)
    priority: Priority
    card: Card
    courier: Courier

    @property
    def ship_by(self) -> datetime.date:
        """The last day on which it may leave the house."""
        return self.placed_on + datetime.timedelta(days=1 if self.priority is Priority.EXPRESS else 4)


class BadRow(BaseModel):
    """A row of the file that is no order: its line (the header is 1), its cells, and what is wrong with it."""

    line: int
    cells: list[str]
    problem: str


class Payment(BaseModel):
    """Money that was taken."""

    reference: str
    amount: Decimal
    currency: Currency


class Invoice(BaseModel):
    """An invoice with its tax, and a seal over it that is expensive to forge."""

    number: str
    issued_on: datetime.date
    net: Decimal
    tax: Decimal
    total: Decimal
    currency: Currency
    seal: str


class Shipment(BaseModel):
    """A parcel under way."""

    tracking: str
    courier: Courier
    ship_by: datetime.date


class Sale(BaseModel):
    """A parcel that was paid for and is under way."""

    order_id: str
    amount: Decimal
    currency: Currency


class Region(BaseModel):
    """A country, and what was sold there today."""

    country: str
    sales: list[Sale]


class RegionReport(BaseModel):
    """One region's day."""

    country: str
    parcels: int
    takings: dict[Currency, Decimal]


class DayReport(BaseModel):
    """The whole day; the region with the most parcels is first."""

    parcels: int
    takings: dict[Currency, Decimal]
    regions: list[RegionReport]
