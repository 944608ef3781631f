from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sales.domain.business_date import business_date

ZONES = ["Asia/Kolkata", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"]
MOMENTS = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def test_seven_in_the_evening_utc_is_tomorrow_in_kolkata() -> None:
    evening = datetime(2026, 3, 9, 19, 0, tzinfo=UTC)

    assert business_date(evening, "Asia/Kolkata") == date(2026, 3, 10)
    assert business_date(evening - timedelta(minutes=31), "Asia/Kolkata") == date(2026, 3, 9)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        # winter: midnight in Berlin is 23:00 UTC
        (datetime(2026, 1, 15, 22, 59, 59, tzinfo=UTC), date(2026, 1, 15)),
        (datetime(2026, 1, 15, 23, 0, tzinfo=UTC), date(2026, 1, 16)),
        # the night in which clocks go forward, and the one after
        (datetime(2026, 3, 28, 22, 59, tzinfo=UTC), date(2026, 3, 28)),
        (datetime(2026, 3, 28, 23, 0, tzinfo=UTC), date(2026, 3, 29)),
        (datetime(2026, 3, 29, 21, 59, tzinfo=UTC), date(2026, 3, 29)),
        (datetime(2026, 3, 29, 22, 0, tzinfo=UTC), date(2026, 3, 30)),
        # the night in which they go back
        (datetime(2026, 10, 24, 22, 0, tzinfo=UTC), date(2026, 10, 25)),
        (datetime(2026, 10, 25, 22, 59, tzinfo=UTC), date(2026, 10, 25)),
        (datetime(2026, 10, 25, 23, 0, tzinfo=UTC), date(2026, 10, 26)),
    ],
)
def test_a_day_in_berlin_ends_at_midnight_there_whatever_the_season(at: datetime, expected: date) -> None:
    assert business_date(at, "Europe/Berlin") == expected


@given(MOMENTS, st.sampled_from(ZONES), st.sampled_from(ZONES))
def test_only_the_moment_counts_and_not_the_zone_it_is_told_in(at: datetime, told_in: str, zone: str) -> None:
    assert business_date(at.astimezone(ZoneInfo(told_in)), zone) == business_date(at, zone)


@given(MOMENTS, st.sampled_from(ZONES))
def test_a_business_date_is_at_most_a_day_from_the_date_in_utc(at: datetime, zone: str) -> None:
    """The query that looks for closed days around a moment rests on it."""
    assert abs(business_date(at, zone) - at.date()) <= timedelta(days=1)


@pytest.mark.parametrize("zone", ["Asia/Nowhere", "", "../etc/passwd"])
def test_an_unknown_zone_has_no_dates(zone: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the library words it
        business_date(datetime(2026, 1, 1, tzinfo=UTC), zone)


def test_a_moment_without_a_zone_has_no_date() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        business_date(datetime(2026, 1, 1), "UTC")  # noqa: DTZ001 - that is the point
