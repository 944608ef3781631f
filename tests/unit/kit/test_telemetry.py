"""What a process tells of itself, above all on the days when nobody listens."""

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import sentry_sdk
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from venus_kit import error_reports, telemetry
from venus_kit.errors import Poison, Refusal, Weather
from venus_kit.settings import ProcessSettings
from venus_kit.span_post import SpanPost
from venus_kit.telemetry import Telemetry
from venus_kit.testing import metric

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
TRACE = "0af7651916cd43dd8448eb211c80319c"
NAME = "Asha Rao"
SECRETS = ("eyJhbGciOi.eyJzdWIiOiIx.c2ln", "+91 98765 43210", "postgresql://sales:hunter2@db/sales")


class DrawerEmpty(Refusal):
    """There is nothing in the drawer."""


def settings(**told: Any) -> ProcessSettings:
    return ProcessSettings(service_key_file=Path("none"), service_jwks_file=Path("none"), **told)


Start = Callable[..., Telemetry]


@pytest.fixture
def start() -> Iterator[Start]:
    """`telemetry.setup`, undone after the test."""
    running: list[Telemetry] = []

    def begin(name: str = "sales", decides_sampling: bool = False, **told: Any) -> Telemetry:
        running.append(telemetry.setup(name, settings(**told), decides_sampling=decides_sampling))
        return running[-1]

    yield begin
    for process in running:
        process.shutdown()
    telemetry._active.set(None)


