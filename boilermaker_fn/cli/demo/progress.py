"""What does the demo show while it runs? Bars on a terminal; a line now and then in a pipe."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self

import click

from ...task.result import TerminalRow
from ..output import one_line
from .ledger import Case, Ledger

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.text import Text

News = Sequence[tuple[Case, TerminalRow]]

#: How the bars are called, and what they count. A bar's length is the number of orders that can still get there.
STEPS: Final = (
    ("screen", "fraud check, in threads"),
    ("charge", "the bank, tried again when it is busy"),
    ("invoice", "computed, in processes"),
    ("ship", "the courier, 2 s at most"),
)
_BESIDE: Final = (
    ("receipt", "receipts"),
    ("refund", "refunds"),
    ("notify", "customers told"),
    ("set_aside", "bad rows set aside"),
)
_BAR: Final = 36
#: On a narrower terminal the bars are not explained.
_WIDE: Final = 118
_LATEST: Final = 6
_LONGEST_LINE: Final = 100
_SECONDS_BETWEEN_LINES: Final = 1.0


class Progress(Protocol):
    """Is told what is new, from the `with` statement's beginning to its end."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        ...

    def tell(self, news: News) -> None:
        """Show what is new."""
        ...


class Lines:
    """A line a second while something happens, to standard output or to standard error."""

    def __init__(self, ledger: Ledger, *, stderr: bool) -> None:
        self._ledger = ledger
        self._stderr = stderr
        self._began = self._last = time.monotonic()
        self._tasks = 0

    def __enter__(self) -> Self:
        """Nothing to begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The last line, unless it was printed."""
        if len(self._ledger.rows) != self._tasks:
            self._print()

    def tell(self, news: News) -> None:
        """Print a line if there is news and the last one is a second old."""
        if news and time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self._print()

    def _print(self) -> None:
        self._last = time.monotonic()
        self._tasks = len(self._ledger.rows)
        click.echo(_sum(self._ledger, time.monotonic() - self._began), err=self._stderr)


class Bars:
    """A bar for each step, the latest endings, and the sum; drawn in place."""

    def __init__(self, ledger: Ledger, console: Console) -> None:
        from rich.live import Live

        self._ledger = ledger
        self._began = time.monotonic()
        self._latest: deque[Text] = deque(maxlen=_LATEST)
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        """Draw them empty."""
        self._live.start()
        self.tell([])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last picture, and the cursor as it was."""
        self._live.stop()

    def tell(self, news: News) -> None:
        """Draw."""
        self._latest.extend(_ending(case, row) for case, row in news if not row.status.succeeded or _went_well(case))
        self._live.update(self._picture(), refresh=True)

    def _picture(self) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        succeeded = Counter(row.function for row in self._ledger.rows if row.status.succeeded)
        failed = Counter(row.function for row in self._ledger.rows if not row.status.succeeded)
        again = Counter[str]()
        for row in self._ledger.rows:
            again[row.function] += max(0, row.attempts - 1)
        possible = sum(case.task.function_name == STEPS[0][0] for case in self._ledger.cases)
        bars = Table.grid(padding=(0, 2))
        for step, what in STEPS:
            counts = Text(f"{succeeded[step]:>4}", "green").append(f" {failed[step]:>3}", "red")
            counts.append(f" of {possible}", "dim").append(
                f"  {again[step]} tried again" if again[step] else "", "yellow"
            )
            said = Text(what, "dim") if self._live.console.width >= _WIDE else Text()
            bars.add_row(Text(step, "bold"), _bar(succeeded[step], failed[step], possible), counts, said)
            possible -= failed[step]
        beside = " · ".join(f"{what} {succeeded[name] + failed[name]}" for name, what in _BESIDE)
        sums = Text(_sum(self._ledger, time.monotonic() - self._began), "bold")
        blank = Text()
        latest = [*self._latest, *[blank] * (_LATEST - len(self._latest))]
        return Group(blank, bars, blank, Text(beside, "dim"), blank, *latest, blank, sums)


def _went_well(case: Case) -> bool:
    return case.ended and case.failure is None


def _bar(succeeded: int, failed: int, possible: int) -> Text:
    from rich.text import Text

    green = _BAR * succeeded // max(1, possible)
    red = _BAR * (succeeded + failed) // max(1, possible) - green
    if failed and not red:
        red, green = 1, max(0, green - 1)
    return Text("━" * green, "green").append("━" * red, "red").append("━" * (_BAR - green - red), "bright_black")


def _ending(case: Case, row: TerminalRow) -> Text:
    from rich.text import Text

    if row.status.succeeded:
        tries = f" after {case.tries_again} more tries" if case.tries_again else ""
        return Text(" ✓ ", "green").append(f"{case.label:9}").append(f"shipped{tries}", "dim")
    message = one_line(row.error.message if row.error is not None else "")
    line = Text(" ✗ ", "red").append(f"{case.label:9}").append(f"{row.function}: {row.reason} ", "red")
    line.append(message, "dim")
    line.truncate(_LONGEST_LINE, overflow="ellipsis")
    return line


def _sum(ledger: Ledger, seconds: float) -> str:
    return (
        f"{seconds:5.1f} s  {len(ledger.ended)} of {len(ledger.cases)} ended: {len(ledger.succeeded)} succeeded, "
        f"{len(ledger.failed)} failed; {len(ledger.rows)} tasks run"
    )
