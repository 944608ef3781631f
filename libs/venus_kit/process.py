"""How every service is a process: read the environment, tell what it says, serve until told to stop."""

import asyncio
import gc
import logging
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import uvloop

from venus_kit import telemetry
from venus_kit.failpoint import arm_from_environment
from venus_kit.settings import ProcessSettings

Told = TypeVar("Told", bound=ProcessSettings)

_log = logging.getLogger(__name__)


def run(
    name: str,
    settings_type: type[Told],
    running: Callable[[Told], AbstractAsyncContextManager[Any]],
    *,
    decides_sampling: bool = False,
) -> None:
    """Be the service `name` until SIGTERM or SIGINT, then finish what is in flight; for `__main__`."""
    uvloop.run(_serve(name, settings_type.from_environment(), running, decides_sampling=decides_sampling))


async def _serve(
    name: str,
    settings: Told,
    running: Callable[[Told], AbstractAsyncContextManager[Any]],
    *,
    decides_sampling: bool,
) -> None:
    told = telemetry.setup(name, settings, decides_sampling=decides_sampling)
    _log.info("%s starts", name, extra={"settings": settings.masked()})
    arm_from_environment()
    try:
        async with running(settings):
            _log.info("%s is up", name)
            _collect_rarely()
            await _until_told_to_stop()
            _log.info("%s ends", name)
    finally:
        told.shutdown()


def _collect_rarely() -> None:
    """Leave what lives as long as the process out of every collection: looking through it stops all calls."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def _until_told_to_stop() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
