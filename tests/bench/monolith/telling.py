"""Metrics and traces of every request, as plain ASGI: the framework's own middleware class would cost more."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Tracer
from prometheus_client import Counter, Histogram

REQUESTS: Final = Counter("monolith_requests_total", "HTTP requests answered", ["route", "code"])
SECONDS: Final = Histogram("monolith_request_seconds", "Time to answer an HTTP request", ["route"])

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


def tracing(otlp_endpoint: str, ratio: float) -> TracerProvider:
    """A provider that samples as the gateway does and sends to the same collector."""
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(ratio)), resource=Resource({"service.name": "monolith"})
    )
    if otlp_endpoint:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=otlp_endpoint, insecure=True)))
    return provider


def current_trace_id() -> str:
    return f"{trace.get_current_span().get_span_context().trace_id:032x}"


class Telling:
    """ASGI middleware: one span, two metrics, the trace id in the answer's head."""

    def __init__(self, app: Asgi, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        code = 500
        traceparent = next((value.decode() for name, value in scope["headers"] if name == b"traceparent"), "")
        above = extract({"traceparent": traceparent}) if traceparent else None
        with self._tracer.start_as_current_span(scope["method"], context=above, kind=SpanKind.SERVER) as span:
            trace_id = current_trace_id().encode()

            async def tell(message: Any) -> None:
                nonlocal code
                if message["type"] == "http.response.start":
                    code = message["status"]
                    message["headers"] = [*message["headers"], (b"x-correlation-id", trace_id)]
                await send(message)

            await self._app(scope, receive, tell)
            route = getattr(scope.get("route"), "path", "none")
            span.update_name(route)
        REQUESTS.labels(route, str(code)).inc()
        SECONDS.labels(route).observe(time.perf_counter() - started)
