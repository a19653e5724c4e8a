"""Random graphs for tests, and what is to become of them by the plainest possible reckoning."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import NamedTuple

from boilermaker_fn.follow_ups import followers
from boilermaker_fn.graph.plan import Plan, Step
from boilermaker_fn.task import LAST_ADDED, Task, TaskChain, TaskGraphBuilder, TaskStatus


class Waits(NamedTuple):
    """What each task waits for, by id: parents, or for a handler those it guards."""

    parents: dict[str, set[str]]
    guards: dict[str, set[str]]


class Program:
    """A random series of calls to a builder, done twice: by the builder, and in `waits`.

    The cursor is a list here, and callbacks unfold as a worker would send them: see `followers`.
    """

    def __init__(self, random: random.Random, calls: int) -> None:
        self._random = random
        self._made = 0
        self._cursor: list[str] = []
        self._tasks: dict[str, Task] = {}
        self.builder = TaskGraphBuilder()
        self.waits = Waits({}, {})
        for _ in range(calls):
            random.choice([self._add, self._parallel, self._add_chain, self._sequence, self._then, self._on_failure])()
        if not self._tasks:
            self._add()
        for task in list(self._tasks.values()):
            self._unfold(task)

    def _task(self, depth: int = 0) -> Task:
        """A task, now and then with callbacks of its own, and with results of earlier ones among its arguments."""
        self._made += 1
        task = Task(function_name="work", task_id=f"t{self._made}")
        if depth < 3 and self._random.random() < 0.2:
            attribute = self._random.choice(["on_success", "on_failure", "chain_on_failure", "chain"])
            following = self._task(depth + 1)
            links = [following, *(self._task(depth + 1) for _ in range(self._random.randrange(3)))]
            setattr(task, attribute, links if attribute == "chain" else following)
        known = [one for one in self._tasks.values() if one.task_id in self.waits.parents]
        if depth == 0 and known and self._random.random() < 0.2:
            sources = [self._random.choice(known) for _ in range(2)]
            results = [source.result for source in sources]
            task.payload = {"args": [results], "kwargs": {"one": results[0]}}
            self.waits.parents[task.task_id] = {source.task_id for source in sources}
        return task

    def _register(self, task: Task, parents: Iterable[str], handler: Task | None = None) -> None:
        self._tasks[task.task_id] = task
        self.waits.parents.setdefault(task.task_id, set()).update(parents)
        if handler is not None:
            self._guard(handler, task.task_id)

    def _guard(self, handler: Task, guarded: str) -> None:
        self._tasks[handler.task_id] = handler
        self.waits.guards.setdefault(handler.task_id, set()).add(guarded)

    def _depends_on(self) -> tuple[object, list[str]]:
        known = [*self._tasks]
        chosen = self._random.sample(known, self._random.randrange(min(4, len(known)) + 1))
        some = [self._random.choice([task_id, self._tasks[task_id]]) for task_id in chosen]
        return self._random.choice([(LAST_ADDED, self._cursor), (None, []), (some, chosen)])

    def _handler(self) -> Task | None:
        return self._task(1) if self._random.random() < 0.3 else None

    def _add(self) -> None:
        (task, handler), (depends_on, parents) = (self._task(), self._handler()), self._depends_on()
        self.builder.add(task, depends_on=depends_on, on_failure=handler)
        self._register(task, parents, handler)
        self._cursor = [task.task_id]

    def _then(self) -> None:
        if self._cursor:
            task = self._task()
            self.builder.then(task)
            self._register(task, self._cursor)
            self._cursor = [task.task_id]

    def _parallel(self) -> None:
        tasks, handler = [self._task() for _ in range(self._random.randint(1, 4))], self._handler()
        depends_on, parents = self._depends_on()
        self.builder.parallel(*tasks, depends_on=depends_on, on_failure=handler)
        for task in tasks:
            self._register(task, parents, handler)
        self._cursor = [task.task_id for task in tasks]

    def _sequence(self) -> None:
        tasks = [self._task() for _ in range(self._random.randrange(4))]
        self.builder.sequence(*tasks)
        for task in tasks:
            self._register(task, self._cursor)
            self._cursor = [task.task_id]

    def _add_chain(self) -> None:
        tasks, handler = [self._task() for _ in range(self._random.randint(1, 4))], self._handler()
        depends_on, parents = self._depends_on()
        self.builder.add_chain(TaskChain(*tasks, on_any_failure=handler), depends_on=depends_on)
        for task in tasks:
            self._register(task, parents, handler)
            parents = [task.task_id]
        self._cursor = [*(self._cursor if depends_on is None else []), tasks[-1].task_id]

    def _on_failure(self) -> None:
        if self._tasks:
            guarded, handler = self._random.choice([*self._tasks]), self._task(1)
            self.builder.on_failure(guarded, handler)
            self._guard(handler, guarded)

    def _unfold(self, task: Task) -> None:
        """`task` is as it would have been sent: with the rest of the chain that it is in."""
        for child in followers(task, TaskStatus.Success):
            self.waits.parents.setdefault(child.task_id, set()).add(task.task_id)
            self._unfold(child)
        for handler in followers(task, TaskStatus.Failure):
            known = handler.task_id in self.waits.guards
            self.waits.guards.setdefault(handler.task_id, set()).add(task.task_id)
            if not known:
                self._unfold(handler)


def waits_of(plan: Plan) -> Waits:
    """The same, as a plan says it."""
    ids = [step.task.task_id for step in plan.steps]
    waits = Waits({}, {})
    for task_id, step in zip(ids, plan.steps, strict=True):
        if step.guards:
            waits.guards[task_id] = {ids[number] for number in step.guards}
        else:
            waits.parents[task_id] = {ids[number] for number in step.parents}
    return waits


def random_plan(random: random.Random, size: int) -> Plan:
    """A plan of any form, not only those that a builder makes: wide, deep, with handlers of few and of many."""
    steps: list[Step] = []
    reach = random.choice([3, 30, 300])
    for number in range(size):
        earlier = range(max(0, number - reach), number)
        before = tuple(random.sample(earlier, min(len(earlier), random.choice([0, 1, 1, 2, 3, 50]))))
        task = Task(function_name="work", task_id=f"t{number}", queue=random.choice([None, None, "home", "other"]))
        if random.random() < 0.2:
            task.delay = 5
        steps.append(Step(task, guards=before) if random.random() < 0.2 else Step(task, parents=before))
    return Plan("g", tuple(steps), finals=(size - 1,))
