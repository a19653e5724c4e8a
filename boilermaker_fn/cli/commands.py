"""Which commands are there?"""

from __future__ import annotations

import click

from . import exits
from .deadletters import deadletters
from .demo.command import demo
from .doctor.command import doctor
from .emulator import emulator
from .enqueue import enqueue
from .result import result
from .status import status
from .worker import worker


@click.group(cls=exits.Commands, epilog=exits.LEGEND)
@click.version_option(package_name="boilermaker_fn", message="%(package)s %(version)s")
def cli() -> None:
    """Run background tasks and look at them.

    APP is `module:attribute`, the attribute being `app` unless it is given; the module is looked for in the current
    directory too. Commands that need no APP look where the environment says: at the queue SERVICE_BUS_QUEUE_NAME, on a
    laptop in the file BOILERMAKER_LOCAL_FILE (.boilermaker/local.db).
    """


for command in (demo, worker, enqueue, status, result, deadletters, emulator, doctor):
    cli.add_command(command)
