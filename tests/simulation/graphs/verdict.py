"""Has a graph that was played ended as it must? By what its tasks do, and what there is when nothing is left to do."""

from __future__ import annotations

from typing import NamedTuple

from boilermaker_fn.graph_progress.keys import CALLBACK, HEAD, GraphKey
from boilermaker_fn.outcomes import Reason

from .drawn import Drawn
from .rows import MemoryRows
from .truth import Node, Nodes, Truth, Violation


class End(NamedTuple):
    """What there is when nothing is left to do: rows, dead letters by their tasks' ids.

    `published` is when the publisher wrote for the last time; `lost` says that a message was.
    """

    table: MemoryRows
    nodes: Nodes
    letters: set[str]
    published: float
    lost: bool


def check_end(drawn: Drawn, truth: Truth, end: End) -> None:
    """Raise Violation if the graph must not have ended so."""
    graph = GraphKey(drawn.layout.plan.graph_id)
    head = end.table.partitions.get(graph.head_partition, {}).get(HEAD)
    status = "abandoned" if head is None else str(head.values["status"])
    if status == "abandoned":
        given_up_at = 0.0 if head is None else float(str(head.values["finished_at"]))
        _check_removed(drawn, graph, end, given_up_at)
        return
    if status not in ("success", "failure"):
        raise Violation(f"nothing is left to do, and the graph is {status}")
    truth.check_end(status, end.nodes)
    for number, node in end.nodes.items():
        _check_node(drawn, number, node, end)


def _check_removed(drawn: Drawn, graph: GraphKey, end: End, given_up_at: float) -> None:
    addresses = [graph.node(number) for number in drawn.layout.numbers]
    left = [one for one in addresses if one.row in end.table.partitions.get(one.partition, {})]
    # What a publisher writes after it was given up is found by whoever removes old graphs.
    if left and end.published < given_up_at:
        raise Violation(f"the graph was not published, and there are rows of it: {left}")


def _check_node(drawn: Drawn, number: int, node: Node, end: End) -> None:
    plan = drawn.layout.plan
    task = plan.callback if number == CALLBACK else plan.steps[number].task
    assert task is not None
    assert task.policy is not None
    behaviour = drawn.behaviours[task.task_id]
    fails = behaviour.fails or behaviour.retries >= task.policy.max_tries
    given_up = node.reason not in ("", Reason.TaskFailed, Reason.RetriesExhausted)
    if node.status != "skipped" and not given_up and (node.status == "failure") != fails:
        raise Violation(f"{task.task_id} has ended with {node.status}")
    if node.status == "failure" and task.task_id not in end.letters and not end.lost:
        raise Violation(f"{task.task_id} has failed without a dead letter")
