"""Which spans does a task leave? One for publishing it and one for each delivery, in one trace.

The trace context travels in the message's `traceparent` property, as in boilermaker-servicebus. OpenTelemetry's API is
imported only when tracing is on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..messages import NO_PROPERTIES, TRACEPARENT, Delivery, Message, Properties
from ..task.task import Task

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span


class OpenTelemetry:
    """Spans by the OpenTelemetry API; whoever configured an exporter gets them."""

    def __init__(self) -> None:
        from opentelemetry import trace

        self._tracer = trace.get_tracer("boilermaker_fn")

    @contextmanager
    def publishing(self, tasks: Sequence[Task]) -> Iterator[list[Properties]]:
        """A span for each task around publishing them together; yields the trace context that each is to carry."""
        spans = [self._publishing("boilermaker.publish-task") for _ in tasks]
        for span, task in zip(spans, tasks, strict=True):
            _describe(span, task)
        with _ended(spans) as contexts:
            yield contexts

    @contextmanager
    def publishing_graph(self, graph_id: str, tasks: int) -> Iterator[Properties]:
        """A span around publishing a graph of so many tasks; yields the trace context that all of them carry."""
        span = self._publishing("boilermaker.publish-graph")
        span.set_attribute("task.graph_id", graph_id)
        span.set_attribute("graph.tasks", tasks)
        with _ended([span]) as (context,):
            yield context

    def _publishing(self, name: str) -> Span:
        from opentelemetry.trace import SpanKind

        return self._tracer.start_span(name, kind=SpanKind.PRODUCER)

    @contextmanager
    def delivery(self, delivery: Delivery, task: Task | None) -> Iterator[None]:
        """A span around all that one delivery causes; its parent is the message's trace context."""
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        parent = extract(_carrier(delivery.properties))
        with self._tracer.start_as_current_span("boilermaker.run-task", context=parent, kind=SpanKind.CONSUMER) as span:
            if task is not None:
                _describe(span, task)
                span.set_attribute("task.attempt", task.attempt)
            span.set_attribute("messaging.message.id", delivery.message_id)
            yield

    def failed(self, reason: str, description: str) -> None:
        """Mark the current span as failed."""
        from opentelemetry.trace import Status, StatusCode, get_current_span

        get_current_span().set_status(Status(StatusCode.ERROR, f"{reason}: {description}"))

    def carried(self, messages: Iterable[Message]) -> tuple[Message, ...]:
        """The messages with the current trace context."""
        parent = _injected(None)
        return tuple(m._replace(properties={**m.properties, **parent}) for m in messages)


@contextmanager
def _ended(spans: Sequence[Span]) -> Iterator[list[Properties]]:
    """Ends the spans, as failed if something is raised; yields their trace contexts."""
    from opentelemetry.trace import Status, StatusCode, set_span_in_context

    try:
        yield [_injected(set_span_in_context(span)) for span in spans]
    except Exception as error:
        for span in spans:
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, str(error)))
        raise
    finally:
        for span in spans:
            span.end()


def _injected(context: Context | None) -> Properties:
    from opentelemetry.propagate import inject

    carrier: dict[str, str] = {}
    inject(carrier, context)
    return {TRACEPARENT: carrier[TRACEPARENT]} if TRACEPARENT in carrier else NO_PROPERTIES


def _carrier(properties: Properties) -> dict[str, str]:
    parent = properties.get(TRACEPARENT)
    return {TRACEPARENT: parent} if isinstance(parent, str) else {}


def _describe(span: Span, task: Task) -> None:
    span.set_attribute("task.name", task.function_name)
    span.set_attribute("task.id", task.task_id)
    if task.graph_id is not None:
        span.set_attribute("task.graph_id", task.graph_id)
