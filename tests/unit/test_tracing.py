"""Publishing and running leave spans, and they are in one trace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from boilermaker_fn import Boilermaker, RetryException, RetryPolicy
from boilermaker_fn.graph.builder import TaskGraphBuilder
from boilermaker_fn.messages import TRACEPARENT
from tests.stage import Stage, staged

PROVIDER = TracerProvider()
EXPORTER = InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def provider() -> None:
    """OpenTelemetry has one provider for a process."""
    PROVIDER.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(PROVIDER)


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What was exported in one test."""
    EXPORTER.clear()
    yield EXPORTER
    EXPORTER.clear()


@pytest.fixture
async def traced():
    """A stage whose app traces."""
    async with staged(Boilermaker([], enable_opentelemetry=True)) as stage:

        @stage.app.task(policy=RetryPolicy(max_tries=2, delay=1))
        async def work(state: list[str], behaviour: str = "") -> None:
            state.append(format(trace.get_current_span().get_span_context().span_id, "016x"))
            if behaviour == "retry" and len(state) == 1:
                raise RetryException("again")
            if behaviour == "fail":
                raise ValueError("boom")

        yield stage


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


def work(stage: Stage):
    return stage.app.shell.registry["work"].fn


async def test_publishing_and_running_are_in_one_trace(traced: Stage, spans: InMemorySpanExporter) -> None:
    handle = await traced.app.apply_async(work(traced))
    await traced.play()
    (published,), (ran,) = named(spans, "boilermaker.publish-task"), named(spans, "boilermaker.run-task")
    assert (published.kind, ran.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert ran.context.trace_id == published.context.trace_id
    assert ran.parent is not None
    assert ran.parent.span_id == published.context.span_id
    assert published.attributes == {"task.name": "work", "task.id": handle.task_id}
    assert ran.attributes is not None
    assert ran.attributes["task.id"] == ran.attributes["messaging.message.id"] == handle.task_id
    assert ran.attributes["task.attempt"] == 1
    assert traced.app.state == [format(ran.context.span_id, "016x")]  # the task runs inside its span


async def test_the_span_of_the_caller_is_the_parent(traced: Stage, spans: InMemorySpanExporter) -> None:
    with PROVIDER.get_tracer("caller").start_as_current_span("request") as request:
        await traced.app.apply_async(work(traced))
    (published,) = named(spans, "boilermaker.publish-task")
    assert published.parent is not None
    assert published.parent.span_id == request.get_span_context().span_id


async def test_retries_and_callbacks_stay_in_the_trace(traced: Stage, spans: InMemorySpanExporter) -> None:
    task = traced.app.create_task(work(traced), "retry")
    task >> traced.app.create_task(work(traced))
    await traced.app.publish_task(task)
    await traced.play()
    runs = named(spans, "boilermaker.run-task")
    assert len(runs) == 3
    assert len({span.context.trace_id for span in spans.get_finished_spans()}) == 1


async def test_two_tasks_are_in_two_traces(traced: Stage, spans: InMemorySpanExporter) -> None:
    await traced.app.publish_many([traced.app.create_task(work(traced)) for _ in range(2)])
    await traced.play()
    assert len({span.context.trace_id for span in named(spans, "boilermaker.run-task")}) == 2
    assert len(named(spans, "boilermaker.publish-task")) == 2


async def test_a_failure_marks_its_span(traced: Stage, spans: InMemorySpanExporter) -> None:
    await traced.app.apply_async(work(traced), "fail")
    await traced.play()
    (ran,) = named(spans, "boilermaker.run-task")
    assert ran.status.status_code is StatusCode.ERROR
    assert ran.status.description == "TaskFailed: boom"


async def test_a_message_that_cannot_be_read_leaves_a_span_too(traced: Stage, spans: InMemorySpanExporter) -> None:
    await traced.send(b"garbage", properties={"traceparent": "nonsense"})
    await traced.play()
    (ran,) = named(spans, "boilermaker.run-task")
    assert ran.parent is None


async def test_without_tracing_nothing_is_sent_along(stage: Stage, spans: InMemorySpanExporter) -> None:
    @stage.app.task()
    async def work(state: list[str]) -> None: ...

    await stage.app.apply_async(work)
    (message,) = await stage.waiting()
    assert dict(message.properties) == {}
    await stage.play()
    assert spans.get_finished_spans() == ()


async def test_a_graph_is_published_in_one_span_whose_trace_its_roots_carry(
    traced: Stage, spans: InMemorySpanExporter
) -> None:
    tasks = [traced.app.create_task(work(traced)) for _ in range(3)]
    await traced.app.publish_graph(TaskGraphBuilder().parallel(*tasks).build(graph_id="g"))
    (published,) = named(spans, "boilermaker.publish-graph")
    assert published.kind is SpanKind.PRODUCER
    assert published.attributes == {"task.graph_id": "g", "graph.tasks": 3}
    trace_id, span_id = format(published.context.trace_id, "032x"), format(published.context.span_id, "016x")
    roots = [message for message in await traced.waiting() if "/w" not in message.message_id]
    assert [str(root.properties[TRACEPARENT])[3:52] for root in roots] == [f"{trace_id}-{span_id}"] * 3
