"""Clocks."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from venus_kit.clock import Clock, FakeClock, SystemClock


def test_the_system_clock_is_aware_and_in_utc() -> None:
    clock: Clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()


def test_a_fake_clock_stands_still_until_it_is_moved() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    clock = FakeClock(datetime(2026, 1, 5, 23, 59, 30, tzinfo=india))
    before = clock.now(), clock.monotonic()
    clock.advance(60)
    assert clock.now() - before[0] == timedelta(minutes=1)
    assert clock.monotonic() - before[1] == 60
    assert clock.now() == datetime(2026, 1, 5, 18, 30, 30, tzinfo=UTC)


def test_time_does_not_go_back_and_is_never_naive() -> None:
    with pytest.raises(ValueError, match="go back"):
        FakeClock().advance(-1)
    with pytest.raises(ValueError, match="aware"):
        FakeClock(datetime(2026, 1, 5))  # noqa: DTZ001
