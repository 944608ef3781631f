"""One saga on its way, in the memory of the worker that owns it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from venus_kit.errors import Refusal, Weather
from venus_kit.saga.definition import Saga
from venus_kit.saga.outcome import Done, Outcome, Refused, Unknown
from venus_kit.telemetry import ItemSpan, start_item_span

LONGEST_HISTORY: Final = 60
"""A long outage must not make the row grow: of more tries than this the ones in the middle are dropped."""
KEPT_FROM_BEGIN: Final = 10


class Status(StrEnum):
    """Where a saga stands in the log."""

    PENDING = "PENDING"
    COMPENSATING = "COMPENSATING"
    COMPLETED = "COMPLETED"
    COMPENSATED = "COMPENSATED"
    FAILED = "FAILED"
    NEEDS_REVIEW = "NEEDS_REVIEW"

    @property
    def ended(self) -> bool:
        """Whether nothing will ever change it again."""
        return self in (Status.COMPLETED, Status.COMPENSATED, Status.FAILED)


@dataclass(slots=True)
class SagaRun:
    """What the owner of a saga knows: its row, and what it has learnt since it claimed it."""

    id: UUID
    saga: Saga
    payload: dict[str, Any]
    """The frozen input: the request, the actor, and from begin on the quote. JSON."""
    store_id: int
    trace_id: str
    traceparent: str
    """The span that asked for this saga; its steps become children of it."""
    actor: str
    """The person who asked, by the subject of the token."""
    fingerprint: bytes
    ttl_at_s: float
    """`time.monotonic()` at which the time before the pivot is over."""
    business_date: str = ""
    status: Status = Status.PENDING
    epoch: int = 0
    """The claim this worker holds; 0 before begin."""
    retry_count: int = 0
    refusal: Refusal | None = None
    result: dict[str, Any] | None = None
    """The pivot's facts, once known. JSON."""
    facts: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    review_notes: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    """What a person should look at although the saga went well; written with its end."""
    error: str = ""
    parent: str = ""
    """The span whose children the steps are, when this worker has one of its own."""

    @property
    def ttl_over(self) -> bool:
        """Whether the time before the pivot is over."""
        return time.monotonic() >= self.ttl_at_s

    def attempt(self, name: str) -> "Attempt":
        """A step begins."""
        return Attempt(name, self, start_item_span(name, self.parent or self.traceparent), time.time())


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one step for one saga: what a verb gets to see."""

    name: str
    run: SagaRun
    span: ItemSpan
    started_at_s: float

    @property
    def id(self) -> UUID:
        """The saga's id."""
        return self.run.id

    @property
    def payload(self) -> Any:
        """The frozen input; each saga knows its shape."""
        return self.run.payload

    @property
    def traceparent(self) -> str:
        """The parent for the participant's span."""
        return self.span.traceparent

    def facts(self, step: str) -> Mapping[str, Any]:
        """What an earlier step of this worker learnt."""
        return self.run.facts[step]

    def flag(self, kind: str, **details: object) -> None:
        """Ask that a person looks at this saga, although it goes on; `details` are JSON."""
        self.run.review_notes.append({"kind": kind, **details})

    def learn(self, outcome: Outcome) -> None:
        """The step came to this."""
        self.span.end(_trouble(outcome))
        if isinstance(outcome, Done):
            self.run.facts[self.name] = outcome.facts
        elif isinstance(outcome, Unknown):
            self.run.error = f"{self.name}: {outcome.error}"
        history = self.run.history
        history.append(
            {
                "name": self.name,
                "attempt": self.run.retry_count + 1,
                "started": round(self.started_at_s, 3),
                "ended": round(time.time(), 3),
                "outcome": str(outcome),
            }
        )
        if len(history) > LONGEST_HISTORY:
            del history[KEPT_FROM_BEGIN]


def _trouble(outcome: Outcome) -> Exception | None:
    """What the step's span tells of it."""
    if isinstance(outcome, Refused):
        return outcome.refusal
    return Weather(outcome.error) if isinstance(outcome, Unknown) else None
