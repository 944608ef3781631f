"""Time as a thing that is handed in, so that tests can turn it forward."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_START_OF_FAKE_TIME: Final = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class Clock(Protocol):
    """Tells the time of day and measures spans of time."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from some fixed point; never goes back."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds from some fixed point; never goes back."""
        return time.monotonic()


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime = _START_OF_FAKE_TIME) -> None:
        """Start at an aware time."""
        if start.tzinfo is None:
            raise ValueError("a clock's times are aware")
        self._now = start.astimezone(UTC)
        self._elapsed_s = 0.0

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that `advance` has passed so far."""
        return self._elapsed_s

    def advance(self, seconds: float) -> None:
        """Let time pass; it never goes back."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._now += timedelta(seconds=seconds)
        self._elapsed_s += seconds
