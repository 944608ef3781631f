"""One JSON object per log line on stderr, with the trace, the service and the saga that it belongs to.

The handler on the root adds them, so records of every logger have them. Lines are gathered and written by a thread:
a slow reader of stderr costs lines, which are counted, and never stops a call. Errors are written at once.
"""

import atexit
import logging
import os
import re
import threading
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

import orjson
from prometheus_client import Counter

saga_id_var: ContextVar[str] = ContextVar("saga_id", default="")
"""The saga that is being worked on, for the log lines."""

_STDERR: Final = 2
_MAX_WAITING: Final = 10_000
_GATHER_S: Final = 0.05
_PLAIN: Final = frozenset(
    {*vars(logging.LogRecord("", 0, "", 0, "", (), None)), "message", "asctime", "taskName"}  # what is no `extra`
)
# What a database's error tells of the row that it is about.
_ROW_IN_ERROR: Final = re.compile(r"^DETAIL: .*$|(?<=invalid input for query argument )(\$\d+): .*", re.MULTILINE)

_DROPPED: Final = Counter("venus_log_lines_dropped_total", "Log lines that nobody read in time.")


def install(service: Callable[[], str], trace_id: Callable[[], str]) -> Callable[[], None]:
    """Send all log records through one handler of the process; returns what undoes it.

    `service` names the service that speaks in the present context, `trace_id` its trace.
    """
    root = logging.getLogger()
    handler = next((h for h in root.handlers if isinstance(h, LogLines)), None)
    if handler is None:
        handler = LogLines(service, trace_id)
        handler.level_before = root.level
        root.addHandler(handler)
        root.setLevel(logging.INFO)
    handler.users += 1

    def leave() -> None:
        handler.users -= 1
        handler.drain()
        if not handler.users:
            root.removeHandler(handler)
            root.setLevel(handler.level_before)
            handler.close()

    return leave


class LogLines(logging.Handler):
    """Writes records as JSON lines."""

    def __init__(self, service: Callable[[], str], trace_id: Callable[[], str]) -> None:
        """Start the writer; see `install`."""
        super().__init__()
        self.users = 0
        self.level_before = logging.WARNING
        self._service = service
        self._trace_id = trace_id
        self._lines: deque[bytes] = deque()
        self._some = threading.Event()
        self._writing = threading.Lock()
        self._ended = threading.Event()
        threading.Thread(target=self._work, name="log lines", daemon=True).start()
        atexit.register(self.drain)

    def emit(self, record: logging.LogRecord) -> None:
        """Format here, where the context is the caller's; write elsewhere."""
        if len(self._lines) >= _MAX_WAITING:
            _DROPPED.inc()
            return
        self._lines.append(self.line(record))
        if record.levelno >= logging.ERROR:
            self.drain()
        else:
            self._some.set()

    def line(self, record: logging.LogRecord) -> bytes:
        """One record as a line."""
        told: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service(),
            "logger": record.name,
            "message": without_row(record.getMessage()),
            "trace_id": self._trace_id(),
            "saga_id": saga_id_var.get(),
        }
        for key, value in vars(record).items():
            if key not in _PLAIN and not told.get(key):  # work for many callers names trace and saga by itself
                told[key] = value
        if record.exc_info and record.exc_info[0] is not None:
            told["exception"] = without_row(logging.Formatter().formatException(record.exc_info))
        try:
            return orjson.dumps(told, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
        except TypeError:  # a key or a number that it does not know
            return orjson.dumps({key: str(value) for key, value in told.items()}, option=orjson.OPT_APPEND_NEWLINE)

    def drain(self) -> None:
        """Write what waits."""
        with self._writing:
            gathered = bytearray()
            while self._lines:
                gathered += self._lines.popleft()
            rest = memoryview(gathered)
            try:
                while rest:
                    rest = rest[os.write(_STDERR, rest) :]
            except OSError:  # nobody reads any more
                _DROPPED.inc()

    def close(self) -> None:
        """Write what waits and end the writer."""
        self._ended.set()
        self._some.set()
        self.drain()
        atexit.unregister(self.drain)
        super().close()

    def _work(self) -> None:
        while not self._ended.is_set():
            self._some.wait()
            self._ended.wait(_GATHER_S)
            self._some.clear()
            self.drain()


def without_row(text: str) -> str:
    """A database error's text without the values that it quotes: they may be a customer's."""
    return _ROW_IN_ERROR.sub(r"\1", text) if "DETAIL:" in text or "query argument" in text else text
