"""The app that the host tests serve."""

from __future__ import annotations

import asyncio
import logging

import structlog

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy
from boilermaker_fn.retries import RetryMode

app = Boilermaker({"greeting": "hello"})
log = structlog.get_logger("shop")


@app.task
async def greet(state: dict[str, str], name: str) -> str:
    return f"{state['greeting']} {name}"


@app.task
async def boil(state: dict[str, str]) -> None:
    raise ValueError("boiled over")


@app.task(policy=RetryPolicy(max_tries=3, delay=120, retry_mode=RetryMode.Fixed))
async def hesitate(state: dict[str, str]) -> None:
    raise RetryException("not yet")


@app.task(acks_late=False)
async def charge(state: dict[str, str]) -> str:
    return "charged"


@app.task
async def listen(state: dict[str, str], topics: list[str]) -> list[str]:
    """Log through both libraries, with other tasks in between."""
    for topic in topics:
        await asyncio.sleep(0)
        log.info("heard", topic=topic)
        logging.getLogger("shop.stdlib").warning("repeated %s", topic)
    return topics


@app.task(queue="letters.express")
async def post(state: dict[str, str], letter: str) -> str:
    return letter


@app.task(queue="parcels-test")
async def send(state: dict[str, str], parcel: str) -> str:
    return parcel
