"""Pictures of graphs: a Mermaid flowchart, and an outline in plain text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from boilermaker_fn.graph_errors import GraphError
from boilermaker_fn.task import PARENT_RESULTS, Task, TaskChain, TaskGraph, TaskGraphBuilder


def make(name: str, task_id: str, *args: Any) -> Task:
    return Task(function_name=name, task_id=task_id, payload={"args": list(args), "kwargs": {}})


def report() -> TaskGraph:
    """A day's report: a fan with a handler each, gathered, and an alarm."""
    load = make("load", "l")
    regions = [make("region", f"r{number}", load.result) for number in range(3)]
    builder = TaskGraphBuilder().add(load).parallel(*regions)
    for number, region in enumerate(regions):
        builder.on_failure(region, make("tell", f"t{number}"))
    builder.then(make("total", "x" * 9 + "-total", PARENT_RESULTS))
    return builder.on_all_failed(make("alarm", "a")).build(graph_id="day-17")


def test_a_flowchart() -> None:
    assert report().to_mermaid().splitlines() == [
        "flowchart TD",
        '    subgraph all [" "]',
        '    n0["load<br/>l"]',
        '    n1["region<br/>r0"]',
        '    n2["region<br/>r1"]',
        '    n3["region<br/>r2"]',
        '    n4("tell<br/>t0")',
        '    n5("tell<br/>t1")',
        '    n6("tell<br/>t2")',
        '    n7["total<br/>..-total"]',
        "    n0 --> n1 & n2 & n3",
        "    n1 & n2 & n3 --> n7",
        "    n1 -. failed .-> n4",
        "    n2 -. failed .-> n5",
        "    n3 -. failed .-> n6",
        "    end",
        '    last(["alarm<br/>a"])',
        "    all -. any failed .-> last",
    ]


def test_a_flowchart_with_statuses() -> None:
    graph = report()
    plain = graph.to_mermaid().splitlines()
    marked = graph.to_mermaid({"l": "success", "r1": "failure", "t1": "success", "a": "success", "r2": "odd;\n"})
    new = [line for line in marked.splitlines() if line not in plain]
    assert [line for line in new if "class" not in line] == [
        '    n0["load<br/>l<br/>success"]',
        '    n2["region<br/>r1<br/>failure"]',
        '    n3["region<br/>r2<br/>odd#59;#10;"]',
        '    n5("tell<br/>t1<br/>success")',
        '    last(["alarm<br/>a<br/>success"])',
    ]
    assert [line for line in new if line.startswith("    class ")] == [
        "    class n0,n5,last success",
        "    class n2 failure",
    ]


def test_names_cannot_break_out_of_a_flowchart() -> None:
    graph = TaskGraphBuilder().add(make('a"]; <b>`#\n--> ü', "x")).build()
    assert graph.to_mermaid() == 'flowchart TD\n    n0["a#34;#93;#59; #60;b#62;#96;#35;#10;--#62; ü<br/>x"]'


def test_an_outline() -> None:
    assert str(report()).splitlines() == [
        "graph day-17: 8 tasks",
        "  1  load (l)",
        "  2  region x 3        after #1",
        "  3  tell x 3          each if one of #2 failed",
        "  4  total (..-total)  after #2",
        "  -  alarm (a)         last, if any failed",
    ]


def test_an_outline_with_statuses() -> None:
    text = report().to_text({"l": "success", "r0": "success", "r1": "failure", "r2": "success", "t1": "success"})
    assert [re.split(r"  +", line.strip()) for line in text.splitlines()[1:]] == [
        ["1", "load (l)", "success"],
        ["2", "region x 3", "after #1", "2 success, 1 failure"],
        ["3", "tell x 3", "each if one of #2 failed", "1 success"],
        ["4", "total (..-total)", "after #2"],
        ["-", "alarm (a)", "last, if any failed"],
    ]


def outline(builder: TaskGraphBuilder) -> list[str]:
    return [" ".join(line.split()) for line in str(builder.build()).splitlines()[1:]]


def steps(prefix: str, count: int, name: str = "step") -> list[Task]:
    return [make(name, f"{prefix}{number}") for number in range(count)]


def test_a_sequence_is_one_line() -> None:
    builder = TaskGraphBuilder().add(make("begin", "b")).sequence(*steps("s", 1000)).then(make("end", "e"))
    assert outline(builder) == ["1 begin (b)", "2 step x 1000, one after another after #1", "3 end (e) after #2"]


def test_a_sequence_ends_where_something_branches_off() -> None:
    chain = steps("s", 4)
    builder = TaskGraphBuilder().sequence(*chain).add(make("step", "aside"), depends_on=[chain[1]])
    assert outline(builder) == ["1 step x 2, one after another", "2 step x 2 after #1", "3 step (s3) after one of #2"]


def test_handlers_of_a_sequence_are_one_line() -> None:
    chain = steps("s", 5)
    builder = TaskGraphBuilder().add_chain(TaskChain(*chain, on_any_failure=make("tell", "t")))
    for number, task in enumerate(chain):
        builder.on_failure(task, make("clean", f"c{number}"))
    assert outline(builder) == [
        "1 step x 5, one after another",
        "2 clean x 5 each if one of #1 failed",
        "3 tell (t) if #1 failed",
    ]


def test_parallel_chains_are_a_line_for_each_step() -> None:
    builder = TaskGraphBuilder()
    for number in range(4):
        builder.add_chain(TaskChain(*steps(f"{number}-", 2)), depends_on=None)
    assert outline(builder.then(make("join", "j"))) == [
        "1 step x 4",
        "2 step x 4 each after one of #1",
        "3 join (j) after #2",
    ]


def test_conditions_name_all_lines() -> None:
    a, b = make("a", "a"), make("b", "b")
    builder = TaskGraphBuilder().parallel(a, b, on_failure=make("h", "h")).then(make("c", "c"))
    assert outline(builder) == ["1 a (a)", "2 b (b)", "3 h (h) if #1 or #2 failed", "4 c (c) after #1, #2"]


def test_an_outline_is_ascii_and_short() -> None:
    tasks = [make(f"schön{number}", f"t{number}") for number in range(5000)]
    text = TaskGraphBuilder().sequence(*tasks).build().to_text()
    assert text.isascii()
    assert len(text.splitlines()) == 61
    assert "... 4941 more lines ..." in text
    assert r"sch\xf6n4999 (t4999)" in text.splitlines()[-1]


def test_what_is_no_graph_has_no_picture_but_a_name() -> None:
    graph = TaskGraph("day-17")
    assert repr(graph) == "TaskGraph<day-17>"
    assert str(graph) == "TaskGraph<day-17>: a graph has at least one task: add one"
    with pytest.raises(GraphError):
        graph.to_mermaid()
