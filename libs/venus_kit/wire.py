"""Dates, times and trace ids as they come over the wire, for the doors of services."""

from datetime import UTC, date, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from venus_kit.errors import FieldViolation, InvalidRequest
from venus_kit.telemetry import current_trace_id


def date_of(field: str, text: str) -> date:
    """The date that `field` says as YYYY-MM-DD. Errors: InvalidRequest; a pattern lets 2026-02-30 through."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise _invalid(field, "is no date of the calendar", "DATE_INVALID") from error


def time_of(field: str, timestamp: Timestamp) -> datetime:
    """The aware time that `field` says. Errors: InvalidRequest."""
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise _invalid(field, "is no time of the calendar", "TIME_INVALID") from error


def timestamp_of(at: datetime | None) -> Timestamp | None:
    """An aware time for the wire; None stays None."""
    if at is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(at)
    return timestamp


def trace_id_of(traceparent: str) -> str:
    """The trace of one item of a batch, which is seldom that of the call; the call's when the item names none."""
    return traceparent.split("-")[1] if traceparent else current_trace_id()


def _invalid(field: str, description: str, reason: str) -> InvalidRequest:
    return InvalidRequest(violations=[FieldViolation(field, description, reason)])
