"""What the runner needs of the transaction log. Every write is under the writer's epoch and hits open rows only."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from venus_kit.errors import Refusal
from venus_kit.saga.run import SagaRun, Status


@dataclass(frozen=True, slots=True)
class LogRow:
    """One row of the log, as far as an answer or a new owner needs it."""

    id: UUID
    type: str
    version: int
    payload: dict[str, Any]
    status: Status
    store_id: int
    business_date: str
    trace_id: str
    traceparent: str
    actor: str
    fingerprint: bytes
    epoch: int
    retry_count: int
    refusal: Refusal | None
    result: dict[str, Any] | None
    history: list[dict[str, Any]]
    age_s: float
    """Seconds since it began, by the database's clock."""


@dataclass(frozen=True, slots=True)
class Parking:
    """A run that is put aside until `delay_s` from now."""

    run: SagaRun
    delay_s: float


class Log(Protocol):
    """The transaction log. Errors of every call: Weather."""

    async def begin(self, runs: Sequence[SagaRun]) -> Mapping[UUID, LogRow]:
        """Insert the runs (PENDING, or FAILED and why) at epoch 1; answers the rows that were there before."""
        ...

    async def find(self, ids: Collection[UUID]) -> Mapping[UUID, LogRow]:
        """The rows with these ids."""
        ...

    async def mark_compensating(self, runs: Sequence[SagaRun]) -> Collection[UUID]:
        """Write COMPENSATING and the refusal; answers the ids that were still ours."""
        ...

    async def park(self, parkings: Sequence[Parking]) -> Collection[UUID]:
        """Write status, result, history, retry count and the next attempt, and give the row up."""
        ...

    async def end(self, runs: Sequence[SagaRun]) -> Collection[UUID]:
        """Write the end that each run's status says, or NEEDS_REVIEW; answers the ids that were still ours."""
        ...
