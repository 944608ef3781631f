"""Spans on their way to the collector: bounded, in the background, dropped and counted rather than waited for."""

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client import Counter

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span

_MAX_QUEUE: Final = 4096
_MAX_BATCH: Final = 512
_SEND_EVERY_S: Final = 1.0
_LONGEST_BACKOFF_S: Final = 30.0

_DROPPED: Final = Counter("venus_spans_dropped_total", "Spans that never reached the collector.", ["reason"])
_log = logging.getLogger(__name__)


class SpanPost(SpanProcessor):
    """Gives ended spans to an exporter from a thread of its own.

    The library's batch processor waits up to thirty seconds at shutdown, and its exporter retries while it does, so
    one that is down holds up the exit; and neither counts what it drops.
    """

    def __init__(self, exporter: SpanExporter, *, max_queue: int = _MAX_QUEUE, every_s: float = _SEND_EVERY_S) -> None:
        """Start the thread; it never keeps the process alive."""
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # we say it once, it says it each time
        self._exporter = exporter
        self._max_queue = max_queue
        self._every_s = every_s
        self._queue: deque[ReadableSpan] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._failures = 0
        self._thread = threading.Thread(target=self._work, name="spans", daemon=True)
        self._thread.start()

    def on_start(self, span: "Span", parent_context: "Context | None" = None) -> None:
        """Nothing: only whole spans are sent."""

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span, or drop it when the queue is full."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._stopping or len(self._queue) >= self._max_queue:
            _DROPPED.labels("stopped" if self._stopping else "queue full").inc()
            return
        self._queue.append(span)
        if len(self._queue) >= _MAX_BATCH and not self._failures:
            self._wake.set()

    def stop(self, patience_s: float) -> None:
        """Send what is left, for at most `patience_s`; what remains is counted as dropped."""
        self._stopping = True
        self._wake.set()
        self._thread.join(patience_s)
        self._exporter.shutdown()  # ends a try that is still under way
        if self._queue:
            _DROPPED.labels("stopped").inc(len(self._queue))
            self._queue.clear()

    def shutdown(self) -> None:
        """Stop at once."""
        self.stop(0.0)

    def force_flush(self, timeout_millis: int = 1000) -> bool:
        """Wait until the queue is empty; whether it became so in time."""
        deadline = time.monotonic() + timeout_millis / 1000
        while self._queue and time.monotonic() < deadline:
            self._wake.set()
            time.sleep(0.01)
        return not self._queue

    def _work(self) -> None:
        while not self._stopping:
            self._wake.wait(min(self._every_s * 2**self._failures, _LONGEST_BACKOFF_S))
            self._wake.clear()
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        """Until the queue is empty or the collector fails."""
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), _MAX_BATCH))]
            if self._exporter.export(batch) is SpanExportResult.SUCCESS:
                self._failures = 0
                continue
            _DROPPED.labels("not taken").inc(len(batch))
            if not self._failures:
                _log.warning("the trace collector does not take spans; they are dropped and counted")
            self._failures = min(self._failures + 1, 10)
            return
