"""Where does each task of a graph go? Numbers, blocks, and what each node must know of those that wait for it.

In the order of their depth, so that children of one node stand side by side; a handler stands behind the only node
that it guards, in the same block, so that both can be written together. All in O(V + E).
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

from ..envelopes import encode, flat
from ..graph.plan import Plan, Step
from ..retries import RetryAttempts
from ..task.task import Task
from . import inputs
from .children import Children
from .keys import BLOCK, CALLBACK, block_of, place_of
from .rows import NodeRow


class Layout(NamedTuple):
    """A graph as it will be written. `blocks` has the steps of each block, `numbers` each step's number.

    `queue` is where those go whose task names none. `children` are, for each step, those that wait for it.
    """

    plan: Plan
    queue: str
    blocks: tuple[tuple[int, ...], ...]
    numbers: tuple[int, ...]
    children: tuple[tuple[Children, ...], ...]
    build: str

    @property
    def finals(self) -> bytes:
        """The nodes whose results are the graph's, as the head keeps them."""
        return inputs.encoded_runs(inputs.runs_of([self.numbers[step] for step in self.plan.finals]))


def laid_out(plan: Plan, queue: str) -> Layout:
    """The layout of a graph whose tasks go to `queue` unless they name another."""
    return placed(plan, queue, _in_blocks(plan))


def placed(plan: Plan, queue: str, blocks: Iterable[Iterable[int]]) -> Layout:
    """The layout of a graph with these steps in each of its blocks, at most 100 of them; each step in one."""
    in_order = tuple(tuple(block) for block in blocks)
    numbers: list[int] = [0] * len(plan.steps)
    for block, steps in enumerate(in_order):
        for place, step in enumerate(steps):
            numbers[step] = block * BLOCK + place
    children = _children(plan.steps, in_order, numbers, queue)
    return Layout(plan, queue, in_order, tuple(numbers), children, _digest(plan))


def rows_of(layout: Layout, block: int) -> list[NodeRow]:
    """The rows of a block, made when they are asked for: of a large graph only some should be in memory."""
    return [_row(layout, step) for step in layout.blocks[block]]


def callback_row(layout: Layout) -> NodeRow | None:
    """The row of the all-failed callback, if there is one."""
    task = layout.plan.callback
    if task is None:
        return None
    return NodeRow(
        CALLBACK,
        home=layout.queue,
        task_id=task.task_id,
        function=task.function_name,
        task=encode(task),
        build=layout.build,
    )


def callback_of(layout: Layout) -> Children | None:
    """How the all-failed callback is sent, if there is one."""
    task = layout.plan.callback
    return None if task is None else _sent(task, CALLBACK, layout.queue)


def roots_of(layout: Layout) -> list[Children]:
    """How those are sent that wait for nobody."""
    return [
        _sent(step.task, number, layout.queue)
        for number, step in zip(layout.numbers, layout.plan.steps, strict=True)
        if not step.parents and not step.guards
    ]


# -- blocks ------------------------------------------------------------------------------------------------------------


def _in_blocks(plan: Plan) -> list[list[int]]:
    """The steps of each block: as few blocks as possible without tearing apart what should stand together."""
    blocks: list[list[int]] = []
    for unit in _units(plan):
        if not blocks or len(blocks[-1]) + len(unit) > BLOCK:
            blocks.append([])
        for step in unit:
            if len(blocks[-1]) == BLOCK:
                blocks.append([])
            blocks[-1].append(step)
    return blocks


def _units(plan: Plan) -> Iterator[list[int]]:
    """What should stand together, in order: a node and the handlers that wait for it alone."""
    depths = _depths(plan.steps)
    followers: dict[int, list[int]] = {}
    for index, step in enumerate(plan.steps):
        if _has_one_guard(step):
            followers.setdefault(step.guards[0], []).append(index)
    for index in sorted(range(len(plan.steps)), key=depths.__getitem__):
        if not _has_one_guard(plan.steps[index]):
            yield _with_followers(index, followers)


def _with_followers(index: int, followers: Mapping[int, list[int]]) -> list[int]:
    # A handler can have a handler; each stands behind the one it guards.
    unit, at = [index], 0
    while at < len(unit):
        unit += followers.get(unit[at], ())
        at += 1
    return unit


def _has_one_guard(step: Step) -> bool:
    return len(step.guards) == 1


