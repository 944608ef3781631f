"""Takes sagas, many at a time, from their begin to their end.

Three lanes: *forward* (quote, begin, steps, pivot), *finish* (what follows the pivot), *back* (close, undo). A run that
meets an unknown is parked in the log and given up; the rescuer claims it again when it is due. So recovery after a
crash, after an outage and after a lost reply are one and the same path.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from prometheus_client import Counter, Gauge, Histogram

from venus_kit import telemetry
from venus_kit.errors import IdempotencyMismatch, Kind, Refusal, TooBusy, Weather
from venus_kit.failpoint import failpoint
from venus_kit.lane import Lane
from venus_kit.saga.answers import Answers, Waiter
from venus_kit.saga.definition import Condition, Finish, Pivot, Saga, Step, Verb
from venus_kit.saga.log import Log, LogRow, Parking
from venus_kit.saga.outcome import Done, Outcome, Refused, Unknown
from venus_kit.saga.refusals import ParticipantUnavailable, TimedOut
from venus_kit.saga.run import Attempt, SagaRun, Status
from venus_kit.telemetry import is_sampled

_log = logging.getLogger(__name__)

ENDED: Final = Counter("venus_sagas_ended_total", "Sagas that came to an end or to review", ["type", "status"])
PARKED: Final = Counter("venus_sagas_parked_total", "Sagas put aside after an unknown", ["type", "step"])
FENCED: Final = Counter("venus_sagas_fenced_total", "Log writes refused because another owner has the saga")
LIVE: Final = Gauge("venus_sagas_live", "Sagas in the hands of this replica")
STEP_SECONDS: Final = Histogram("venus_saga_step_seconds", "Time of one step for one cohort", ["type", "step"])
COHORT: Final = Histogram(
    "venus_saga_cohort_size", "Sagas that took a step together", ["type"], buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)

STORED: Final = frozenset({Kind.FAILED_PRECONDITION, Kind.ABORTED})
"""The kinds of a refused quote that are the id's answer for ever; permission, validation and scope may change."""
UNBOUNDED: Final = 1_000_000
"""What was begun must be finished: the bound stands before the begin, in `Limits.waiting`."""
CLOSE: Final = "close"
UNDO: Final = "undo "
RECORDED: Final = "recorded"
"""The fact in a close's Done that says the pivot happened; it holds the pivot's facts."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much, how long, how often."""

    cohort_size: int = 256
    cohorts: int = 2
    waiting: int = 2_000
    ttl_s: float = 120.0
    attempts: int = 8
    backoff_s: float = 0.2
    longest_backoff_s: float = 2.0


