"""The date on a shop's own calendar."""

from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def business_date(at: datetime, time_zone: str) -> date:
    """The date in `time_zone` (an IANA name) at the moment `at`, which must be aware.

    ValueError for an unknown zone or a naive moment: either would put a sale on a wrong day.
    """
    if at.tzinfo is None:
        raise ValueError("a moment without a zone has no business date")
    try:
        return at.astimezone(ZoneInfo(time_zone)).date()
    except ZoneInfoNotFoundError as error:
        raise ValueError(f"no time zone is called {time_zone!r}") from error