class Collector:
    """A trace collector on a real port."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        handler = grpc.unary_unary_rpc_method_handler(
            self.export,
            request_deserializer=ExportTraceServiceRequest.FromString,
            response_serializer=ExportTraceServiceResponse.SerializeToString,
        )
        service = "opentelemetry.proto.collector.trace.v1.TraceService"
        self._server = grpc.server(ThreadPoolExecutor(2))
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Export": handler})])
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def export(self, request: ExportTraceServiceRequest, context: object) -> ExportTraceServiceResponse:
        for resource in request.resource_spans:
            self.services |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
            self.spans.extend(span for scope in resource.scope_spans for span in scope.spans)
        return ExportTraceServiceResponse()

    def close(self) -> None:
        self._server.stop(0).wait()

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        yield deaf.getsockname()[1]


# --- trace ids -----------------------------------------------------------------------------------------------------


def test_outside_of_a_trace_there_is_no_id() -> None:
    assert (telemetry.current_trace_id(), telemetry.current_traceparent()) == ("", "")


def test_a_call_without_a_parent_gets_a_trace_of_its_own_even_without_any_setup() -> None:
    with telemetry.server_span("CreateSale", ""):
        assert len(telemetry.current_trace_id()) == 32
        assert telemetry.current_traceparent().endswith("-00")
    assert telemetry.current_trace_id() == ""


@pytest.mark.parametrize("parent", [SAMPLED, UNSAMPLED])
def test_a_service_keeps_the_callers_trace_and_its_flag(start: Start, parent: str) -> None:
    start(trace_ratio=0.0 if parent == SAMPLED else 1.0)
    with telemetry.server_span("ReserveStock", parent):
        assert telemetry.current_trace_id() == parent[3:35]
        assert telemetry.current_traceparent()[-2:] == parent[-2:]


@pytest.mark.parametrize("parent", [SAMPLED, UNSAMPLED, ""])
@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_the_edge_keeps_a_clients_trace_id_and_decides_for_itself(start: Start, parent: str, ratio: float) -> None:
    start("gateway", decides_sampling=True, trace_ratio=ratio)
    with telemetry.server_span("POST /sales", parent):
        assert telemetry.current_traceparent().endswith("-01" if ratio else "-00")
        assert not parent or telemetry.current_trace_id() == parent[3:35]


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "00",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n",
        "'; DROP TABLE sale; --",
    ],
)
def test_a_malformed_traceparent_is_dropped(malformed: str) -> None:
    assert telemetry.parse_traceparent(malformed) is None
    with telemetry.server_span("CreateSale", malformed):
        assert telemetry.current_trace_id() not in ("", "0" * 32, TRACE)


def test_a_traceparent_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    found = telemetry.parse_traceparent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-more")
    assert found is not None
    assert found.trace_flags.sampled


def test_a_new_traceparent_is_valid_and_not_sampled() -> None:
    found = telemetry.parse_traceparent(telemetry.new_traceparent())
    assert found is not None
    assert not found.trace_flags.sampled


# --- spans ---------------------------------------------------------------------------------------------------------


def test_spans_reach_the_collector_with_their_parents(start: Start, collector: Collector) -> None:
    process = start("sales", trace_ratio=1.0, otlp_endpoint=collector.endpoint)
    with telemetry.server_span("RecordSale", SAMPLED), telemetry.span("number the receipt"):
        pass
    process.shutdown()
    [served], [inner] = collector.named("RecordSale"), collector.named("number the receipt")
    assert collector.services == {"sales"}
    assert served.trace_id.hex() == inner.trace_id.hex() == TRACE
    assert served.parent_span_id.hex() == "b7ad6b7169203331"
    assert inner.parent_span_id == served.span_id


def test_each_sampled_item_of_a_batch_has_a_span_in_its_own_trace(start: Start, collector: Collector) -> None:
    process = start(otlp_endpoint=collector.endpoint)
    other = SAMPLED.replace("0af7", "2af7")
    with telemetry.item_spans("ReserveStock", [SAMPLED, UNSAMPLED, "", "nonsense1", other]):
        pass
    process.shutdown()
    assert sorted(span.trace_id.hex()[:4] for span in collector.named("ReserveStock")) == ["0af7", "2af7"]
    assert {span.parent_span_id.hex() for span in collector.spans} == {"b7ad6b7169203331"}


def test_what_a_batch_raises_is_recorded_on_every_item(start: Start, collector: Collector) -> None:
    process = start(otlp_endpoint=collector.endpoint)
    with pytest.raises(ZeroDivisionError), telemetry.item_spans("ReserveStock", [SAMPLED, SAMPLED]):
        raise ZeroDivisionError
    process.shutdown()
    spans = collector.named("ReserveStock")
    assert [span.status.code for span in spans] == [2, 2]
    assert all(span.events[0].name == "exception" for span in spans)


def test_an_item_that_is_alone_lends_its_trace_to_what_is_below(start: Start) -> None:
    start()
    for parent in (SAMPLED, UNSAMPLED):
        with telemetry.item_spans("ReserveStock", [parent]):
            assert telemetry.current_trace_id() == parent[3:35]


def test_a_refusal_is_an_answer_and_no_error(start: Start, collector: Collector) -> None:
    process = start(otlp_endpoint=collector.endpoint)
    with telemetry.server_span("CreateSale", SAMPLED) as span:
        span.fail(DrawerEmpty(pool=1))
    process.shutdown()
    [served] = collector.named("CreateSale")
    assert served.status.code == 0
    assert {a.key: a.value.string_value for a in served.attributes} == {"venus.refusal": "DRAWER_EMPTY"}


def test_a_span_of_a_step_gives_its_own_traceparent_on(start: Start, collector: Collector) -> None:
    process = start(otlp_endpoint=collector.endpoint)
    step = telemetry.start_item_span("reserve_stock", SAMPLED)
    assert step.traceparent != SAMPLED
    assert step.traceparent[:35] == SAMPLED[:35]
    assert step.traceparent.endswith("-01")
    step.end(TimeoutError("late"))
    process.shutdown()
    [sent] = collector.named("reserve_stock")
    assert sent.span_id.hex() == step.traceparent[36:52]
    assert sent.status.code == 2


@pytest.mark.parametrize("parent", [UNSAMPLED, ""])
def test_a_step_that_is_not_sampled_hands_its_parent_on_unchanged(start: Start, parent: str) -> None:
    start(trace_ratio=1.0)
    step = telemetry.start_item_span("reserve_stock", parent)
    assert step.traceparent == parent
    step.end()


def test_spans_that_are_not_sampled_cost_next_to_nothing(start: Start) -> None:
    start()
    traceparents = [UNSAMPLED] * 256
    started = time.perf_counter()
    for _ in range(100):
        with telemetry.item_spans("ReserveStock", traceparents):
            pass
    assert (time.perf_counter() - started) / 25_600 < 5e-6


# --- a collector that is down --------------------------------------------------------------------------------------


class Refusing(SpanExporter):
    """An exporter whose collector takes nothing."""

    def __init__(self, hold_s: float = 0.0) -> None:
        self.calls = 0
        self._closed = threading.Event()
        self._hold_s = hold_s

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.calls += 1
        self._closed.wait(self._hold_s)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self._closed.set()


def dropped() -> float:
    return sum(metric("venus_spans_dropped_total", reason=r) for r in ("queue full", "not taken", "stopped"))


def finish_spans(number: int, post: SpanPost) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(post)
    tracer = provider.get_tracer("test")
    for _ in range(number):
        tracer.start_span("sale").end()


def test_a_full_queue_drops_and_counts_and_never_waits() -> None:
    before, full = dropped(), metric("venus_spans_dropped_total", reason="queue full")
    post = SpanPost(Refusing(hold_s=30), max_queue=600)
    started = time.perf_counter()
    finish_spans(5000, post)
    assert time.perf_counter() - started < 2.0
    in_hand = 512
    assert metric("venus_spans_dropped_total", reason="queue full") - full >= 5000 - 600 - in_hand
    post.stop(0.1)
    assert dropped() - before >= 5000 - in_hand
    finish_spans(1, post)
    assert dropped() - before >= 5000 - in_hand + 1


def test_collector_down_no_hang(start: Start) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        before = dropped()
        process = start(trace_ratio=1.0, otlp_endpoint=f"http://127.0.0.1:{port}")
        started = time.perf_counter()
        for _ in range(2000):
            with telemetry.server_span("CreateSale", SAMPLED):
                pass
        assert time.perf_counter() - started < 2.0
        started = time.perf_counter()
        process.shutdown()
        assert time.perf_counter() - started < 2.0
        wait_until(lambda: dropped() - before == 2000)


def test_collector_that_takes_connections_and_never_answers_no_hang(start: Start, deaf_port: int) -> None:
    before = dropped()
    process = start(trace_ratio=1.0, otlp_endpoint=f"http://127.0.0.1:{deaf_port}")
    for _ in range(1500):
        with telemetry.server_span("CreateSale", SAMPLED):
            pass
    started = time.perf_counter()
    process.shutdown()
    assert time.perf_counter() - started < 2.0
    wait_until(lambda: dropped() - before == 1500)


def test_a_failing_collector_is_left_alone_for_longer_and_longer() -> None:
    exporter = Refusing()
    post = SpanPost(exporter, every_s=0.05)
    for _ in range(10):
        finish_spans(1, post)
        time.sleep(0.05)
    assert exporter.calls <= 4
    post.stop(0.5)


def test_spans_flow_again_when_the_collector_is_back(start: Start, collector: Collector) -> None:
    process = start(trace_ratio=1.0, otlp_endpoint=collector.endpoint)
    with telemetry.server_span("CreateSale", SAMPLED):
        pass
    assert process._post is not None
    assert process._post.force_flush(3000)
    wait_until(lambda: len(collector.spans) == 1)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- log lines -----------------------------------------------------------------------------------------------------


Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str], start: Start) -> Lines:
    """The JSON lines on stderr so far."""
    process = start("sales")

    def read() -> list[dict[str, Any]]:
        process._stop_logging()
        return [json.loads(line) for line in capfd.readouterr().err.splitlines()]

    return read


def test_every_loggers_lines_carry_trace_service_and_saga(lines: Lines) -> None:
    telemetry.saga_id_var.set("sale-7")
    with telemetry.server_span("CreateSale", UNSAMPLED):
        logging.getLogger("services.sales.store").info("sold %d", 3, extra={"store_id": 1})
        logging.getLogger().warning("root too")
    telemetry.saga_id_var.set("")
    child, root = lines()
    assert child["message"] == "sold 3"
    assert child["logger"] == "services.sales.store"
    assert child["store_id"] == 1
    assert child["level"] == "INFO"
    assert child["ts"].endswith("+00:00")
    for line in (child, root):
        assert (line["trace_id"], line["service"], line["saga_id"]) == (UNSAMPLED[3:35], "sales", "sale-7")


def test_a_line_that_another_thread_writes_names_the_service_too(lines: Lines) -> None:
    thread = threading.Thread(target=logging.getLogger("background").info, args=("done",))
    thread.start()
    thread.join()
    [line] = lines()
    assert (line["service"], line["trace_id"]) == ("sales", "")


async def test_tasks_that_run_at_once_keep_their_own_ids(lines: Lines) -> None:
    async def serve(parent: str) -> None:
        with telemetry.server_span("CreateSale", parent):
            await asyncio.sleep(0.01)
            logging.getLogger("x").info(parent[3:35])

    parents = [UNSAMPLED.replace("1af7", f"{n:04x}") for n in range(10)]
    await asyncio.gather(*map(serve, parents))
    told = lines()
    assert len(told) == 10
    assert all(line["trace_id"] == line["message"] for line in told)


def test_an_error_is_written_at_once_with_its_traceback(capfd: pytest.CaptureFixture[str], start: Start) -> None:
    start("sales")
    try:
        raise ValueError("unheard of")
    except ValueError as error:
        telemetry.report(error, rpc="CreateSale")
    [line] = [json.loads(text) for text in capfd.readouterr().err.splitlines()]
    assert line["level"] == "ERROR"
    assert line["rpc"] == "CreateSale"
    assert "ValueError: unheard of" in line["exception"]


def test_a_log_line_does_not_quote_a_customers_row(lines: Lines) -> None:
    text = "duplicate key value\nDETAIL:  Key (phone)=(9876543210) already exists.\nHINT: none"
    logging.getLogger("x").error("%s", text)
    logging.getLogger("x").error("invalid input for query argument $2: 'Asha Rao' (an integer is required)")
    for line in lines():
        assert "9876543210" not in line["message"]
        assert "Asha" not in line["message"]


def test_what_cannot_be_json_is_written_as_text(lines: Lines) -> None:
    logging.getLogger("x").info("odd", extra={"thing": {1: object}, "path": Path("/a"), "big": 2**70})
    [line] = lines()
    assert line["path"] == "/a"
    assert line["message"] == "odd"


def test_two_services_in_one_process_share_the_handler_and_leave_none_behind(start: Start) -> None:
    before, level = list(logging.getLogger().handlers), logging.getLogger().level
    first, second = start("sales"), start("ledger")
    assert len(logging.getLogger().handlers) == len(before) + 1
    first._stop_logging()
    assert len(logging.getLogger().handlers) == len(before) + 1
    second._stop_logging()
    assert logging.getLogger().handlers == before
    assert logging.getLogger().level == level


# --- weather, bugs and refusals ------------------------------------------------------------------------------------


def test_weather_is_counted_each_time_and_logged_once_a_second(lines: Lines) -> None:
    before = metric("venus_weather_total", kind="TimeoutError")
    telemetry._last_logged.clear()
    for _ in range(50):
        stormy = Weather("the database is away")
        stormy.__cause__ = TimeoutError()
        telemetry.weather(stormy)
    assert metric("venus_weather_total", kind="TimeoutError") == before + 50
    assert [line["level"] for line in lines()] == ["WARNING"]


class Reports(sentry_sdk.Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.events.append(cast("dict[str, Any]", envelope.get_event()))


@pytest.fixture
def reports(start: Start) -> Iterator[Reports]:
    reports = Reports()
    start("sales", sentry_dsn="https://key@errors.invalid/1", environment="test")
    client = sentry_sdk.get_client()
    real, client.transport = client.transport, reports
    yield reports
    client.transport = real
    client.close()
    sentry_sdk.get_global_scope().set_client(None)


def test_a_bug_reaches_sentry_with_its_trace(reports: Reports) -> None:
    with telemetry.server_span("CreateSale", UNSAMPLED):
        telemetry.report(ValueError("unheard of"), rpc="CreateSale")
    [event] = reports.events
    assert event["tags"] == {"trace_id": UNSAMPLED[3:35], "service": "sales", "rpc": "CreateSale"}
    assert event["exception"]["values"][0]["type"] == "ValueError"


def test_refusals_and_weather_never_reach_sentry(reports: Reports) -> None:
    telemetry.report(DrawerEmpty(pool=1))
    telemetry.report(Weather("the database is away"))
    telemetry.report(Poison("one bad item"))
    assert [event["exception"]["values"][0]["type"] for event in reports.events] == ["Poison"]


def test_a_report_says_nothing_of_people(reports: Reports) -> None:
    try:
        raise ValueError(" ".join(SECRETS))
    except ValueError as error:
        telemetry.report(error, customer_name=NAME, authorization=SECRETS[0], request_body="{}")
    [event] = reports.events
    text = json.dumps(event, default=str)
    for secret in (NAME, *SECRETS):
        assert secret not in text
    assert "98765" not in text
    assert "hunter2" not in text
    assert "vars" not in text
    assert event["server_name"] == "sales"
    assert event["sdk"]["name"] == "sentry.python"


def test_scrubbing_keeps_what_is_needed_to_find_the_bug() -> None:
    event: Any = {
        "event_id": "0" * 32,
        "timestamp": "2026-01-05T09:00:00.000000Z",
        "server_name": "sales",
        "user": {"id": 7},
        "request": {"data": "{}"},
        "tags": {"saga_id": "0199f5a0-0000-7000-8000-000000000001", "trace_id": TRACE},
        "exception": {"values": [{"value": "pool 12 of store 3", "stacktrace": {"frames": [{"function": "sell"}]}}]},
    }
    kept = cast("Any", error_reports.scrub(event, {}))
    assert kept == {k: v for k, v in event.items() if k not in ("user", "request")}


def test_without_a_dsn_nothing_is_sent(start: Start) -> None:
    start("sales")
    telemetry.report(ValueError("unheard of"))
    assert not sentry_sdk.is_initialized()
