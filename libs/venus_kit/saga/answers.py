"""Who waits for which saga, and what they are told."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from venus_kit.errors import Refusal
from venus_kit.saga.log import LogRow
from venus_kit.saga.run import SagaRun, Status


@dataclass(frozen=True, slots=True)
class Happened:
    """The pivot is known: the saga's answer is made of the frozen payload and the pivot's facts."""

    id: UUID
    payload: dict[str, Any]
    trace_id: str
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """The final answer of a saga to one caller."""

    outcome: Happened | Refusal
    replayed: bool


@dataclass(slots=True)
class Waiter:
    """One caller that waits."""

    future: asyncio.Future[Answer]
    fingerprint: bytes
    replayed: bool


def answer_in_row(row: LogRow) -> Happened | Refusal | None:
    """The final answer that a row holds; None while there is none."""
    if row.result is not None:
        return Happened(row.id, row.payload, row.trace_id, row.result)
    if row.status.ended and row.status is not Status.COMPLETED:
        return row.refusal
    return None


class Answers:
    """The waiting callers of this replica, by saga."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._waiters: dict[UUID, list[Waiter]] = {}

    def wait(self, saga_id: UUID, fingerprint: bytes, *, replayed: bool) -> Waiter:
        """A new caller waits."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        waiter = Waiter(future, fingerprint, replayed)
        self._waiters.setdefault(saga_id, []).append(waiter)
        future.add_done_callback(lambda _: self._forget(saga_id, waiter))
        return waiter

    def asked(self) -> Collection[UUID]:
        """The sagas that somebody waits for."""
        return self._waiters.keys()

    def happened(self, run: SagaRun) -> None:
        """The pivot of a run is known."""
        if run.id in self._waiters and run.result is not None:
            self._tell(run.id, Happened(run.id, run.payload, run.trace_id, run.result))

    def refused(self, saga_id: UUID, refusal: Refusal) -> None:
        """A refusal that is final: its end row is written, or nothing was begun."""
        self._tell(saga_id, refusal)

    def refuse_one(self, waiter: Waiter, refusal: Refusal) -> None:
        """This caller alone is refused."""
        _settle(waiter, refusal)

    def met(self, row: LogRow, mismatch: Refusal) -> None:
        """A row was there before these callers: other content gets `mismatch`, the same follows the row."""
        for waiter in list(self._waiters.get(row.id, ())):
            waiter.replayed = True
        self.follow(row, mismatch)

    def follow(self, row: LogRow, mismatch: Refusal) -> None:
        """Tell what the row says, if it has a final answer by now."""
        answer = answer_in_row(row)
        for waiter in list(self._waiters.get(row.id, ())):
            if waiter.fingerprint != row.fingerprint:
                _settle(waiter, mismatch)
            elif answer is not None:
                _settle(waiter, answer)

    def _tell(self, saga_id: UUID, outcome: Happened | Refusal) -> None:
        for waiter in list(self._waiters.get(saga_id, ())):
            _settle(waiter, outcome)

    def _forget(self, saga_id: UUID, waiter: Waiter) -> None:
        waiters = self._waiters.get(saga_id, [])
        if waiter in waiters:
            waiters.remove(waiter)
        if not waiters:
            self._waiters.pop(saga_id, None)


def _settle(waiter: Waiter, outcome: Happened | Refusal) -> None:
    if not waiter.future.done():
        waiter.future.set_result(Answer(outcome, waiter.replayed))
