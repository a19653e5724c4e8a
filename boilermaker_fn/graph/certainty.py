"""Has one task surely succeeded, or failed, when another one starts? What a reference to a result can rely on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: How many tasks are looked at in one walk through the graph, which bounds the memory it takes.
_AT_ONCE = 1024


class Question(NamedTuple):
    """Whether there will be a result of `source` when `task` starts; both are positions."""

    task: int
    source: int


class Answer(NamedTuple):
    """What is sure of the source when the task starts; neither: it depends."""

    succeeded: bool
    failed: bool


_PLAIN = Answer(succeeded=True, failed=False)


def answered(
    questions: Sequence[Question],
    order: Sequence[int],
    parents: Sequence[Sequence[int]],
    guards: Sequence[Sequence[int]],
) -> dict[Question, Answer]:
    """An answer for each question, for tasks in this order and what each waits for."""
    answers = {question: _PLAIN for question in questions if _is_plain(question, parents, guards)}
    left = [question for question in questions if question not in answers]
    sources = [*dict.fromkeys(question.source for question in left)]
    for start in range(0, len(sources), _AT_ONCE):
        bits = {source: 1 << bit for bit, source in enumerate(sources[start : start + _AT_ONCE])}
        succeeded, failed = _sure(bits, order, parents, guards)
        for question in left:
            if bit := bits.get(question.source, 0):
                answers[question] = Answer(bool(succeeded[question.task] & bit), bool(failed[question.task] & bit))
    return answers


def _is_plain(question: Question, parents: Sequence[Sequence[int]], guards: Sequence[Sequence[int]]) -> bool:
    """Whether a handler asks for the only parent of the only one that it guards, as most do."""
    guarded = guards[question.task]
    return len(guarded) == 1 and [*parents[guarded[0]][:2]] == [question.source] and not guards[guarded[0]]


def _sure(
    bits: dict[int, int], order: Sequence[int], parents: Sequence[Sequence[int]], guards: Sequence[Sequence[int]]
) -> tuple[list[int], list[int]]:
    """For each task the sources that have surely succeeded, and those that have surely failed, when it starts."""
    succeeded, failed = [0] * len(order), [0] * len(order)
    for task in order:
        for parent in parents[task]:
            succeeded[task] |= succeeded[parent] | bits.get(parent, 0)
            failed[task] |= failed[parent]
        if guards[task]:
            # One of them has failed, nobody knows which: sure is what each of them would make sure.
            succeeded[task] = failed[task] = -1
            for guarded in guards[task]:
                succeeded[task] &= succeeded[guarded]
                failed[task] &= failed[guarded] | bits.get(guarded, 0)
    return succeeded, failed
