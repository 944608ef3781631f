"""A stand-in for Jaeger on a machine that has none: takes traces over OTLP/gRPC, keeps the last ones in memory.

It answers GET /api/traces/<trace id> in the JSON of Jaeger's own query API, so that whoever asks need not know which of
the two is there. No search, no user interface, gone when it ends.
"""

import argparse
import asyncio
import json
import signal
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc.aio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from venus_kit.http import serving_http

MAX_TRACES: Final = 2_000
MAX_SPANS_PER_TRACE: Final = 5_000
_MESSAGE_BYTES: Final = 32 * 1024 * 1024
_EXPORT: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
_PATH: Final = "/api/traces/"

Json = dict[str, Any]


class Traces:
    """The last traces that came, by trace id; the one that has been quiet the longest makes room."""

    def __init__(self, max_traces: int = MAX_TRACES, max_spans_per_trace: int = MAX_SPANS_PER_TRACE) -> None:
        """Keep at most so many traces and so many spans of each; further spans of a full trace are dropped."""
        self._max_traces = max_traces
        self._max_spans = max_spans_per_trace
        self._spans: OrderedDict[bytes, list[tuple[str, Span]]] = OrderedDict()

    def add(self, request: ExportTraceServiceRequest) -> None:
        """Take what an exporter sent."""
        for resource_spans in request.resource_spans:
            service = _service(resource_spans.resource.attributes)
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    self._keep(service, span)

    def get(self, trace_id: str) -> Json | None:
        """One trace as Jaeger's query API shows it, None when it is not (or no longer) here."""
        try:
            spans = self._spans.get(bytes.fromhex(trace_id))
        except ValueError:
            return None
        return _as_jaeger(trace_id, spans) if spans else None

    def __len__(self) -> int:
        """How many traces are here."""
        return len(self._spans)

    def _keep(self, service: str, span: Span) -> None:
        spans = self._spans.setdefault(span.trace_id, [])
        self._spans.move_to_end(span.trace_id)
        if len(spans) < self._max_spans:
            spans.append((service, span))
        if len(self._spans) > self._max_traces:
            self._spans.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Sink:
    """A sink that is up."""

    grpc_port: int
    http_port: int


@asynccontextmanager
async def serving_sink(traces: Traces, grpc_bind: str, http_bind: str) -> AsyncIterator[Sink]:
    """Serve both sides on host:port, port 0 for a free one."""
    untyped: Any = grpc  # its stubs leave most of this open
    server = untyped.aio.server(options=[("grpc.max_receive_message_length", _MESSAGE_BYTES), ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((untyped.method_handlers_generic_handler(_EXPORT, {"Export": _exporting(traces)}),))
    grpc_port: int = server.add_insecure_port(grpc_bind)
    await server.start()
    try:
        async with serving_http(_answering(traces), http_bind, grace_s=1.0) as http_port:
            yield Sink(grpc_port, http_port)
    finally:
        await server.stop(grace=1.0)


def _exporting(traces: Traces) -> Any:
    async def export(
        request: ExportTraceServiceRequest,
        _context: grpc.aio.ServicerContext[ExportTraceServiceRequest, ExportTraceServiceResponse],
    ) -> ExportTraceServiceResponse:
        traces.add(request)
        return ExportTraceServiceResponse()

    untyped: Any = grpc
    return untyped.unary_unary_rpc_method_handler(
        export, ExportTraceServiceRequest.FromString, ExportTraceServiceResponse.SerializeToString
    )


def _answering(traces: Traces) -> Callable[..., Awaitable[None]]:
    async def app(scope: Mapping[str, Any], _receive: object, send: Callable[[Json], Awaitable[None]]) -> None:
        path: str = scope["path"]
        if path == "/":
            status, answer = 200, {"name": "stand-in for Jaeger", "traces": len(traces)}
        else:
            trace = traces.get(path.removeprefix(_PATH)) if path.startswith(_PATH) else None
            status, answer = (200, {"data": [trace]}) if trace else (404, {"data": [], "errors": [{"code": 404}]})
        head = {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        await send(head)
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    return app


def _service(attributes: Sequence[KeyValue]) -> str:
    return next((pair.value.string_value for pair in attributes if pair.key == "service.name"), "unknown")


def _as_jaeger(trace_id: str, spans: Sequence[tuple[str, Span]]) -> Json:
    services = sorted({service for service, _ in spans})
    process_ids = {service: f"p{number}" for number, service in enumerate(services, 1)}
    return {
        "traceID": trace_id,
        "spans": [_span_as_jaeger(trace_id, span, process_ids[service]) for service, span in spans],
        "processes": {process_ids[service]: {"serviceName": service, "tags": []} for service in services},
    }


def _span_as_jaeger(trace_id: str, span: Span, process_id: str) -> Json:
    parent = span.parent_span_id.hex()
    failed = span.status.code == Status.STATUS_CODE_ERROR
    tags = [{"key": pair.key, "value": _plain(pair.value)} for pair in span.attributes]
    return {
        "traceID": trace_id,
        "spanID": span.span_id.hex(),
        "operationName": span.name,
        "references": [{"refType": "CHILD_OF", "traceID": trace_id, "spanID": parent}] if parent else [],
        "startTime": span.start_time_unix_nano // 1_000,
        "duration": (span.end_time_unix_nano - span.start_time_unix_nano) // 1_000,
        "tags": [*tags, {"key": "error", "value": True}] if failed else tags,
        "processID": process_id,
    }


def _plain(value: AnyValue) -> str | int | float | bool:
    kind = value.WhichOneof("value")
    if kind in ("string_value", "int_value", "double_value", "bool_value"):
        return getattr(value, kind)
    return str(value).strip()


async def _serve(grpc_bind: str, http_bind: str) -> None:
    ending = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    async with serving_sink(Traces(), grpc_bind, http_bind) as sink:
        print(f"OTLP/gRPC on {sink.grpc_port}, traces by HTTP on {sink.http_port}", flush=True)
        await ending.wait()


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(prog="otlp_sink", description="A stand-in for Jaeger.")
    parser.add_argument("--grpc", default="127.0.0.1:4317", help="host:port for OTLP/gRPC")
    parser.add_argument("--http", default="127.0.0.1:16686", help="host:port for questions")
    wanted = parser.parse_args()
    asyncio.run(_serve(wanted.grpc, wanted.http))


if __name__ == "__main__":
    main()
