"""Named places where tests make a process crash, fail, stall or lose its reply.

A place that is not armed costs one dictionary look-up. `VENUS_FAILPOINTS` arms processes from outside:
`name=crash;other=sleep:0.5;third=drop*2` (`*2`: only the first two times).
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Final

from venus_kit.errors import Weather

Action = str | Callable[[], Awaitable[None]]

_CRASHED: Final = 137
_log = logging.getLogger(__name__)
_armed: dict[str, Callable[[], Awaitable[None]]] = {}


class FailpointReached(RuntimeError):
    """An armed failpoint failed as it was told to."""


class ReplyDropped(Weather):
    """The work is done and its reply was lost on the way."""


async def failpoint(name: str) -> None:
    """Do what was armed under `name`; else nothing."""
    action = _armed.get(name)
    if action is not None:
        await action()


def arm(name: str, action: Action, *, times: int | None = None) -> None:
    """Arm a place: `crash`, `error`, `drop`, `sleep:SECONDS` or an async function; `times` bounds how often."""
    act = _action_of(name, action) if isinstance(action, str) else action
    left = times

    async def counted() -> None:
        nonlocal left
        if left is not None:
            if left == 0:
                return
            left -= 1
        await act()

    _armed[name] = counted


def disarm(name: str | None = None) -> None:
    """Disarm one place, or all."""
    if name is None:
        _armed.clear()
    else:
        _armed.pop(name, None)


@contextmanager
def armed(name: str, action: Action, *, times: int | None = None) -> Generator[None]:
    """Arm a place for the length of a block."""
    arm(name, action, times=times)
    try:
        yield
    finally:
        disarm(name)


def arm_from_environment() -> None:
    """Arm what VENUS_FAILPOINTS says, loudly; raises ValueError when it cannot be read."""
    for entry in os.environ.get("VENUS_FAILPOINTS", "").split(";"):
        if not entry.strip():
            continue
        name, equals, action = entry.strip().partition("=")
        if not equals:
            raise ValueError(f"VENUS_FAILPOINTS: {entry!r} has no action")
        action, star, times = action.partition("*")
        arm(name, action, times=int(times) if star else None)
        _log.warning("failpoint armed", extra={"failpoint": name, "action": action})


def _action_of(name: str, text: str) -> Callable[[], Awaitable[None]]:
    verb, _, argument = text.partition(":")

    async def crash() -> None:
        os._exit(_CRASHED)  # as SIGKILL does: no finally, no flush

    async def error() -> None:
        raise FailpointReached(name)

    async def drop() -> None:
        raise ReplyDropped(name)

    async def sleep() -> None:
        await asyncio.sleep(seconds)

    seconds = float(argument) if verb == "sleep" else 0.0
    actions = {"crash": crash, "error": error, "drop": drop, "sleep": sleep}
    if verb not in actions:
        raise ValueError(f"failpoint {name}: unknown action {text!r}")
    return actions[verb]
