"""How long the caller of the RPC that is being served still waits."""

import time
from contextvars import ContextVar

_deadline_at_s: ContextVar[float | None] = ContextVar("venus_deadline", default=None)


def set_remaining(seconds: float | None) -> None:
    """Set by the server's interceptor: the caller waits `seconds` from now; None when nobody said."""
    _deadline_at_s.set(None if seconds is None else time.monotonic() + seconds)


def remaining_s() -> float | None:
    """Seconds that are left, never negative; None outside of an RPC."""
    at_s = _deadline_at_s.get()
    return None if at_s is None else max(0.0, at_s - time.monotonic())