def _depths(steps: Sequence[Step]) -> list[int]:
    depths: list[int] = []
    for step in steps:
        depths.append(max((depths[before] + 1 for before in step.parents or step.guards), default=0))
    return depths


# -- children ----------------------------------------------------------------------------------------------------------


def _children(
    steps: Sequence[Step], blocks: Iterable[Iterable[int]], numbers: Sequence[int], home: str
) -> tuple[tuple[Children, ...], ...]:
    """For each step, those that wait for it."""
    below = _below(steps, numbers)
    found: list[list[Children]] = [[] for _ in steps]
    for index in chain.from_iterable(blocks):
        step = steps[index]
        before = step.parents or step.guards
        masks: dict[int, int] = {}
        for parent in before:
            block = block_of(numbers[parent])
            masks[block] = masks.get(block, 0) | 1 << place_of(numbers[parent])
        child = _sent(step.task, numbers[index], home)
        child = child._replace(blocks=len(masks), guard=bool(step.guards), below=below[index])
        known_in = {block: child._replace(mask=mask) for block, mask in masks.items()}
        for parent in before:
            _append(found[parent], known_in[block_of(numbers[parent])])
    return tuple(tuple(ranges) for ranges in found)


def _sent(task: Task, number: int, home: str) -> Children:
    """How a node is sent."""
    queue = None if task.queue == home else task.queue
    return Children(number, queue=queue, delay=task.delay, eta=0.0 if task.eta is None else task.eta.timestamp())


def _append(ranges: list[Children], child: Children) -> None:
    if ranges:
        last = ranges[-1]
        step = last.step if last.size > 1 else child.first - last.first
        if child.first == last.first + last.size * step and child[3:] == last[3:]:
            ranges[-1] = Children(last.first, last.size + 1, step, *last[3:])
            return
    ranges.append(child)


def _below(steps: Sequence[Step], numbers: Sequence[int]) -> list[int]:
    """For each step, a mask of those in its own block that cannot run if it does not, without itself."""
    below = [0] * len(steps)
    for index in range(len(steps) - 1, -1, -1):
        number = numbers[index]
        for parent in steps[index].parents:
            if block_of(numbers[parent]) == block_of(number):
                below[parent] |= below[index] | 1 << place_of(number)
    return below


# -- rows --------------------------------------------------------------------------------------------------------------


def _row(layout: Layout, index: int) -> NodeRow:
    step, numbers = layout.plan.steps[index], layout.numbers
    number = numbers[index]
    sent = _sent(step.task, number, layout.queue)
    taken = [
        inputs.Input(one.slot, inputs.runs_of([numbers[source] for source in one.sources]), one.many)
        for one in step.inputs
    ]
    return NodeRow(
        number,
        root=not step.parents and not step.guards,
        guarded=numbers[step.guards[0]] if step.guards else None,
        size=len(layout.blocks[block_of(number)]),
        home=layout.queue,
        sent=None if sent == Children(number) else sent,
        task_id=step.task.task_id,
        function=step.task.function_name,
        task=encode(step.task),
        children=layout.children[index],
        inputs=inputs.encoded(taken),
        build=layout.build,
    )


def _digest(plan: Plan) -> str:
    """The same for graphs that do the same: functions, arguments and edges, whatever the ids of their tasks are."""
    digest = hashlib.sha256()
    for step in plan.steps:
        _add(digest, [_content(step.task), step.parents, step.guards, step.inputs])
    _add(digest, [plan.callback and _with_followers_of(plan.callback), plan.finals, plan.many])
    return digest.hexdigest()[:24]


def _with_followers_of(task: Task) -> list[object]:
    """What a task does, and what follows it (of the steps of a plan nothing does)."""
    task = flat(task)
    following = (task.on_success, task.on_failure, task.chain_on_failure, *task.chain)
    return [_content(task), *(one and _with_followers_of(one) for one in following)]


def _content(task: Task) -> bytes:
    return encode(task.model_copy(update=_WITHOUT))


#: What differs between two tasks that do the same; and what follows them, which is looked at by itself.
_WITHOUT: Final[Mapping[str, object]] = {
    "task_id": "",
    "attempts": RetryAttempts(last_retry=datetime.datetime.fromtimestamp(0, datetime.UTC)),
    "published_at": None,
    "on_success": None,
    "on_failure": None,
    "chain": [],
    "chain_on_failure": None,
}


def _add(digest: hashlib._Hash, parts: Iterable[object]) -> None:
    digest.update(repr([*parts]).encode())
