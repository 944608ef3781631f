"""A trace as people read it: who called whom, when, how long."""

import asyncio
import http.client
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from deploy.local.startup import StackFailed
from deploy.local.web import ask

_BAR_CELLS: Final = 24
_SPAN_COLUMN: Final = 46
_LOOK_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class TraceSpan:
    """One span; `parent_id` is empty for the root, times are microseconds since the epoch."""

    span_id: str
    parent_id: str
    service: str
    name: str
    start_us: int
    duration_us: int
    failed: bool


class TraceNotFound(StackFailed):
    """The collector has no such trace (any more)."""


async def fetch_trace(traces_url: str, trace_id: str) -> list[TraceSpan]:
    """Ask the query API of Jaeger, or of its stand-in, at `traces_url` (".../api/traces"). Errors: TraceNotFound."""
    try:
        answer = await ask("GET", f"{traces_url}/{trace_id}")
    except (OSError, http.client.HTTPException) as error:
        raise StackFailed(f"nobody answers at {traces_url}: {error}") from error
    found: Sequence[Mapping[str, Any]] = answer.json().get("data") or ()
    if not found:
        raise TraceNotFound(f"no trace {trace_id} at {traces_url}")
    return spans_of(found[0])


async def await_trace(
    traces_url: str, trace_id: str, complete: Callable[[Sequence[TraceSpan]], bool], *, within_s: float
) -> list[TraceSpan]:
    """The trace once it is complete, or what there is of it after `within_s`; services send spans a little later."""
    spans: list[TraceSpan] = []
    for _ in range(max(1, int(within_s / _LOOK_EVERY_S))):
        try:
            spans = await fetch_trace(traces_url, trace_id)
        except TraceNotFound:
            spans = []
        if complete(spans):
            break
        await asyncio.sleep(_LOOK_EVERY_S)
    return spans


def spans_of(trace: Mapping[str, Any]) -> list[TraceSpan]:
    """Read one trace of Jaeger's query API."""
    processes: Mapping[str, Any] = trace["processes"]
    return [
        TraceSpan(
            span_id=span["spanID"],
            parent_id=next((ref["spanID"] for ref in span["references"] if ref["refType"] == "CHILD_OF"), ""),
            service=processes[span["processID"]]["serviceName"],
            name=span["operationName"],
            start_us=span["startTime"],
            duration_us=span["duration"],
            failed=any(tag["key"] == "error" and tag["value"] is True for tag in span["tags"]),
        )
        for span in trace["spans"]
    ]


def orphans(spans: Iterable[TraceSpan]) -> list[TraceSpan]:
    """The spans whose parent is missing from the trace."""
    spans = list(spans)
    known = {span.span_id for span in spans}
    return [span for span in spans if span.parent_id and span.parent_id not in known]


def in_order(spans: Iterable[TraceSpan]) -> list[tuple[int, TraceSpan]]:
    """Each span with its depth: parents before their children, siblings as they began; an orphan stands as a root."""
    spans = sorted(spans, key=lambda span: (span.start_us, -span.duration_us))
    known = {span.span_id for span in spans}
    children: dict[str, list[TraceSpan]] = {}
    for span in spans:
        children.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
    ordered: list[tuple[int, TraceSpan]] = []
    waiting = [(0, span) for span in reversed(children.get("", []))]
    while waiting:
        depth, span = waiting.pop()
        ordered.append((depth, span))
        waiting += [(depth + 1, child) for child in reversed(children.get(span.span_id, []))]
    return ordered


def as_json(spans: Iterable[TraceSpan]) -> list[dict[str, Any]]:
    """The spans in order, times in milliseconds from the first."""
    ordered = [span for _, span in in_order(spans)]
    began_us = min((span.start_us for span in ordered), default=0)
    return [
        {
            "service": span.service,
            "name": span.name,
            "start_ms": (span.start_us - began_us) / 1_000,
            "ms": span.duration_us / 1_000,
        }
        for span in ordered
    ]


def draw(spans: Iterable[TraceSpan]) -> str:
    """The trace as lines of text: service, span indented by depth, when and how long in ms, a bar."""
    ordered = in_order(spans)
    if not ordered:
        return "  (no spans)"
    began_us = min(span.start_us for _, span in ordered)
    whole_us = max(1, max(span.start_us + span.duration_us for _, span in ordered) - began_us)
    lines = [f"  {'service':<13}{'span':<{_SPAN_COLUMN}}{'from ms':>9}{'ms':>9}"]
    for depth, span in ordered:
        name = f"{'  ' * depth}{span.name}{' (failed)' if span.failed else ''}"
        from_us = span.start_us - began_us
        left = min(_BAR_CELLS - 1, from_us * _BAR_CELLS // whole_us)
        cells = max(1, min(_BAR_CELLS - left, round(span.duration_us * _BAR_CELLS / whole_us)))
        bar = f"{' ' * left}{'=' * cells}"
        times = f"{from_us / 1_000:>9.1f}{span.duration_us / 1_000:>9.1f}"
        lines.append(f"  {span.service:<13}{name[: _SPAN_COLUMN - 1]:<{_SPAN_COLUMN}}{times}  {bar}")
    return "\n".join(lines)
