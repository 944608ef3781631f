from datetime import UTC, date, datetime

import pytest

from services.inventory.domain.store_facts import StoreFacts, StoreStatus
from venus_kit.errors import InvalidRequest


def store(time_zone: str) -> StoreFacts:
    return StoreFacts(1, StoreStatus.ACTIVE, time_zone, 1)


@pytest.mark.parametrize(
    ("time_zone", "at", "day"),
    [
        ("Asia/Kolkata", datetime(2026, 1, 5, 18, 29, 59, tzinfo=UTC), date(2026, 1, 5)),
        ("Asia/Kolkata", datetime(2026, 1, 5, 18, 30, tzinfo=UTC), date(2026, 1, 6)),
        ("Asia/Kolkata", datetime(2026, 1, 5, 19, 0, tzinfo=UTC), date(2026, 1, 6)),
        ("America/New_York", datetime(2026, 1, 5, 4, 59, tzinfo=UTC), date(2026, 1, 4)),
    ],
)
def test_the_business_date_is_that_of_the_stores_zone(time_zone: str, at: datetime, day: date) -> None:
    assert store(time_zone).business_date(at) == day


@pytest.mark.parametrize("time_zone", ["Mars/Olympus", "../etc/passwd", "Asia", "a\0b"])
def test_an_unknown_time_zone_is_refused(time_zone: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        store(time_zone).check()

    assert caught.value.violations[0].field == "store.time_zone"
