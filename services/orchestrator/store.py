"""The orchestrator's cellar: the transaction log, the leases and the review items, one typed method per query."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast
from uuid import UUID

import orjson
from asyncpg import Record

from venus_kit.errors import Refusal
from venus_kit.postgres import Connection, Database
from venus_kit.saga.log import LogRow, Parking
from venus_kit.saga.run import SagaRun, Status
from venus_kit.sql import Queries


@dataclass(frozen=True, slots=True)
class TransactionRow:
    """One row of the log, whole, for people."""

    log: LogRow
    actor: str
    owner: UUID | None
    next_attempt_at: datetime | None
    error_message: str
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Scope:
    """The stores that a caller sees."""

    all_stores: bool
    store_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; None means any."""

    status: Status | None = None
    store_id: int | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    trace_id: str | None = None


class Tx:
    """One transaction of the orchestrator."""

    def __init__(self, sql: Queries, connection: Connection) -> None:
        """Speak `sql` over a connection whose transaction somebody else began and will end."""
        self._sql = sql
        self._connection = connection

    async def insert_transactions(self, runs: Sequence[SagaRun], owner: UUID) -> set[UUID]:
        """Begin sagas; returns the ids that are new."""
        rows = await self._connection.fetch(
            self._sql["insert_transactions"],
            [run.id for run in runs],
            [run.saga.type for run in runs],
            [run.saga.version for run in runs],
            [_json(run.payload) for run in runs],
            [run.status.value for run in runs],
            [run.trace_id for run in runs],
            [run.traceparent for run in runs],
            [run.store_id for run in runs],
            [date.fromisoformat(run.business_date) if run.business_date else None for run in runs],
            [run.fingerprint for run in runs],
            [_refusal_json(run) for run in runs],
            [_json(run.history) for run in runs],
            [run.actor for run in runs],
            owner,
        )
        return {row["id"] for row in rows}

    async def find_transactions(self, ids: Collection[UUID]) -> dict[UUID, LogRow]:
        """The rows with these ids."""
        rows = await self._connection.fetch(self._sql["find_transactions"], list(ids))
        return {row["id"]: _log_row(row) for row in rows}

    async def lock_owned(self, runs: Sequence[SagaRun]) -> set[UUID]:
        """Lock the open rows that are still held by these runs' epochs; returns their ids."""
        rows = await self._connection.fetch(
            self._sql["lock_owned"], [run.id for run in runs], [run.epoch for run in runs]
        )
        return {row["id"] for row in rows}

    async def mark_compensating(self, runs: Sequence[SagaRun]) -> None:
        """Write COMPENSATING and why; under lock_owned."""
        await self._connection.execute(
            self._sql["mark_compensating"], [run.id for run in runs], [_refusal_json(run) for run in runs]
        )

    async def park_transactions(self, parkings: Sequence[Parking]) -> None:
        """Put sagas aside; under lock_owned."""
        runs = [parking.run for parking in parkings]
        await self._connection.execute(
            self._sql["park_transactions"],
            [run.id for run in runs],
            [_json_or_none(run.result) for run in runs],
            [_json(run.history) for run in runs],
            [run.retry_count for run in runs],
            [run.error for run in runs],
            [parking.delay_s for parking in parkings],
        )

    async def end_transactions(self, runs: Sequence[SagaRun]) -> None:
        """End sagas or put them before a person; under lock_owned."""
        await self._connection.execute(
            self._sql["end_transactions"],
            [run.id for run in runs],
            [run.status.value for run in runs],
            [_json_or_none(run.result) for run in runs],
            [_refusal_json(run) for run in runs],
            [_json(run.history) for run in runs],
            [run.retry_count for run in runs],
            [run.error for run in runs],
        )

    async def flag_review_items(self, runs: Sequence[SagaRun]) -> None:
        """Write what a person should look at, once per kind and saga."""
        notes = [(run, note) for run in runs for note in run.review_notes]
        if not notes:
            return
        await self._connection.execute(
            self._sql["flag_review_items"],
            [note["kind"] for _, note in notes],
            [str(run.id) for run, _ in notes],
            [_json(note) for _, note in notes],
            [run.store_id for run, _ in notes],
            [run.trace_id for run, _ in notes],
        )

    async def claim_due(self, replica: UUID, limit: int) -> list[LogRow]:
        """Take what was put aside and is due, at a new epoch."""
        return [_log_row(row) for row in await self._connection.fetch(self._sql["claim_due"], replica, limit)]

    async def claim_orphans(self, replica: UUID, live: Collection[UUID], limit: int) -> list[LogRow]:
        """Take what nobody runs although somebody owns it, at a new epoch."""
        rows = await self._connection.fetch(self._sql["claim_orphans"], replica, list(live), limit)
        return [_log_row(row) for row in rows]

    async def renew_lease(self, replica: UUID, lease_s: float) -> None:
        """This replica lives, for `lease_s` more seconds."""
        await self._connection.execute(self._sql["renew_lease"], replica, lease_s)

    async def drop_lease(self, replica: UUID) -> None:
        """This replica ends."""
        await self._connection.execute(self._sql["drop_lease"], replica)

    async def forget_replicas(self) -> None:
        """Delete the leases of replicas that are long gone."""
        await self._connection.execute(self._sql["forget_replicas"])

    async def get_transaction(self, saga_id: UUID, scope: Scope) -> TransactionRow | None:
        """One row within a scope; None when it is not there or not the caller's."""
        row = await self._connection.fetchrow(
            self._sql["get_transaction"], saga_id, scope.all_stores, list(scope.store_ids)
        )
        return _transaction_row(row) if row else None

    async def list_transactions(
        self, scope: Scope, filters: Filters, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[TransactionRow]:
        """A page of rows, newest first."""
        rows = await self._connection.fetch(
            self._sql["list_transactions"],
            scope.all_stores,
            list(scope.store_ids),
            filters.status,
            filters.store_id,
            filters.created_from,
            filters.created_before,
            filters.trace_id,
            *(after or (None, None)),
            limit,
        )
        return [_transaction_row(row) for row in rows]


class TransactionLog:
    """The log as the saga runner uses it, for one replica; every call is one transaction."""

    def __init__(self, database: Database[Tx], replica: UUID) -> None:
        """Write as `replica`."""
        self._database = database
        self._replica = replica

    async def begin(self, runs: Sequence[SagaRun]) -> Mapping[UUID, LogRow]:
        """Insert what is new; answers the rows that were there before."""
        return await self._database.run(self._begin, runs)

    async def _begin(self, tx: Tx, runs: Sequence[SagaRun]) -> Mapping[UUID, LogRow]:
        begun = await tx.insert_transactions(runs, self._replica)
        met = [run.id for run in runs if run.id not in begun]
        return await tx.find_transactions(met) if met else {}

    async def find(self, ids: Collection[UUID]) -> Mapping[UUID, LogRow]:
        """The rows with these ids."""
        return await self._database.run(Tx.find_transactions, ids)

    async def mark_compensating(self, runs: Sequence[SagaRun]) -> Collection[UUID]:
        """Write COMPENSATING and why, on the rows that are still ours."""
        return await self._database.run(_mark_compensating, runs)

    async def park(self, parkings: Sequence[Parking]) -> Collection[UUID]:
        """Put aside the rows that are still ours."""
        return await self._database.run(_park, parkings)

    async def end(self, runs: Sequence[SagaRun]) -> Collection[UUID]:
        """End the rows that are still ours, and flag what a person should look at."""
        return await self._database.run(_end, runs)

    async def claim_due(self, limit: int) -> Sequence[LogRow]:
        """Take what was put aside and is due."""
        return await self._database.run(Tx.claim_due, self._replica, limit)

    async def claim_orphans(self, live: Collection[UUID], limit: int) -> Sequence[LogRow]:
        """Take what dead replicas own, and what this one owns but does not run."""
        return await self._database.run(Tx.claim_orphans, self._replica, live, limit)

    async def renew_lease(self, lease_s: float) -> None:
        """This replica lives."""
        await self._database.run(Tx.renew_lease, self._replica, lease_s)

    async def drop_lease(self) -> None:
        """This replica ends."""
        await self._database.run(Tx.drop_lease, self._replica)

    async def forget_replicas(self) -> None:
        """Tidy up after replicas that are long gone."""
        await self._database.run(Tx.forget_replicas)


async def _mark_compensating(tx: Tx, runs: Sequence[SagaRun]) -> Collection[UUID]:
    ours = await tx.lock_owned(runs)
    await tx.mark_compensating([run for run in runs if run.id in ours])
    return ours


async def _park(tx: Tx, parkings: Sequence[Parking]) -> Collection[UUID]:
    ours = await tx.lock_owned([parking.run for parking in parkings])
    await tx.park_transactions([parking for parking in parkings if parking.run.id in ours])
    return ours


async def _end(tx: Tx, runs: Sequence[SagaRun]) -> Collection[UUID]:
    ours = await tx.lock_owned(runs)
    owned = [run for run in runs if run.id in ours]
    await tx.end_transactions(owned)
    await tx.flag_review_items(owned)
    return ours


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _json_or_none(value: object) -> str | None:
    return None if value is None else _json(value)


def _refusal_json(run: SagaRun) -> str | None:
    return _json(run.refusal.to_json()) if run.refusal else None


def _loaded(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def _log_row(row: Record) -> LogRow:
    refusal = cast("dict[str, object] | None", _loaded(row["refusal"]))
    business_date: date | None = row["business_date"]
    return LogRow(
        id=row["id"],
        type=row["transaction_type"],
        version=row["version"],
        payload=_loaded(row["payload"]),
        status=Status(row["status"]),
        store_id=row["store_id"],
        business_date=business_date.isoformat() if business_date else "",
        trace_id=row["trace_id"],
        traceparent=row["traceparent"],
        actor=row["actor"],
        fingerprint=row["fingerprint"],
        epoch=row["epoch"],
        retry_count=row["retry_count"],
        refusal=Refusal.from_json(refusal) if refusal else None,
        result=_loaded(row["result"]),
        history=_loaded(row["steps"]),
        age_s=row["age_s"],
    )


def _transaction_row(row: Record) -> TransactionRow:
    return TransactionRow(
        log=_log_row(row),
        actor=row["actor"],
        owner=row["owner"],
        next_attempt_at=row["next_attempt_at"],
        error_message=row["error_message"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        finished_at=row["finished_at"],
    )
