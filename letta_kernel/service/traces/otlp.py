"""Spans to an OpenTelemetry collector, by the official SDK: in batches, on a thread of their own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from letta_kernel import __version__, lazy_import
from letta_kernel.service.traces.spans import Span

_SDK = "opentelemetry.sdk.trace"
_EXPORT = "opentelemetry.sdk.trace.export"
_OTLP = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
NEEDED = (_SDK, _OTLP)
"""What the extra ``otel`` brings."""
_SAMPLED = 1  # the flag of a trace that is kept


class Collector:
    """A connection to a collector.

    Parameters
    ----------
    endpoint
        The URL that takes traces; None for what ``OTEL_EXPORTER_OTLP_ENDPOINT`` says, or this machine.
    told
        Called with the number of spans and None when a batch has arrived, with what is wrong when it has not.
    """

    def __init__(self, endpoint: str | None, told: Callable[[int, str | None], None]) -> None:
        sdk, export, otlp = (lazy_import.load(name) for name in (_SDK, _EXPORT, _OTLP))
        self._trace: Any = lazy_import.load("opentelemetry.trace")
        self._ids = _Ids()
        session = _session()
        inner = otlp.OTLPSpanExporter(endpoint=endpoint, session=session)
        exporter = _Watched(inner, export, told, session)
        named = "OTEL_SERVICE_NAME" in os.environ or "service.name" in os.environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        resources = lazy_import.load("opentelemetry.sdk.resources")
        resource = resources.Resource.create({} if named else {"service.name": "letta-kernel"})
        # Neither the user's own provider nor the end of the process is touched.
        self._provider = sdk.TracerProvider(
            resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(export.BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("letta_kernel", __version__)

    def send(self, span: Span) -> None:
        """Put a span into the next batch; one too many is dropped. One thread calls it."""
        trace = self._trace
        self._ids.trace_id, self._ids.span_id = span.place.trace_id, span.span_id
        sampled = self._provider.sampler.should_sample(None, span.place.trace_id, span.name)
        if not sampled.decision.is_sampled():
            return
        context = trace.set_span_in_context(trace.INVALID_SPAN)
        if span.place.parent_id is not None:
            parent = trace.SpanContext(
                span.place.trace_id, span.place.parent_id, True, trace.TraceFlags(_SAMPLED)
            )
            context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        kind = trace.SpanKind.CLIENT if span.kind == "client" else trace.SpanKind.INTERNAL
        made = self._tracer.start_span(
            span.name,
            context=context,
            kind=kind,
            attributes=span.attributes,
            start_time=span.start,
        )
        if span.error is not None:
            made.set_status(trace.Status(trace.StatusCode.ERROR, span.error))
        made.end(end_time=max(span.end, span.start))

    def close(self, seconds: float) -> None:
        """Send what waits and end; whatever takes longer than *seconds* is left."""

        def work() -> None:
            self._provider.force_flush(int(seconds * 1000))
            self._provider.shutdown()

        thread = threading.Thread(target=work, name="letta-traces-end", daemon=True)
        thread.start()
        thread.join(seconds)


class _Ids:
    """Gives the SDK our ids; it asks on the thread that sends."""

    trace_id = 0
    span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id

    def is_trace_id_random(self) -> bool:
        return False


def _session() -> Any:
    """Return the session that requests go by; None where the environment names who makes it."""
    if any(
        name.endswith("_CREDENTIAL_PROVIDER") and name.startswith("OTEL_") for name in os.environ
    ):
        return None
    session = lazy_import.load("requests").Session()
    session.resolve_redirects = lambda *_, **__: iter(())  # older exporters would follow them
    return session


class _Watched:
    """An exporter whose failures are told once and never raised.

    The SDK neither follows a collector that leads elsewhere, which would be told secrets, nor calls that a
    failure: here it is one.
    """

    def __init__(
        self, inner: Any, export: Any, told: Callable[[int, str | None], None], session: Any
    ) -> None:
        self._inner = inner
        self._elsewhere = False
        if session is not None:
            session.hooks["response"].append(self._answered)
        self._results = export.SpanExportResult
        self._told = told

    def _answered(self, response: Any, *_: Any, **__: Any) -> None:
        self._elsewhere = 300 <= response.status_code < 400

    def export(self, batch: Sequence[Any]) -> Any:
        self._elsewhere = False
        try:
            result = self._inner.export(batch)
        except Exception as error:
            self._told(len(batch), f"{type(error).__name__}")
            return self._results.FAILURE
        if self._elsewhere:
            self._told(len(batch), "it leads elsewhere: name that URL")
            return self._results.FAILURE
        failed = result is not self._results.SUCCESS
        self._told(len(batch), "it does not take them" if failed else None)
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return bool(self._inner.force_flush(timeout_millis))