class Runner:
    """Runs sagas for one replica."""

    def __init__(self, log: Log, call: Any, sagas: Iterable[Saga], limits: Limits | None = None) -> None:
        """Write to `log`, make RPCs through `call`, know the `sagas` by type and version."""
        self.limits = limits or Limits()
        self.answers = Answers()
        self._log = log
        self._call = call
        self._sagas = {(saga.type, saga.version): saga for saga in sagas}
        self._live: dict[UUID, SagaRun] = {}
        size, slots = self.limits.cohort_size, self.limits.cohorts
        self._forward = Lane(self._stage(self._go_forward), name="forward", max_batch=size, slots=slots)
        self._finish = Lane(
            self._stage(self._go_finish), name="finish", max_batch=size, slots=slots, max_waiting=UNBOUNDED
        )
        self._back = Lane(self._stage(self._go_back), name="back", max_batch=size, slots=slots, max_waiting=UNBOUNDED)

    # ------------------------------------------------------------- callers

    def submit(self, run: SagaRun) -> Waiter:
        """Take a new saga, or follow the one that has its id. Errors: TooBusy, before anything is begun."""
        known = self._live.get(run.id)
        waiter = self.answers.wait(run.id, run.fingerprint, replayed=known is not None)
        if known is None:
            if self._forward.waiting >= self.limits.waiting:
                waiter.future.cancel()
                raise TooBusy(retry_after_s=1.0, waiting=self._forward.waiting)
            self._take_up(run, self._forward)
        elif known.fingerprint != run.fingerprint:
            self.answers.refuse_one(waiter, IdempotencyMismatch(id=str(run.id)))
        elif known.result is not None:
            self.answers.happened(known)
        return waiter

    @property
    def live(self) -> set[UUID]:
        """The sagas in the hands of this replica."""
        return set(self._live)

    def resume(self, row: LogRow) -> None:
        """Run on from a row that was just claimed."""
        saga = self._sagas.get((row.type, row.version))
        if saga is None:
            telemetry.report(LookupError(f"no saga {row.type} version {row.version}"), saga_id=str(row.id))
            return
        run = SagaRun(
            id=row.id,
            saga=saga,
            payload=row.payload,
            store_id=row.store_id,
            trace_id=row.trace_id,
            traceparent=row.traceparent,
            actor=row.actor,
            fingerprint=row.fingerprint,
            ttl_at_s=time.monotonic() + self.limits.ttl_s - row.age_s,
            business_date=row.business_date,
            status=row.status,
            epoch=row.epoch,
            retry_count=row.retry_count,
            refusal=row.refusal,
            result=row.result,
            history=row.history,
        )
        if run.result is not None:
            self._take_up(run, self._finish)
        elif run.status is Status.COMPENSATING:
            self._take_up(run, self._back)
        else:
            self._take_up(run, self._forward)

    @property
    def busy(self) -> bool:
        """Whether any lane works."""
        return self._forward.busy or self._finish.busy or self._back.busy

    async def close(self) -> None:
        """Wait until what runs has ended or is parked."""
        while self.busy:
            await asyncio.gather(self._forward.close(), self._finish.close(), self._back.close())

    async def follow(self) -> None:
        """Answer the callers who wait for sagas that this replica does not run: another one does, or did."""
        elsewhere = [saga_id for saga_id in self.answers.asked() if saga_id not in self._live]
        if elsewhere:
            rows = await self._log.find(elsewhere)
            for row in rows.values():
                self.answers.follow(row, IdempotencyMismatch(id=str(row.id)))

    # ------------------------------------------------------------- lanes

    def _take_up(self, run: SagaRun, lane: Lane[SagaRun, None]) -> None:
        self._live[run.id] = run
        LIVE.set(len(self._live))
        lane.enter(run)

    def _drop(self, run: SagaRun) -> None:
        """Give a run up: no further call, no answer from memory; callers get what the row says."""
        if self._live.get(run.id) is run:
            del self._live[run.id]
        LIVE.set(len(self._live))

    def _stage(
        self, work: Callable[[list[SagaRun]], Awaitable[list[SagaRun]]]
    ) -> Callable[[Sequence[SagaRun]], Awaitable[list[None]]]:
        """One lane's work, for runs of one saga at a time; what fails unexpectedly is dropped and claimed again."""

        async def stage(runs: Sequence[SagaRun]) -> list[None]:
            await asyncio.gather(*(guarded(group) for group in _by_saga(runs)))
            return [None] * len(runs)

        async def guarded(runs: list[SagaRun]) -> None:
            COHORT.labels(runs[0].saga.type).observe(len(runs))
            moved: list[SagaRun] = []
            try:
                moved = await work(runs)
            except Weather as bad:
                telemetry.weather(bad)
            except Exception as bug:  # the runner's net: the log decides what becomes of these runs, not this block
                telemetry.report(bug, cohort=str(len(runs)))
            finally:
                on = {id(run) for run in moved}
                for run in runs:
                    if id(run) not in on:
                        self._drop(run)

        return stage

    # ------------------------------------------------------------- forward

    async def _go_forward(self, runs: list[SagaRun]) -> list[SagaRun]:
        """Quote and begin what is new, take the steps, pass the pivot; answers the runs that went to another lane."""
        saga = runs[0].saga
        going = [run for run in runs if run.epoch]
        fresh = [run for run in runs if not run.epoch]
        if fresh:
            going += await self._open(saga, fresh)
        turning: list[SagaRun] = []
        for part in (*saga.before, saga.pivot):
            going = self._within_ttl(going, turning)
            going = await self._step(part, going, turning)
        for run in going:
            self._pivot_known(run, run.facts[saga.pivot.name])
        marked = await self._turn_back(turning)
        return going + marked

    async def _open(self, saga: Saga, runs: list[SagaRun]) -> list[SagaRun]:
        """Freeze the quote into the payload and begin; a refused quote is a begin that ended."""
        outcomes = await self._ask("quote", saga.quote, runs, remember=False)
        known: list[SagaRun] = []
        nothing_begun: list[tuple[SagaRun, Refusal]] = []
        for run, outcome in zip(runs, outcomes, strict=True):
            if isinstance(outcome, Unknown):
                nothing_begun.append((run, ParticipantUnavailable(retry_after_s=1.0, step="quote")))
            elif isinstance(outcome, Refused) and outcome.refusal.refused_as not in STORED:
                nothing_begun.append((run, outcome.refusal))
            elif isinstance(outcome, Refused):
                run.status, run.refusal = Status.FAILED, outcome.refusal
                known.append(run)
            else:
                run.payload["quote"] = dict(outcome.facts)
                run.business_date = str(outcome.facts["business_date"])
                known.append(run)
        await self._answer_without_begin(nothing_begun)
        begun = await self._begin(known)
        for run in begun:
            if run.status is Status.FAILED and run.refusal:
                _tell_end(run)
                self.answers.refused(run.id, run.refusal)
        return [run for run in begun if run.status is Status.PENDING]

    async def _begin(self, runs: list[SagaRun]) -> list[SagaRun]:
        """Insert the rows; who meets a row throws its own outcome away and follows that row."""
        if not runs:
            return []
        try:
            present = await self._log.begin(runs)
        except Weather:
            for run in runs:  # it may have begun: the row will tell; this is no final answer
                self.answers.refused(run.id, ParticipantUnavailable(service="transaction_log"))
            raise
        for row in present.values():
            self.answers.met(row, IdempotencyMismatch(id=str(row.id)))
        begun = [run for run in runs if run.id not in present]
        for run in begun:
            run.epoch = 1
        return begun

    async def _answer_without_begin(self, asked: Sequence[tuple[SagaRun, Refusal]]) -> None:
        """Nothing is begun and nothing stored; an id that is known gets its row's answer all the same."""
        if not asked:
            return
        rows = await self._log.find([run.id for run, _ in asked])
        for run, refusal in asked:
            row = rows.get(run.id)
            if row is not None:
                self.answers.met(row, IdempotencyMismatch(id=str(row.id)))
            else:
                self.answers.refused(run.id, refusal)

    @staticmethod
    def _within_ttl(runs: list[SagaRun], turning: list[SagaRun]) -> list[SagaRun]:
        late = [run for run in runs if run.ttl_over]
        for run in late:
            run.refusal = run.refusal or TimedOut()
        turning += late
        gone = {run.id for run in late}
        return [run for run in runs if run.id not in gone] if late else runs

    async def _step(self, part: Step | Pivot, runs: list[SagaRun], turning: list[SagaRun]) -> list[SagaRun]:
        """Take one step with all runs; answers those that go on."""
        concerned = [run for run in runs if _concerns(part, run)]
        outcomes = await self._ask(part.name, part.do, concerned)
        refused: list[SagaRun] = []
        unknown: list[tuple[SagaRun, Unknown]] = []
        for run, outcome in zip(concerned, outcomes, strict=True):
            if isinstance(outcome, Refused):
                run.refusal = outcome.refusal
                refused.append(run)
            elif isinstance(outcome, Unknown):
                unknown.append((run, outcome))
        turning += refused
        await self._park(part.name, unknown)
        gone = {run.id for run in refused} | {run.id for run, _ in unknown}
        return [run for run in runs if run.id not in gone] if gone else runs

    def _pivot_known(self, run: SagaRun, facts: Mapping[str, Any]) -> None:
        """From here on it will be finished, however long that takes: the caller may know."""
        run.result = dict(facts)
        self.answers.happened(run)
        self._finish.enter(run)

    # ------------------------------------------------------------- back

    async def _turn_back(self, runs: list[SagaRun]) -> list[SagaRun]:
        """Write COMPENSATING and why, before anything is closed; then go back."""
        if not runs:
            return []
        hits = await self._log.mark_compensating(runs)
        ours = self._still_ours(runs, hits)
        for run in ours:
            run.status = Status.COMPENSATING
            self._back.enter(run)
        return ours

    async def _go_back(self, runs: list[SagaRun]) -> list[SagaRun]:
        """Close the pivot, then undo every step in reverse, then end; or go forward, when it proves recorded."""
        saga = runs[0].saga
        outcomes = await self._ask(CLOSE, saga.pivot.close, runs)
        recorded: list[SagaRun] = []
        closed: list[SagaRun] = []
        unknown: list[tuple[SagaRun, Unknown]] = []
        review: list[SagaRun] = []
        for run, outcome in zip(runs, outcomes, strict=True):
            if isinstance(outcome, Unknown):
                unknown.append((run, outcome))
            elif isinstance(outcome, Refused):
                review.append(_must_not_refuse(run, CLOSE, outcome))
            elif RECORDED in outcome.facts:
                self._pivot_known(run, outcome.facts[RECORDED])
                recorded.append(run)
            else:
                closed.append(run)
        await self._park(CLOSE, unknown)
        for part in reversed(saga.before):
            closed = await self._undo(part, closed, review)
        for run in closed:
            run.status = Status.COMPENSATED
        await self._end([*closed, *review])
        return recorded

    async def _undo(self, part: Step, runs: list[SagaRun], review: list[SagaRun]) -> list[SagaRun]:
        """Undo one step, whether this worker called it or not; answers the runs whose undo is known."""
        name = UNDO + part.name
        concerned = [run for run in runs if _concerns(part, run)]
        outcomes = await self._ask(name, part.undo, concerned)
        unknown: list[tuple[SagaRun, Unknown]] = []
        gone: set[UUID] = set()
        for run, outcome in zip(concerned, outcomes, strict=True):
            if isinstance(outcome, Done):
                continue
            gone.add(run.id)
            if isinstance(outcome, Unknown):
                unknown.append((run, outcome))
            else:
                review.append(_must_not_refuse(run, name, outcome))
        await self._park(name, unknown)
        return [run for run in runs if run.id not in gone]

    # ------------------------------------------------------------- finish

    async def _go_finish(self, runs: list[SagaRun]) -> list[SagaRun]:
        """Do what follows the pivot, side by side, and end."""
        parts = runs[0].saga.finishes
        asked = [[run for run in runs if _concerns(part, run)] for part in parts]
        answers = await asyncio.gather(
            *(self._ask(part.name, part.do, concerned) for part, concerned in zip(parts, asked, strict=True))
        )
        unknown: dict[UUID, tuple[SagaRun, Unknown, str]] = {}
        refused: dict[UUID, SagaRun] = {}
        for part, concerned, outcomes in zip(parts, asked, answers, strict=True):
            for run, outcome in zip(concerned, outcomes, strict=True):
                if isinstance(outcome, Unknown):
                    unknown[run.id] = (run, outcome, part.name)
                elif isinstance(outcome, Refused):
                    refused[run.id] = _must_not_refuse(run, part.name, outcome)
        done = [run for run in runs if run.id not in unknown and run.id not in refused]
        for run in done:
            run.status, run.refusal = Status.COMPLETED, None
        await self._end([*done, *refused.values()])
        left = [(run, outcome, name) for run, outcome, name in unknown.values() if run.id not in refused]
        for name in {name for _, _, name in left}:
            await self._park(name, [(run, outcome) for run, outcome, at in left if at == name])
        return []

    # ------------------------------------------------------------- calls and writes

    async def _ask(self, name: str, verb: Verb, runs: list[SagaRun], *, remember: bool = True) -> list[Outcome]:
        """One batch call for all runs; a verb that raises is a bug, and its outcome is unknown."""
        if not runs:
            return []
        attempts = [run.attempt(name) for run in runs]
        started = time.perf_counter()
        outcomes: list[Outcome]
        place = f"{runs[0].saga.type}.{name}"
        try:
            await failpoint(f"{place}.before_send")
            outcomes = await verb(self._call, attempts)
            await failpoint(f"{place}.reply_got")
            if len(outcomes) != len(runs):
                raise RuntimeError(f"{name}: {len(outcomes)} outcomes for {len(runs)} sagas")
        except Exception as bug:  # part of the runner's net
            telemetry.report(bug, step=name)
            outcomes = [Unknown(f"{type(bug).__name__}: {bug}")] * len(runs)
        STEP_SECONDS.labels(runs[0].saga.type, name).observe(time.perf_counter() - started)
        for attempt, outcome in zip(attempts, outcomes, strict=True):
            _learn(attempt, outcome, remember=remember)
        return outcomes

    async def _park(self, name: str, unknown: Sequence[tuple[SagaRun, Unknown]]) -> None:
        """Put runs aside until their next try, or before a person when their tries are used up."""
        if not unknown:
            return
        parkings: list[Parking] = []
        used_up: list[SagaRun] = []
        for run, outcome in unknown:
            run.retry_count += 0 if outcome.down else 1
            if run.retry_count >= self.limits.attempts:
                run.status = Status.NEEDS_REVIEW
                used_up.append(run)
            else:
                parkings.append(Parking(run, self._delay_s(run)))
            PARKED.labels(run.saga.type, name).inc()
        if parkings:
            hits = await self._log.park(parkings)
            for run in self._still_ours([parking.run for parking in parkings], hits):
                self._drop(run)
        await self._end(used_up)

    def _delay_s(self, run: SagaRun) -> float:
        tries = min(len(run.history), 10)
        delay_s = min(self.limits.longest_backoff_s, self.limits.backoff_s * 2**tries)
        return delay_s * (0.5 + random.random() / 2)  # noqa: S311 - jitter, not a secret

    async def _end(self, runs: Sequence[SagaRun]) -> None:
        """Write the ends; only then is a refusal told, else a crash could sell what was refused."""
        if not runs:
            return
        hits = await self._log.end(runs)
        for run in self._still_ours(runs, hits):
            _tell_end(run)
            if run.status is Status.NEEDS_REVIEW:
                telemetry.report(NeedsReview(run.error), saga_id=str(run.id), saga_type=run.saga.type)
            elif run.status is Status.COMPENSATED and run.refusal is not None:
                self.answers.refused(run.id, run.refusal)
            self._drop(run)

    def _still_ours(self, runs: Iterable[SagaRun], hits: Any) -> list[SagaRun]:
        """Those whose write hit their row; the others have another owner and are dropped."""
        ours: list[SagaRun] = []
        for run in runs:
            if run.id in hits:
                ours.append(run)
            else:
                FENCED.inc()
                self._drop(run)
        return ours


