"""Which tasks does the shop run? From an order to a parcel: screen, charge, invoice, ship, and what follows.

What it does at the end of the day stands in closing.py.

`app` is what a worker and a Function App serve. Importing this module connects to nothing.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import os
from decimal import ROUND_HALF_UP, Decimal

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy, Task
from boilermaker_fn.failure import TaskFailureResult, TaskFailureResultType

from . import closing
from .models import BadRow, Currency, Invoice, Order, Payment, Shipment
from .shop import BankBusy, FraudSuspected, NotAnOrder, Shop

TAX = Decimal("0.19")
_CENT = Decimal("0.01")

app = Boilermaker(Shop())


@app.task
def screen(shop: Shop, order: Order) -> int:
    """Is this fraud? A plain function: it blocks, so it runs in a thread."""
    risk = shop.risk(order)
    if risk > 90:
        raise FraudSuspected(f"risk {risk} of 100: {order.amount} {order.currency} from {order.country}")
    return risk


@app.task(retry_on=(BankBusy,), policy=RetryPolicy(max_tries=6, delay=0.4))
async def charge(shop: Shop, order: Order) -> Payment | TaskFailureResultType:
    """Take the money. A busy bank is asked again, every 0.4 s and six times in all; a declined card is not."""
    reference = await shop.bank.take(order)
    if reference is None:
        return TaskFailureResult
    return Payment(reference=reference, amount=order.amount, currency=order.currency)


@app.task
async def receipt(shop: Shop, order_id: str, amount: Decimal, currency: Currency) -> str:
    """Thank the customer."""
    await asyncio.sleep(0.01)
    return f"{order_id}: {amount} {currency} received, thank you"


@app.task(cpu_bound=True, timeout=60)
def invoice(order: Order, tax: Decimal) -> Invoice:
    """Write and seal the invoice. It computes, so it runs in a process of its own, without the shop."""
    if "\N{BOMB}" in order.customer:
        os._exit(70)  # as a crash in a C library would end it: the process is gone, the worker is not
    net = (order.amount / (1 + tax)).quantize(_CENT, ROUND_HALF_UP)
    seal = hashlib.pbkdf2_hmac("sha256", order.model_dump_json().encode(), b"the shop's own salt", 4_000)
    return Invoice(
        number=f"INV-{order.order_id}",
        issued_on=order.placed_on,
        net=net,
        tax=order.amount - net,
        total=order.amount,
        currency=order.currency,
        seal=seal.hex(),
    )


@app.task(timeout=2.0)
async def ship(shop: Shop, order: Order, ship_by: datetime.date) -> Shipment:
    """Hand the parcel to the courier, who has two seconds. If the van is full, try the next one."""
    shipment = await shop.couriers.hand_over(order)
    if shipment is None:
        raise RetryException(f"the van is full, to go until {ship_by}", policy=RetryPolicy(max_tries=3, delay=1))
    return shipment


@app.task
async def refund(shop: Shop, order_id: str, amount: Decimal, currency: Currency) -> str:
    """Give the money back."""
    await asyncio.sleep(0.03)
    return f"{order_id}: {amount} {currency} returned"


@app.task
async def notify(shop: Shop, order_id: str, text: str) -> str:
    """Tell the customer that it did not work out."""
    await asyncio.sleep(0.01)
    return f"{order_id}: {text}"


@app.task
async def set_aside(shop: Shop, row: BadRow) -> None:
    """A row that is no order: it fails with what is wrong, and waits for a human among the dead letters."""
    raise NotAnOrder(row.problem)


app.register_many_async(closing.TASKS)


def fulfilment(order: Order, run: str) -> Task:
    """All that an order takes, to be published: `screen`, `charge`, `invoice`, `ship`, one after another.

    A charge that went through sends a receipt; if something fails after it the money is returned, and in any case the
    customer is told. The ids are made of `run` and the order's, so publishing an order twice runs it once.
    """

    def named(step: str) -> str:
        return f"{run}.{order.order_id}.{step}"

    money = (order.order_id, order.amount, order.currency)
    sorry = app.options(task_id=named("notify")).create_task(notify, order.order_id, "sorry, nothing will come")
    screening = app.options(task_id=named("screen")).create_task(screen, order)
    payment = app.options(task_id=named("charge")).create_task(charge, order)
    payment.on_success = app.options(task_id=named("receipt")).create_task(receipt, *money)
    billing = app.options(task_id=named("invoice")).create_task(invoice, order, TAX)
    shipping = app.options(task_id=named("ship")).create_task(ship, order, order.ship_by)
    returned = app.options(task_id=named("refund")).create_task(refund, *money)
    returned.on_success = sorry
    billing.on_failure = shipping.on_failure = returned
    return app.chain(screening, payment, billing, shipping, on_failure=sorry)


def rejection(row: BadRow, run: str) -> Task:
    """The task for a row that is no order."""
    return app.options(task_id=f"{run}.line-{row.line}.set_aside").create_task(set_aside, row)
