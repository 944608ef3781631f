"""A shop in memory: participants that obey the rules of sagas, and a log that keeps epochs. For tests of the runner."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from venus_kit.errors import Refusal
from venus_kit.ids import new_id
from venus_kit.saga.definition import Saga, finish, pivot, step
from venus_kit.saga.log import LogRow, Parking
from venus_kit.saga.outcome import Done, Outcome, Refused, Unknown
from venus_kit.saga.run import Attempt, SagaRun, Status
from venus_kit.saga.runner import RECORDED, Limits, Runner

Trouble = Callable[[Callable[[], Outcome]], Outcome]
"""What happens to a call instead: it gets the real effect, and may let it happen."""


class SoldOut(Refusal):
    """Nothing is left."""


class Closed(Refusal):
    """It was closed."""


class NotForSale(Refusal):
    """It is not for sale."""


@dataclass
class World:
    """Stock, sales and money, keyed by saga id; every call is written down."""

    stock: int = 100
    held: dict[UUID, str] = field(default_factory=dict)
    sales: dict[UUID, str] = field(default_factory=dict)
    posted: dict[UUID, int] = field(default_factory=dict)
    calls: list[tuple[str, UUID]] = field(default_factory=list)
    trouble: dict[str, list[Trouble]] = field(default_factory=dict)
    """Per verb, for the next calls."""

    def serve(self, verb: str, effect: Callable[[UUID], Outcome]) -> Any:
        async def batch(_: object, attempts: Sequence[Attempt]) -> list[Outcome]:
            await asyncio.sleep(0)
            return [self._one(verb, attempt.id, effect) for attempt in attempts]

        return batch

    def _one(self, verb: str, saga_id: UUID, effect: Callable[[UUID], Outcome]) -> Outcome:
        self.calls.append((verb, saga_id))
        troubles = self.trouble.get(verb)
        if troubles:
            return troubles.pop(0)(lambda: effect(saga_id))
        return effect(saga_id)

    def quote(self, saga_id: UUID) -> Outcome:
        return Done({"business_date": "2026-01-17"})

    def reserve(self, saga_id: UUID) -> Outcome:
        if self.held.get(saga_id) == "RELEASED":
            return Refused(Closed())
        if saga_id not in self.held:
            if not self.stock:
                return Refused(SoldOut())
            self.stock -= 1
            self.held[saga_id] = "HELD"
        return Done({"hold_until": "later"})

    def release(self, saga_id: UUID) -> Outcome:
        if self.held.get(saga_id) == "HELD":
            self.stock += 1
        self.held[saga_id] = "RELEASED"
        return Done()

    def record(self, saga_id: UUID) -> Outcome:
        if self.sales.get(saga_id) == "CLOSED":
            return Refused(Closed())
        self.sales[saga_id] = "RECORDED"
        return Done({"receipt": f"R-{saga_id}"})

    def close(self, saga_id: UUID) -> Outcome:
        if self.sales.get(saga_id) == "RECORDED":
            return Done({RECORDED: {"receipt": f"R-{saga_id}"}})
        self.sales[saga_id] = "CLOSED"
        return Done()

    def post(self, saga_id: UUID) -> Outcome:
        self.posted[saga_id] = 1
        return Done()

    def commit(self, saga_id: UUID) -> Outcome:
        if self.held.get(saga_id) == "RELEASED":
            return Refused(Closed())
        self.held[saga_id] = "COMMITTED"
        return Done()

    def saga(self) -> Saga:
        return Saga(
            type="SALE",
            version=1,
            quote=self.serve("quote", self.quote),
            steps=(
                step("reserve", self.serve("reserve", self.reserve), undo=self.serve("release", self.release)),
                pivot("record", self.serve("record", self.record), close=self.serve("close", self.close)),
                finish("post", self.serve("post", self.post)),
                finish("commit", self.serve("commit", self.commit)),
            ),
        )

    def verbs(self, saga_id: UUID) -> list[str]:
        return [verb for verb, called in self.calls if called == saga_id]


def lost_before(_: Callable[[], Outcome]) -> Outcome:
    """The request never arrived."""
    return Unknown("lost", down=True)


def lost_after(effect: Callable[[], Outcome]) -> Outcome:
    """It happened; the reply was lost."""
    effect()
    return Unknown("reply lost", down=True)


def broken(_: Callable[[], Outcome]) -> Outcome:
    """The participant has a bug: it answers, and the answer is an error."""
    return Unknown("code 13: bug")


@dataclass
class Row:
    """One row of the log in memory."""

    run: SagaRun
    status: Status
    epoch: int
    refusal: Refusal | None
    result: dict[str, Any] | None
    retry_count: int
    due_at_s: float | None
    owner: str | None
    age_s: float = 0.0


class MemoryLog:
    """The log as PostgreSQL keeps it: every write under its epoch, on open rows only."""

    def __init__(self) -> None:
        self.rows: dict[UUID, Row] = {}
        self.history: list[tuple[UUID, Status]] = []

    async def begin(self, runs: Sequence[SagaRun]) -> Mapping[UUID, LogRow]:
        met: dict[UUID, LogRow] = {}
        for run in runs:
            if run.id in self.rows:
                met[run.id] = self._row(run.id)
                continue
            self.rows[run.id] = Row(run, run.status, 1, run.refusal, None, 0, None, "me")
            self.history.append((run.id, run.status))
        return met

    async def find(self, ids: Collection[UUID]) -> Mapping[UUID, LogRow]:
        return {saga_id: self._row(saga_id) for saga_id in ids if saga_id in self.rows}

    async def mark_compensating(self, runs: Sequence[SagaRun]) -> Collection[UUID]:
        return self._write(runs, Status.COMPENSATING)

    async def park(self, parkings: Sequence[Parking]) -> Collection[UUID]:
        hits = self._write([parking.run for parking in parkings], None)
        for parking in parkings:
            if parking.run.id in hits:
                row = self.rows[parking.run.id]
                row.due_at_s, row.owner = time.monotonic() + parking.delay_s, None
        return hits

    async def end(self, runs: Sequence[SagaRun]) -> Collection[UUID]:
        hits: set[UUID] = set()
        for run in runs:
            hits |= self._write([run], run.status)
        return hits

    def claim(self, saga_id: UUID) -> LogRow:
        """Another owner takes the row."""
        row = self.rows[saga_id]
        row.epoch, row.owner, row.due_at_s = row.epoch + 1, "me", None
        return self._row(saga_id)

    def due(self) -> list[UUID]:
        now = time.monotonic()
        return [
            saga_id
            for saga_id, row in self.rows.items()
            if not row.status.ended and row.status is not Status.NEEDS_REVIEW and row.due_at_s and row.due_at_s <= now
        ]

    def _write(self, runs: Sequence[SagaRun], status: Status | None) -> set[UUID]:
        hits: set[UUID] = set()
        for run in runs:
            row = self.rows[run.id]
            if row.epoch != run.epoch or row.status.ended:
                continue
            row.status = status or row.status
            row.refusal, row.result, row.retry_count = run.refusal, run.result, run.retry_count
            self.history.append((run.id, row.status))
            hits.add(run.id)
        return hits

    def _row(self, saga_id: UUID) -> LogRow:
        row = self.rows[saga_id]
        run = row.run
        return LogRow(
            id=run.id,
            type=run.saga.type,
            version=run.saga.version,
            payload=run.payload,
            status=row.status,
            store_id=run.store_id,
            business_date=run.business_date,
            trace_id=run.trace_id,
            traceparent=run.traceparent,
            actor=run.actor,
            fingerprint=run.fingerprint,
            epoch=row.epoch,
            retry_count=row.retry_count,
            refusal=row.refusal,
            result=row.result,
            history=[],
            age_s=row.age_s,
        )


@dataclass
class Shop:
    """A world, its log and a runner."""

    world: World
    log: MemoryLog
    runner: Runner
    saga: Saga

    @classmethod
    def open(cls, world: World | None = None, **limits: Any) -> "Shop":
        world = world or World()
        log = MemoryLog()
        saga = world.saga()
        defaults = Limits(backoff_s=0.001, longest_backoff_s=0.01)
        return cls(world, log, Runner(log, None, [saga], replace(defaults, **limits)), saga)

    def run(self, saga_id: UUID | None = None, content: bytes = b"same") -> SagaRun:
        trace_id = new_id().hex
        return SagaRun(
            id=saga_id or new_id(),
            saga=self.saga,
            payload={},
            store_id=1,
            trace_id=trace_id,
            traceparent=f"00-{trace_id}-00000000000000aa-00",
            actor="cashier",
            fingerprint=content,
            ttl_at_s=time.monotonic() + self.runner.limits.ttl_s,
        )

    async def parked(self) -> None:
        """Let the runner work until something waits for its next try."""
        while True:
            if self.log.due():
                return
            await asyncio.sleep(0.002)

    async def settle(self, patience_s: float = 3.0) -> None:
        """Let the rescuer do its work until everything ended or waits for a person."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            for saga_id in self.log.due():
                if saga_id not in self.runner.live:
                    self.runner.resume(self.log.claim(saga_id))
            open_rows = [row for row in self.log.rows.values() if not row.status.ended]
            if not self.runner.busy and all(row.status is Status.NEEDS_REVIEW for row in open_rows):
                return
            await self.runner.follow()
            await asyncio.sleep(0.002)
        raise AssertionError(f"still open: {[(r.run.id, r.status, r.run.error) for r in self.log.rows.values()]}")