class NeedsReview(Exception):
    """A saga waits for a person."""


def _by_saga(runs: Sequence[SagaRun]) -> Iterator[list[SagaRun]]:
    def key(run: SagaRun) -> tuple[str, int]:
        return run.saga.type, run.saga.version

    for _, group in groupby(sorted(runs, key=key), key=key):
        yield list(group)


def _concerns(part: Step | Pivot | Finish, run: SagaRun) -> bool:
    when: Condition | None = None if isinstance(part, Pivot) else part.when
    return when is None or when(run.payload)


def _must_not_refuse(run: SagaRun, name: str, outcome: Refused) -> SagaRun:
    run.status = Status.NEEDS_REVIEW
    run.error = f"{name} refused {outcome.refusal.reason}, which it never may"
    return run


def _tell_end(run: SagaRun) -> None:
    """Count an end, and write a line where somebody will look for it: a smooth sale only when its trace is kept."""
    ENDED.labels(run.saga.type, run.status).inc()
    if run.status is Status.COMPLETED and not run.retry_count and not is_sampled(run.traceparent):
        return
    told = {"saga_id": str(run.id), "trace_id": run.trace_id, "saga_type": run.saga.type, "status": run.status.value}
    if run.refusal is not None:
        told["refusal"] = run.refusal.reason
    _log.info("saga ended", extra=told)


def _learn(attempt: Attempt, outcome: Outcome, *, remember: bool) -> None:
    attempt.learn(outcome)
    if not remember:
        attempt.run.facts.pop(attempt.name, None)
