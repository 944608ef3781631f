"""Traces, log lines and error reports of one process; none of them ever blocks a call or the exit.

Several services may live in one process (tests): which one speaks is a context variable, set by `setup`.
"""

import logging
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import sentry_sdk
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from prometheus_client import Counter

from venus_kit import error_reports, log_lines
from venus_kit.errors import Refusal, Weather
from venus_kit.log_lines import saga_id_var as saga_id_var  # noqa: PLC0414  part of what this module offers
from venus_kit.settings import ProcessSettings
from venus_kit.span_post import SpanPost

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED_ENDINGS: Final = frozenset("13579bdf")
_IDS: Final = RandomIdGenerator()
_EXPORT_TIMEOUT_S: Final = 2.0
_SHUTDOWN_S: Final = 1.5
_WEATHER_LOG_EVERY_S: Final = 1.0

_WEATHER: Final = Counter("venus_weather_total", "Infrastructure that failed in a way that passes.", ["kind"])
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What one service tells with; made by `setup`."""

    service: str
    tracer: trace.Tracer
    decides_sampling: bool
    _post: SpanPost | None
    _stop_logging: Callable[[], None]

    def shutdown(self) -> None:
        """Send what is left, for at most two seconds; blocks that long when the collector is down."""
        if self._post is not None:
            self._post.stop(_SHUTDOWN_S)
        error_reports.flush()
        self._stop_logging()


_active: ContextVar[Telemetry | None] = ContextVar("telemetry", default=None)
_last_logged: dict[str, float] = {}


def setup(name: str, settings: ProcessSettings, *, decides_sampling: bool = False) -> Telemetry:
    """Start telling as service `name`.

    A service follows its caller's decision to sample; the one at the edge decides by itself (`decides_sampling`):
    it keeps a caller's trace id and ignores the caller's flag. Without an endpoint no span leaves the process.
    """
    ratio = TraceIdRatioBased(settings.trace_ratio)
    provider = _provider(name, ratio if decides_sampling else ParentBased(ratio), settings.environment)
    post: SpanPost | None = None
    if settings.otlp_endpoint:
        post = SpanPost(OTLPSpanExporter(endpoint=settings.otlp_endpoint, timeout=_EXPORT_TIMEOUT_S))
        provider.add_span_processor(post)
    stop_logging = log_lines.install(lambda: _service_name(name), current_trace_id)
    if settings.sentry_dsn:
        error_reports.start(settings.sentry_dsn, name, settings.environment)
    telemetry = Telemetry(name, provider.get_tracer("venus"), decides_sampling, post, stop_logging)
    _active.set(telemetry)
    return telemetry


def _provider(name: str, sampler: Sampler, environment: str) -> TracerProvider:
    resource = Resource(
        {"service.name": name, "service.namespace": "venus", "deployment.environment.name": environment}
    )
    return TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)


def _service_name(default: str) -> str:
    telemetry = _active.get()
    return default if telemetry is None else telemetry.service


def _telemetry() -> Telemetry:
    return _active.get() or _silent()


@lru_cache(maxsize=1)
def _silent() -> Telemetry:
    """For a tool or a test that never called `setup`: trace ids, but no spans."""
    return Telemetry("", _provider("", ALWAYS_OFF, "").get_tracer("venus"), False, None, lambda: None)


def current_trace_id() -> str:
    """32 hex digits, or empty outside of any trace."""
    found = trace.get_current_span().get_span_context()
    return f"{found.trace_id:032x}" if found.is_valid else ""


def current_traceparent() -> str:
    """The W3C traceparent of the current span, or empty outside of any trace."""
    return _traceparent(trace.get_current_span())


def new_traceparent() -> str:
    """The traceparent of a new trace, not sampled: there is no span that could be its children's parent."""
    return f"00-{_IDS.generate_trace_id():032x}-{_IDS.generate_span_id():016x}-00"


def parse_traceparent(traceparent: str) -> SpanContext | None:
    """The remote span that a W3C traceparent names; None when it is malformed."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more):
        return None
    parsed = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return parsed if parsed.is_valid else None


def _traceparent(span: Span) -> str:
    """With no flag but the one that version 00 knows, so that it ends in 00 or 01."""
    it = span.get_span_context()
    return f"00-{it.trace_id:032x}-{it.span_id:016x}-{it.trace_flags & 1:02x}" if it.is_valid else ""


def is_sampled(traceparent: str) -> bool:
    """Whether spans of this trace are kept; looks at the flags alone."""
    return traceparent[-1:] in _SAMPLED_ENDINGS


def _fail(span: Span, error: BaseException) -> None:
    """A refusal is an answer and leaves the span as it is, with its reason."""
    if isinstance(error, Refusal):
        span.set_attribute("venus.refusal", error.reason)
        return
    span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, type(error).__name__))


class ItemSpan:
    """The span of one item in a batch; for an item that is not sampled it only carries the traceparent on."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, traceparent: str, span: Span | None) -> None:
        """Use `start_item_span`."""
        self.traceparent = traceparent
        self._span = span

    def end(self, error: BaseException | None = None) -> None:
        """End it, with what went wrong."""
        if self._span is None:
            return
        if error is not None:
            _fail(self._span, error)
        self._span.end()


