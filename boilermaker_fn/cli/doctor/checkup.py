"""What is looked at, and in which order? All that there is where an app's tasks live."""

from __future__ import annotations

import asyncio
import itertools
import os

from ...app import Boilermaker
from ...errors import ConfigurationError
from ...host_settings import app_directory, read
from ...local import LocalEngine
from ...ports import Engine
from ...service_bus import AzureServiceBus
from ...tables import AzureTable
from ...wiring import Wiring
from ..places import place
from . import clock, embedded, tables, versions
from .findings import Finding, Level, ok, problem, warning, worst
from .names import misspelt
from .namespace import REACHING, Namespace, reached, token
from .needs import Needs, needs_of
from .queues import examined


async def checkup(app: Boilermaker | None) -> list[Finding]:
    """All there is to say of the place of `app`, or of the environment's."""
    directory = app_directory()
    host = read(directory)
    registered = [] if app is None else list(app.shell.registry.values())
    found = [*versions.packages(), *versions.host(directory, host, registered), *misspelt(os.environ)]
    try:
        async with place(app) as here:
            wiring = here.wiring
            if app is not None:
                app.shell.check_queues()
            needs = needs_of(app, (wiring.queue, wiring.dead_letter_queue), host)
            where = f"tasks live in {wiring.engine.name}, queue {', '.join(needs.queues)}"
            found.append(ok("settings", where))
            found += await _place(wiring, needs)
    except ConfigurationError as error:
        found += [_of_setting(text) for text in error.problems]
    return found


async def _place(wiring: Wiring, needs: Needs) -> list[Finding]:
    engine, table = wiring.engine, None if wiring.results is None else wiring.results.table
    account = table.account if isinstance(table, AzureTable) else None
    found, principal = await _engine(engine, needs)
    others = []
    if account is not None:
        others += [tables.examined(account, principal), clock.compared(tables.service_url(account))]
    elif isinstance(engine, AzureServiceBus) and not engine.access.emulated and found[-1].check not in REACHING:
        # A clock that is wrong can be why there is no token.
        others.append(clock.compared(f"https://{engine.access.host}"))
    found += await asyncio.gather(*others)
    if table is None:
        found.append(tables.none_configured())
    return found


async def _engine(engine: Engine, needs: Needs) -> tuple[list[Finding], str | None]:
    """What there is to say of an engine, and the object id of whom this runs as, where that is known."""
    if isinstance(engine, LocalEngine):
        return embedded.examined(engine.path), None
    if not isinstance(engine, AzureServiceBus):
        return [warning("engine", f"{engine.name} is none of this package", "look at it with its own tools")], None
    async with Namespace(engine.access) as namespace:
        found = await reached(namespace)
        if worst(found) is Level.PROBLEM:
            return found, None
        finding, principal = await token(namespace)
        found.append(finding)
        if finding.level is not Level.OK:
            return found, None
        queues = await asyncio.gather(
            *(examined(namespace, queue, needs, principal) for queue in (*needs.queues, needs.dead_letter_queue))
        )
        return [*found, *itertools.chain.from_iterable(queues)], principal


def _of_setting(text: str) -> Finding:
    found, _, remedy = text.rpartition(": ")
    return problem("settings", found or text, remedy if found else "see docs/settings.md")
