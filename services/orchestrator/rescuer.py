"""Keeps this replica's lease, and takes up every saga that nobody runs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from services.orchestrator.store import TransactionLog
from venus_kit import telemetry
from venus_kit.errors import Weather
from venus_kit.saga.runner import Runner

CLAIM_AT_ONCE: Final = 256
MOST_LIVE: Final = 4_096
"""With so many in hand nothing more is claimed; another replica may."""
ORPHANS_EVERY_S: Final = 1.0
FOLLOW_EVERY_S: Final = 0.05
FORGET_EVERY_S: Final = 600.0


class Rescuer:
    """The daemon beside the runner; `run` ends only by cancellation or a bug."""

    def __init__(self, log: TransactionLog, runner: Runner, *, lease_s: float, every_s: float) -> None:
        """Look for due sagas every `every_s`, live by a lease of `lease_s`."""
        self._log = log
        self._runner = runner
        self._lease_s = lease_s
        self._every_s = every_s

    async def run(self) -> None:
        """Look at once, then again and again."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(_again(self._renew, self._lease_s / 4), name="lease")
            loops.create_task(_again(self._claim_due, self._every_s), name="rescuer")
            loops.create_task(_again(self._claim_orphans, ORPHANS_EVERY_S), name="orphans")
            loops.create_task(_again(self._runner.follow, FOLLOW_EVERY_S), name="follow")
            loops.create_task(_again(self._log.forget_replicas, FORGET_EVERY_S), name="forget")

    async def _renew(self) -> None:
        await self._log.renew_lease(self._lease_s)

    async def _claim_due(self) -> None:
        while len(self._runner.live) < MOST_LIVE:
            rows = await self._log.claim_due(CLAIM_AT_ONCE)
            for row in rows:
                self._runner.resume(row)
            if len(rows) < CLAIM_AT_ONCE:
                break

    async def _claim_orphans(self) -> None:
        while len(self._runner.live) < MOST_LIVE:
            rows = await self._log.claim_orphans(self._runner.live, CLAIM_AT_ONCE)
            for row in rows:
                self._runner.resume(row)
            if len(rows) < CLAIM_AT_ONCE:
                break


async def _again(work: Callable[[], Awaitable[None]], every_s: float) -> None:
    while True:
        try:
            await work()
        except Weather as bad:  # the log is away: nothing is lost, look again
            telemetry.weather(bad)
        await asyncio.sleep(every_s)