def start_item_span(name: str, traceparent: str, *, kind: SpanKind = SpanKind.CLIENT) -> ItemSpan:
    """Start a child of `traceparent`; whoever starts it ends it. An unsampled one costs a look at one character."""
    if not is_sampled(traceparent):
        return ItemSpan(traceparent, None)
    parent = parse_traceparent(traceparent)
    if parent is None:
        return ItemSpan("", None)
    span = _telemetry().tracer.start_span(name, context=_context_of(NonRecordingSpan(parent)), kind=kind)
    return ItemSpan(_traceparent(span), span)


@contextmanager
def item_spans(name: str, traceparents: Sequence[str]) -> Generator[None]:
    """One span per sampled item around a batch, each in the item's own trace; what is raised is recorded on all.

    The span of an item that is alone becomes the current one, so that what is logged below names its trace.
    """
    if len(traceparents) == 1:
        with server_span(name, traceparents[0]):
            yield
        return
    spans = [start_item_span(name, it, kind=SpanKind.SERVER) for it in traceparents if is_sampled(it)]
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        for span in spans:
            span.end(error)


class ServerSpan:
    """The span of one call that came in."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        """Use `server_span`."""
        self._span = span

    def name(self, name: str) -> None:
        """Rename it, once it is known what the call is."""
        self._span.update_name(name)

    def set(self, **attributes: str | int) -> None:
        """Add facts."""
        for key, value in attributes.items():
            self._span.set_attribute(f"venus.{key}", value)

    def fail(self, error: BaseException) -> None:
        """Record what went wrong; a refusal is no error."""
        _fail(self._span, error)


@contextmanager
def server_span(name: str, traceparent: str) -> Generator[ServerSpan]:
    """The current span while a call is served, a child of the caller's `traceparent`, or a new trace without one.

    There is always a trace id. At the edge the caller's flag is ignored; see `setup`.
    """
    parent = parse_traceparent(traceparent) if traceparent else None
    telemetry = _telemetry()
    if parent is not None and not parent.trace_flags.sampled and not telemetry.decides_sampling:
        span: Span = NonRecordingSpan(parent)
    else:
        context = _context_of(NonRecordingSpan(parent)) if parent is not None else otel_context.Context()
        span = telemetry.tracer.start_span(name, context=context, kind=SpanKind.SERVER)
    with _current(span):
        yield ServerSpan(span)


@contextmanager
def span(name: str, *, kind: SpanKind = SpanKind.INTERNAL) -> Generator[None]:
    """A child of the current span, or a new trace; free below a span that is not sampled."""
    above = trace.get_current_span().get_span_context()
    if above.is_valid and not above.trace_flags.sampled:
        yield
        return
    with _current(_telemetry().tracer.start_span(name, kind=kind)):
        yield


@contextmanager
def _current(span: Span) -> Generator[None]:
    token = otel_context.attach(_context_of(span))
    try:
        yield
    except BaseException as error:
        _fail(span, error)
        raise
    finally:
        otel_context.detach(token)
        span.end()


def _context_of(span: Span) -> otel_context.Context:
    return trace.set_span_in_context(span)


def report(error: BaseException, **tags: object) -> None:
    """A bug: an ERROR line and, where there is one, Sentry. Refusals and weather are sorted out again."""
    if isinstance(error, Refusal):
        return
    if isinstance(error, Weather):
        weather(error)
        return
    told = {key: str(value) for key, value in tags.items()}
    _log.error("%s", type(error).__name__, exc_info=error, extra=told)
    if sentry_sdk.is_initialized():
        error_reports.send(error, {**told, "trace_id": current_trace_id(), "service": _service_name("")})


def weather(error: BaseException, **facts: object) -> None:
    """Infrastructure failed and will come back: counted, and a warning at most once a second for each kind."""
    kind = type(error.__cause__ or error).__name__
    _WEATHER.labels(kind).inc()
    now = time.monotonic()
    if now - _last_logged.get(kind, -_WEATHER_LOG_EVERY_S) >= _WEATHER_LOG_EVERY_S:
        _last_logged[kind] = now
        told: Mapping[str, object] = {key: str(value) for key, value in facts.items()}
        _log.warning("weather: %s", error, extra={**told, "kind": kind})
