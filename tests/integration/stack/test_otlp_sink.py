import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from deploy.local.otlp_sink import Sink, Traces, serving_sink
from deploy.local.waterfall import TraceNotFound, fetch_trace, in_order, orphans
from deploy.local.web import ask


@dataclass(frozen=True, slots=True)
class Running:
    sink: Sink
    traces: Traces

    @property
    def traces_url(self) -> str:
        return f"http://127.0.0.1:{self.sink.http_port}/api/traces"


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    traces = Traces(max_traces=3, max_spans_per_trace=4)
    async with serving_sink(traces, "127.0.0.1:0", "127.0.0.1:0") as sink:
        yield Running(sink, traces)


def _export_sale(grpc_port: int, spans_below: int = 1) -> str:
    """One trace of two services, as the real exporter sends it; its trace id."""
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{grpc_port}", insecure=True)
    tracers = {}
    for service in ("gateway", "sales"):
        provider = TracerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracers[service] = provider.get_tracer("test")
    root = tracers["gateway"].start_span("POST /v1/stores/{store_id}/sales", attributes={"venus.store_id": 1})
    for number in range(spans_below):
        below = tracers["sales"].start_span(f"record {number}", set_span_in_context(root), kind=SpanKind.SERVER)
        below.set_status(Status(StatusCode.ERROR, "Weather"))
        below.end()
    root.end()
    exporter.shutdown()
    return f"{root.get_span_context().trace_id:032x}"


async def test_a_trace_of_two_services_is_read_back_whole(running: Running) -> None:
    trace_id = await asyncio.to_thread(_export_sale, running.sink.grpc_port)

    spans = await fetch_trace(running.traces_url, trace_id)

    assert [(depth, span.service, span.name, span.failed) for depth, span in in_order(spans)] == [
        (0, "gateway", "POST /v1/stores/{store_id}/sales", False),
        (1, "sales", "record 0", True),
    ]
    assert not orphans(spans)
    assert all(span.duration_us >= 0 and span.start_us > 0 for span in spans)


async def test_attributes_are_shown_as_jaeger_shows_them(running: Running) -> None:
    trace_id = await asyncio.to_thread(_export_sale, running.sink.grpc_port)
    body = (await ask("GET", f"{running.traces_url}/{trace_id}")).json()
    tags = [span["tags"] for span in body["data"][0]["spans"]]
    assert {"key": "venus.store_id", "value": 1} in tags[0] + tags[1]


async def test_the_oldest_trace_makes_room(running: Running) -> None:
    ids = [await asyncio.to_thread(_export_sale, running.sink.grpc_port) for _ in range(4)]
    assert len(running.traces) == 3
    with pytest.raises(TraceNotFound):
        await fetch_trace(running.traces_url, ids[0])
    assert await fetch_trace(running.traces_url, ids[1])


async def test_a_trace_without_end_does_not_fill_the_memory(running: Running) -> None:
    trace_id = await asyncio.to_thread(_export_sale, running.sink.grpc_port, 9)
    assert len(await fetch_trace(running.traces_url, trace_id)) == 4


@pytest.mark.parametrize("path", ["/api/traces/" + "0" * 32, "/api/traces/nonsense", "/api/services"])
async def test_what_is_not_there_is_not_found(running: Running, path: str) -> None:
    assert (await ask("GET", f"http://127.0.0.1:{running.sink.http_port}{path}")).status == 404
