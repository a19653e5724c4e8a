"""What does the shop do when the day is over? It reports: a graph over the regions that were sold to.

How many regions there are is known only when the first task has run; the map runs one task for each. The report is
sent and printed, at the same time; the printer is out of paper, so the archive gets it instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from boilermaker_fn import Boilermaker
from boilermaker_fn.task import TaskGraph, TaskGraphBuilder

from .models import Currency, DayReport, Order, Region, RegionReport, Sale
from .reading import read
from .shop import Shop


def find_regions(shop: Shop, shipped: list[str]) -> list[Region]:
    """Where did the parcels of these orders go? It reads a file, so it is a plain function, in a thread."""
    regions: dict[str, Region] = {}
    wanted = frozenset(shipped)
    for _, row in read():
        if isinstance(row, Order) and row.order_id in wanted:
            region = regions.setdefault(row.country, Region(country=row.country, sales=[]))
            region.sales.append(Sale(order_id=row.order_id, amount=row.amount, currency=row.currency))
    return [regions[country] for country in sorted(regions)]


async def report_region(shop: Shop, region: Region) -> RegionReport:
    """One region's day. Runs for all of them at once."""
    takings = _sum((sale.currency, sale.amount) for sale in region.sales)
    return RegionReport(country=region.country, parcels=len(region.sales), takings=takings)


async def report_day(shop: Shop, regions: list[RegionReport]) -> DayReport:
    """All regions together, when all are there."""
    return DayReport(
        parcels=sum(region.parcels for region in regions),
        takings=_sum(item for region in regions for item in region.takings.items()),
        regions=sorted(regions, key=lambda region: (-region.parcels, region.country)),
    )


async def send_report(shop: Shop, report: DayReport) -> str:
    """The owner reads it on the phone."""
    return f"{report.parcels} parcels to {len(report.regions)} regions"


async def print_report(shop: Shop, report: DayReport) -> None:
    """The accountant wants it on paper."""
    shop.printer.print(report.model_dump_json(indent=2))


async def archive_report(shop: Shop, report: DayReport, name: str) -> str:
    """What could not be printed is kept."""
    return f"{name}.json, {len(report.model_dump_json())} bytes"


async def order_paper(shop: Shop) -> None:
    """Something went wrong today, and it is always the paper."""


TASKS = (find_regions, report_region, report_day, send_report, print_report, archive_report, order_paper)


def day_report(app: Boilermaker, shipped: Iterable[str], run: str) -> TaskGraph:
    """The graph, to be published; `shipped` are the ids of orders. The ids are made of `run`, so it runs once."""
    name = f"{run}.report"
    regions = app.options(task_id=f"{name}.regions").create_task(find_regions, [*shipped])
    reports = app.options(task_id=f"{name}.by-region").create_map(report_region, regions.result)
    day = app.options(task_id=f"{name}.day").create_task(report_day, reports.result)
    sending = app.options(task_id=f"{name}.send").create_task(send_report, day.result)
    printing = app.options(task_id=f"{name}.print").create_task(print_report, day.result)
    archiving = app.options(task_id=f"{name}.archive").create_task(archive_report, day.result, name=name)
    paper = app.options(task_id=f"{name}.paper").create_task(order_paper)
    return (
        TaskGraphBuilder()
        .add(regions)
        .then(reports)
        .then(day)
        .parallel(sending, printing)
        .on_failure(printing.task_id, archiving)
        .on_all_failed(paper)
        .build(graph_id=name)
    )


def _sum(items: Iterable[tuple[Currency, Decimal]]) -> dict[Currency, Decimal]:
    sums: dict[Currency, Decimal] = {}
    for currency, amount in items:
        sums[currency] = sums.get(currency, Decimal()) + amount
    return dict(sorted(sums.items()))
