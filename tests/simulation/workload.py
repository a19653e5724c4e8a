"""What is there to do? Tasks of every kind, drawn from a seed, and what should follow when each of them ends."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from boilermaker_fn.retries import RetryPolicy
from boilermaker_fn.task import Task

#: The function every task runs; what it does is the task's behaviour.
ACT: Final = "act"
#: The same, but deployed later than its first message comes.
LATE: Final = "act_later"
#: A function that is deployed nowhere.
NOWHERE: Final = "act_nowhere"

_POLICIES: Final = {
    (tries, delay): RetryPolicy(max_tries=tries, delay=delay) for tries in range(5) for delay in (0, 7, 100)
}
_ENDINGS: Final = ("value", "value", "value", "error", "refusal", "wrong result")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a task does: asks for `retries`, then ends; `takes` seconds each time.

    One that is `fickle` ends in another way each time it runs.
    """

    retries: int = 0
    ending: str = "value"
    takes: float = 0.0
    fickle: bool = False


@dataclass(slots=True)
class Node:
    """A task, how it behaves, and what must follow its success and its failure."""

    task: Task
    behaviour: Behaviour
    after_success: list[Node] = field(default_factory=list)
    after_failure: list[Node] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The task's id."""
        return self.task.task_id

    @property
    def tries(self) -> int:
        """How many attempts there may be."""
        assert self.task.policy is not None
        return max(1, self.task.policy.max_tries)


class Workload:
    """Tasks drawn from a seed. `roots` are those to publish, `nodes` all of them by name."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.nodes: dict[str, Node] = {}
        self.roots: list[Node] = []
        #: Tasks somebody wants to cancel, and after how many seconds.
        self.cancellations: list[tuple[str, float]] = []
        while not self.roots or (len(self.nodes) < 6 and chance.random() < 0.6):
            self.roots.append(self._root())

    def _root(self) -> Node:
        if self._chance.random() < 0.25:
            return self._chain()
        return self._node(depth=0)

    def _chain(self) -> Node:
        links = [self._node(depth=1, callbacks=0.15) for _ in range(self._chance.randint(1, 2))]
        handler = self._node(depth=2) if self._chance.random() < 0.7 else None
        head = self._node(depth=1)
        chained = [head, *links]
        for node, following in zip(chained, links, strict=False):
            node.after_success.append(following)
        for node in chained:
            if not node.after_failure and handler is not None:
                node.after_failure.append(handler)
        head.task.chain = [link.task for link in links]
        head.task.chain_on_failure = None if handler is None else handler.task
        return head

    def _node(self, depth: int, callbacks: float = 0.4) -> Node:
        chance = self._chance
        follows, on_failure = (
            self._node(depth + 1) if depth < 2 and chance.random() < callbacks else None for _ in range(2)
        )
        name = f"t{len(self.nodes)}"
        task = Task(
            task_id=name,
            function_name=self._function(),
            payload={"args": [name], "kwargs": {}},
            policy=_POLICIES[chance.choice((0, 1, 2, 3, 3, 4)), chance.choice((0, 7, 100))],
            acks_late=chance.random() < 0.7,
            should_dead_letter=chance.random() < 0.85,
            on_success=None if follows is None else follows.task,
            on_failure=None if on_failure is None else on_failure.task,
            delay=chance.choice((0, 0, 0, 30)),
            expires=chance.choice((None, None, None, None, 90)),
        )
        node = Node(task, self._behaviour(), [follows] if follows else [], [on_failure] if on_failure else [])
        if chance.random() < 0.06:
            self.cancellations.append((name, chance.choice((0.0, 1.0, 40.0, 130.0))))
        self.nodes[name] = node
        return node

    def _function(self) -> str:
        drawn = self._chance.random()
        if drawn < 0.96:
            return ACT
        return LATE if drawn < 0.99 else NOWHERE

    def _behaviour(self) -> Behaviour:
        chance = self._chance
        return Behaviour(
            retries=chance.choice((0, 0, 0, 1, 2, 3)),
            ending=chance.choice(_ENDINGS),
            takes=chance.choice((0.0, 0.0, 0.0, 1.0, 35.0)),
            fickle=chance.random() < 0.2,
        )
