"""What is published under fire, and how must it end? Tasks of all kinds, drawn by lot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

from boilermaker_fn import Boilermaker, Task
from tests.fire import shop

#: How many tasks stall their worker until its locks are lost.
STALLS: Final = 3

#: Functions that succeed, and how often in a hundred tasks.
_KINDS: Final[dict[Callable[..., Any], int]] = {shop.plain: 75, shop.flaky: 15, shop.moody: 10}


class Workload:
    """`size` tasks in all: `roots` are to be published, the others follow them. Each has a number.

    `numbers` are by the ids of all tasks, in the order of publishing; `failing` has the ids of those that must fail.
    """

    def __init__(self, app: Boilermaker, chance: Random, size: int) -> None:
        self._app = app
        self._chance = chance
        self._left = size
        self.numbers: dict[str, int] = {}
        self.failing: set[str] = set()
        self.retrying: set[str] = set()
        self.roots = list(self._drawn(size))

    def _drawn(self, size: int) -> Iterator[Task]:
        stalls = [size * (number + 1) // (STALLS + 1) for number in range(STALLS)]
        while self._left:
            if stalls and len(self.numbers) >= stalls[0]:
                stalls.pop(0)
                yield self._made(shop.stall)
            else:
                yield self._root()

    def _root(self) -> Task:
        lot = self._chance.random()
        if lot < 0.1 and self._left >= 5:
            return self._app.chain(*(self._any() for _ in range(self._chance.randint(2, 5))))
        if lot < 0.2 and self._left >= 2:
            root = self._any()
            root.on_success = self._any()
            return root
        if lot < 0.23 and self._left >= 2:
            root = self._made(shop.fail)
            self.failing.add(root.task_id)
            root.on_failure = self._any()
            return root
        return self._any()

    def _any(self) -> Task:
        (function,) = self._chance.choices(list(_KINDS), list(_KINDS.values()))
        task = self._made(function)
        if function is not shop.plain:
            self.retrying.add(task.task_id)
        return task

    def _made(self, function: Callable[..., Any]) -> Task:
        number = len(self.numbers)
        task = self._app.create_task(function, number)
        self.numbers[task.task_id] = number
        self._left -= 1
        return task
