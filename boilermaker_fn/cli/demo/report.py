"""What does the demo say at the end? Every order that failed, dead letters, outcomes, the day's report, the sum."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ...messages import DEAD_LETTER_REASON, Delivery
from ...task.result import TerminalRow
from ..deadletters import summary_of
from ..output import print_table
from .closing import Closing
from .engines import LOCAL
from .ledger import Case, Ledger
from .runs import Run


@dataclass(frozen=True, slots=True)
class Report:
    """One run, looked back at. Results are in `file`, tasks in `engine`. `seconds` is how long this process took."""

    run: Run
    file: Path
    engine: str
    ledger: Ledger
    closing: Closing
    dead_letters: Sequence[Delivery]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """All of it, for programs; every row of the file is in `orders`."""
        return {
            "run": self.run.name,
            "continued": self.run.continued,
            "file": str(self.file),
            "engine": self.engine,
            "read": len(self.ledger.cases),
            "succeeded": len(self.ledger.succeeded),
            "failed": len(self.ledger.failed),
            "not_ended": len(self.ledger.cases) - len(self.ledger.ended),
            "tasks": len(self.ledger.rows),
            "tries_again": sum(case.tries_again for case in self.ledger.cases),
            "seconds": round(self.seconds, 3),
            "outcomes": [dict(zip(_KEYS, outcome, strict=True)) for outcome in _outcomes(self.ledger)],
            "orders": [_order(case) for case in self.ledger.cases],
            "graph": self.closing.as_json(),
            "dead_letters": [summary_of(letter) for letter in self.dead_letters],
        }

    def print(self) -> None:
        """All of it but the orders that went well, for people; the sum stands last."""
        failed = self.ledger.failed
        if failed:
            print_table(
                ["LINE", "ORDER", "FAILED IN", "ATTEMPTS", "REASON", "ERROR"],
                [(case.line, case.label, *_failure(case.failure)) for case in failed if case.failure is not None],
                title="Every order that failed",
            )
        if self.dead_letters:
            print_table(["REASON", "TASK", "DEAD LETTERS"], _by_reason(self.dead_letters), title="Dead letters")
        print_table([key.upper().replace("_", " ") for key in _KEYS], _outcomes(self.ledger), title="What happened")
        self.closing.print()
        click.echo(f"\n{self._sum()}\n{self._hint()}")

    def _sum(self) -> str:
        ledger = self.ledger
        left = len(ledger.cases) - len(ledger.ended)
        rest = f" + {left} not ended" if left else ""
        return (
            f"{len(ledger.cases)} rows read = {len(ledger.succeeded)} succeeded + {len(ledger.failed)} failed{rest}: "
            f"{len(ledger.rows)} tasks for them, {sum(case.tries_again for case in ledger.cases)} tried again, "
            f"in {self.seconds:.1f} s"
        )

    def _hint(self) -> str:
        failures = [case.failure.task_id for case in self.ledger.failed if case.failure is not None]
        one = failures[0] if failures else self.ledger.cases[0].task.task_id
        lines = [f"export BOILERMAKER_LOCAL_FILE={shlex.quote(str(self.file))}", f"boilermaker-fn result {one}"]
        if self.engine == LOCAL:
            lines.append("boilermaker-fn deadletters list")
        return "Look closer:  " + "\n              ".join(lines)


_KEYS = ("orders", "what_happened", "ended_in", "outcome", "error", "then")

# What the endings of the example mean, by the function that ended it and the type of the error.
_IN_WORDS = {
    ("set_aside", "NotAnOrder"): "the row is no order",
    ("screen", "FraudSuspected"): "suspected of fraud",
    ("screen", "NobodyHome"): "poison: unprintable error",
    ("charge", "TaskFailureResult"): "the card was declined",
    ("charge", "BankBusy"): "the bank never answered",
    ("invoice", "ProcessExpired"): "poison: process crashed",
    ("ship", ""): "shipped",
    ("ship", "TaskTimeout"): "the courier got lost",
    ("ship", "TypeError"): "poison: result is no JSON",
}


def _outcomes(ledger: Ledger) -> list[tuple[int, str, str, str, str, str]]:
    counts = Counter(_outcome(case) for case in ledger.ended)
    return [(count, *outcome) for outcome, count in counts.most_common()]


def _outcome(case: Case) -> tuple[str, str, str, str, str]:
    links = [link.function_name for link in (case.task, *case.task.chain)]
    beside = ", ".join(sorted(case.rows.keys() - set(links)))
    if case.failure is None:
        again = ", with retries" if case.tries_again else ""
        return _IN_WORDS.get((links[-1], ""), "") + again, links[-1], "success", "", beside
    function, error = case.failure.function, _short(_type_of(case.failure))
    return _IN_WORDS.get((function, error), ""), function, case.failure.reason, error, beside


def _failure(row: TerminalRow | None) -> tuple[str, int, str, str]:
    if row is None:
        return "", 0, "", ""
    message = row.error.message if row.error is not None else ""
    return row.function, row.attempts, row.reason, f"{_short(_type_of(row))}: {message}"


def _order(case: Case) -> dict[str, Any]:
    failure = case.failure
    return {
        "line": case.line,
        "order": case.label,
        "outcome": "not ended" if not case.ended else "succeeded" if failure is None else "failed",
        "failed_in": None if failure is None else failure.function,
        "reason": None if failure is None else failure.reason,
        "error_type": None if failure is None else _type_of(failure),
        "message": failure.error.message if failure is not None and failure.error is not None else None,
        "tasks": {
            function: {"task_id": row.task_id, "status": row.status, "attempts": row.attempts}
            for function, row in case.rows.items()
        },
    }


def _by_reason(letters: Iterable[Delivery]) -> list[tuple[str, str, int]]:
    counts = Counter(
        (str(letter.properties.get(DEAD_LETTER_REASON, "")), str(letter.properties.get("function", "")))
        for letter in letters
    )
    return [(reason, function, count) for (reason, function), count in counts.most_common()]


def _type_of(row: TerminalRow) -> str:
    return row.error.type if row.error is not None else ""


def _short(kind: str) -> str:
    return kind.rpartition(".")[2]
