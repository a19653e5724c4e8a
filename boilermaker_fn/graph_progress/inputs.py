"""Which results become arguments? The inputs of a node: for each argument the nodes whose results it gets.

Numbers that follow one another are written as runs, so that gathering ten thousand results takes a few bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

Slot: TypeAlias = int | str


class Run(NamedTuple):
    """Numbers: `first`, `first + step`, and so on, `size` of them."""

    first: int
    size: int = 1
    step: int = 1

    @property
    def numbers(self) -> range:
        """The numbers."""
        return range(self.first, self.first + self.size * self.step, self.step)


class Input(NamedTuple):
    """An argument at a position or under a keyword: the results of `runs` in this order, as a list if `many`."""

    slot: Slot
    runs: tuple[Run, ...]
    many: bool = False

    @property
    def numbers(self) -> list[int]:
        """The nodes whose results it is made of."""
        return [number for run in self.runs for number in run.numbers]


def runs_of(numbers: Sequence[int]) -> tuple[Run, ...]:
    """The numbers, in this order, as runs; in one pass."""
    runs: list[Run] = []
    for number in numbers:
        last = runs[-1] if runs else None
        if last is not None and last.size == 1 and number > last.first:
            runs[-1] = Run(last.first, 2, number - last.first)
        elif last is not None and last.size > 1 and number == last.first + last.size * last.step:
            runs[-1] = last._replace(size=last.size + 1)
        else:
            runs.append(Run(number))
    return tuple(runs)


def encoded_runs(runs: Iterable[Run]) -> bytes:
    """As JSON."""
    return json.dumps([*runs], separators=(",", ":")).encode()


def decoded_runs(data: bytes) -> tuple[Run, ...]:
    """What `encoded_runs` wrote."""
    return tuple(Run(*values) for values in json.loads(data)) if data else ()


def encoded(inputs: Iterable[Input]) -> bytes:
    """As JSON; nothing for none."""
    content = [*inputs]
    return json.dumps(content, separators=(",", ":")).encode() if content else b""


def decoded(data: bytes) -> tuple[Input, ...]:
    """What `encoded` wrote."""
    if not data:
        return ()
    return tuple(Input(slot, tuple(Run(*run) for run in runs), many) for slot, runs, many in json.loads(data))
