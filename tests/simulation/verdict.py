"""Was anything lost, was anything done twice? The invariants, checked at the end of a simulation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from boilermaker_fn.messages import DEAD_LETTER_REASON, DEAD_LETTER_SUFFIX, POSTPONED, Message, task_id_of
from boilermaker_fn.outcomes import Reason
from boilermaker_fn.result_rows import from_entity
from boilermaker_fn.task.result import TaskStatus, TerminalRow

from .workload import NOWHERE, Node
from .world import LAKE, MOST_DELIVERIES, QUEUE, World


class Verdict:
    """Compares what happened in a world with what should have."""

    def __init__(self, world: World, roots: Sequence[Node], nodes: dict[str, Node]) -> None:
        self._world = world
        self._roots = roots
        self._nodes = nodes
        self._rows = {row.task_id: row for row in map(from_entity, world.table.rows.values())}
        self._letters: dict[str, list[str]] = {}
        for stored in world.broker.queues.get(LAKE, {}).values():
            letter = stored.message
            self._letters.setdefault(task_id_of(letter.message_id), []).append(
                str(letter.properties[DEAD_LETTER_REASON])
            )
        self._attempts: dict[str, Counter[int]] = {}
        for start in world.journal.starts:
            self._attempts.setdefault(start.task_id, Counter())[start.attempt] += 1

    def complaints(self) -> list[str]:
        """What is wrong, one line each."""
        journal = self._world.journal
        found = [repr(error) for error in journal.errors]
        if journal.deliveries > MOST_DELIVERIES:
            found.append(f"{journal.deliveries} deliveries, and no end")
        found += [*self._of_queues(), *self._of_ids(), *self._of_attempts(), *self._of_starts()]
        if self._world.conditions.keeps_rows:
            return [*found, *self._of_rows(), *self._of_what_followed()]
        return [*found, *self._of_endings()]

    # -- with and without a store

    def _of_queues(self) -> Iterator[str]:
        for queue in (QUEUE, QUEUE + DEAD_LETTER_SUFFIX):
            for stored in self._world.broker.queues.get(queue, {}).values():
                yield f"{stored.message.message_id} is left in {queue}"

    def _of_ids(self) -> Iterator[str]:
        ids: dict[str, set[str]] = {}
        for message in self._world.broker.accepted:
            if message.queue == QUEUE and POSTPONED not in message.properties:
                ids.setdefault(_task_of(message), set()).add(message.message_id)
        for name, names in ids.items():
            if len(names) > self._nodes[name].tries:
                yield f"{name}: sent under {sorted(names)}, allowed are {self._nodes[name].tries} attempts"

    def _of_attempts(self) -> Iterator[str]:
        for name, attempts in self._attempts.items():
            if sorted(attempts) != list(range(1, max(attempts) + 1)):
                yield f"{name}: an attempt was lost, only {sorted(attempts)} were started"
            if max(attempts) > self._nodes[name].tries:
                yield f"{name}: {max(attempts)} attempts, allowed are {self._nodes[name].tries}"

    def _of_starts(self) -> Iterator[str]:
        # Without duplicate detection a message can be there twice, each copy delivered for the first time.
        if self._world.conditions.window > 0:
            for name, attempts in self._attempts.items():
                if self._nodes[name].task.acks_early and max(attempts.values()) > 1:
                    yield f"{name}: acks_late=False, and an attempt was started twice: {dict(attempts)}"
        for start in self._world.journal.starts:
            if start.after_end:
                yield f"{start.task_id}: attempt {start.attempt} was started although it had ended before"

    # -- with a store

    def _of_rows(self) -> Iterator[str]:
        for name, written in self._world.table.written.items():
            if len(written) > 1:
                yield f"{name}: its row was written {len(written)} times"
        for name, row in self._rows.items():
            if name not in self._nodes:
                yield f"{name}: a row for a task that does not exist"
                continue
            yield from self._of_ending(self._nodes[name], row)
            yield from self._of_letters(self._nodes[name], row)

    def _of_ending(self, node: Node, row: TerminalRow) -> Iterator[str]:
        """Does the row say what the task did, or name another good reason?"""
        broker, started = self._world.broker, self._attempts.get(node.name, {})
        if row.status is TaskStatus.Cancelled:
            explained = node.name in self._world.journal.cancelled
        elif row.status is TaskStatus.Expired:
            explained = node.task.expires is not None
        elif row.reason == Reason.MaxDeliveryCountExceeded:
            explained = node.name in {task_id_of(message_id) for message_id in broker.given_up}
        elif row.reason == Reason.LostAfterEarlyAck:
            explained = node.task.acks_early
        elif row.reason == Reason.UnknownTask:
            explained = node.task.function_name == NOWHERE
        else:
            explained = row.attempts in started and (
                node.behaviour.fickle or (row.status, row.attempts) == _planned(node)
            )
        if not explained:
            yield f"{node.name}: ended as {row.status} ({row.reason}) in attempt {row.attempts}, {node.behaviour}"

    def _of_letters(self, node: Node, row: TerminalRow) -> Iterator[str]:
        letters = self._letters.get(node.name, [])
        wanted = [row.reason] if row.status.failed and node.task.should_dead_letter else []
        if self._world.clock() >= self._world.conditions.window:
            # Later than that a copy of the message leaves a copy of the letter.
            letters, wanted = sorted(set(letters)), sorted(set(wanted))
        if letters != wanted:
            yield f"{node.name}: ended as {row.status} ({row.reason}), its dead letters say {letters}"

    def _of_what_followed(self) -> Iterator[str]:
        """What is due by the stored endings has ended, and nothing else was ever touched."""
        due, pending = set[str](), list(self._roots)
        while pending:
            node = pending.pop()
            due.add(node.name)
            row = self._rows.get(node.name)
            if row is None:
                yield f"{node.name}: lost, it never ended"
            elif row.status.succeeded:
                pending += node.after_success
            elif row.status is not TaskStatus.Cancelled:
                pending += node.after_failure
        for name in sorted({*self._attempts, *self._rows, *map(_task_of, self._world.broker.accepted)} - due):
            if name not in self._world.journal.cancelled:
                yield f"{name}: must not have followed"

    # -- without a store

    def _of_endings(self) -> Iterator[str]:
        """Every task was settled with an ending of which all that follows has ended too."""
        endings: dict[str, set[str]] = {}
        for name, ending in self._world.journal.settled:
            endings.setdefault(name, set()).add(ending)
        pending = list(self._roots)
        while pending:
            node = pending.pop()
            final = {TaskStatus(ending) for ending in endings.get(node.name, set()) - {"postponed", "retry"}}
            if not final:
                yield f"{node.name}: lost, it never ended"
            if any(status.succeeded for status in final):
                pending += node.after_success
            if any(_is_followed(node, status) for status in final):
                pending += node.after_failure
            if (
                any(status.failed for status in final)
                and node.task.should_dead_letter
                and node.name not in self._letters
            ):
                yield f"{node.name}: failed, and no dead letter tells of it"


def _is_followed(node: Node, status: TaskStatus) -> bool:
    """Whether an ending calls for the failure callback where there is no store."""
    if status is TaskStatus.Failure and node.task.acks_early:
        # It may have been given up after an early acknowledgement. Whether its first delivery has sent callbacks is
        # then known to nobody, so there are none.
        return False
    return status.failed or status is TaskStatus.Expired


def _planned(node: Node) -> tuple[TaskStatus, int]:
    """How a task ends that is not disturbed, and in which attempt."""
    behaviour = node.behaviour
    if behaviour.retries >= node.tries:
        return TaskStatus.RetriesExhausted, node.tries
    return TaskStatus.Success if behaviour.ending == "value" else TaskStatus.Failure, behaviour.retries + 1


def _task_of(message: Message) -> str:
    return task_id_of(message.message_id)
