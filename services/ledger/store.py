"""The ledger's cellar: one typed method per named query, rows in and values out."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from uuid import UUID

from asyncpg import Record

from services.ledger.domain.accounts import Account, AccountName, LockedAccount
from services.ledger.domain.entries import Booked, Claim, Entry, EntryKind, Posted, Posting, StoreDay
from services.ledger.domain.stores import StoreFacts
from venus_kit.postgres import Connection
from venus_kit.sql import Queries


class Tx:
    """One transaction of the ledger."""

    def __init__(self, sql: Queries, connection: Connection) -> None:
        """Speak `sql` over a connection whose transaction somebody else began and will end."""
        self._sql = sql
        self._connection = connection

    async def list_closed_days(self, from_dates: Mapping[int, date]) -> frozenset[StoreDay]:
        """The closed dates of some stores, each from its own date on."""
        rows = await self._connection.fetch(
            self._sql["list_closed_days"], list(from_dates.keys()), list(from_dates.values())
        )
        return frozenset((row["store_id"], row["business_date"]) for row in rows)

    async def insert_entries(self, claims: Sequence[Claim]) -> dict[UUID, datetime]:
        """Take the ids; those that are new come back with the time of their row."""
        rows = await self._connection.fetch(
            self._sql["insert_entries"],
            [claim.entry_id for claim in claims],
            [claim.fingerprint for claim in claims],
            [claim.event.kind.value for claim in claims],
            [claim.event.store_id for claim in claims],
            [claim.business_date for claim in claims],
            [claim.event.original_date for claim in claims],
            [claim.event.reference for claim in claims],
            [claim.event.actor for claim in claims],
            [claim.event.trace_id for claim in claims],
        )
        return {row["entry_id"]: row["created_at"] for row in rows}

    async def lock_accounts(self, names: Sequence[AccountName]) -> dict[str, LockedAccount]:
        """Lock accounts until the transaction ends, making those that are new; `names` are sorted by code."""
        codes = [name.code for name in names]
        await self._connection.execute(
            self._sql["open_accounts"], codes, [name.store_id for name in names], [name.kind.value for name in names]
        )
        rows = await self._connection.fetch(self._sql["lock_accounts"], codes)
        return {row["account"]: LockedAccount(_account(row), row["earliest_at"]) for row in rows}

    async def insert_postings(self, posted: Posted) -> None:
        """Write postings, never to be changed."""
        placed = posted.postings
        await self._connection.execute(
            self._sql["insert_postings"],
            [posting.entry_id for posting in placed],
            [posting.line for posting in placed],
            [posting.debit.code for posting in placed],
            [posting.credit.code for posting in placed],
            [posting.amount_paise for posting in placed],
            [posting.business_date for posting in placed],
            [posting.debit.sequence for posting in placed],
            [posting.debit.balance_paise for posting in placed],
            [posting.credit.sequence for posting in placed],
            [posting.credit.balance_paise for posting in placed],
            posted.posted_at,
        )

    async def save_accounts(self, posted: Posted) -> None:
        """Write how the locked accounts stand after postings."""
        await self._connection.execute(
            self._sql["save_accounts"],
            [account.code for account in posted.accounts],
            [account.debit_paise for account in posted.accounts],
            [account.credit_paise for account in posted.accounts],
            [account.sequence for account in posted.accounts],
            posted.posted_at,
        )

    async def read_entries(self, entry_ids: Iterable[UUID], store_id: int | None = None) -> dict[UUID, Booked]:
        """Entries with their postings by id, of one store when it is named; those that are not there are missing."""
        rows = await self._connection.fetch(self._sql["read_entries"], list(entry_ids), store_id)
        return {row["entry_id"]: Booked(row["fingerprint"], _entry(row), replayed=True) for row in rows}

    async def get_account(self, code: str, *, all_stores: bool, store_ids: Collection[int]) -> Account | None:
        """One account; None when it is not there or outside of the scope, which are the same to the caller."""
        row = await self._connection.fetchrow(self._sql["get_account"], code, all_stores, list(store_ids))
        return _account(row) if row else None

    async def list_accounts(self, store_id: int) -> list[Account]:
        """The accounts of a store by code."""
        return [_account(row) for row in await self._connection.fetch(self._sql["list_accounts"], store_id)]

    async def apply_store_facts(self, facts: StoreFacts) -> int:
        """Take over a store's facts unless they are old; returns the version now in force."""
        await self._connection.execute(
            self._sql["apply_store_facts"], facts.store_id, facts.status.value, facts.time_zone, facts.version
        )
        version: int = await self._connection.fetchval(self._sql["get_store_version"], facts.store_id)
        return version


def _account(row: Record) -> Account:
    return Account(
        code=row["account"],
        store_id=row["store_id"],
        debit_paise=row["debit_paise"],
        credit_paise=row["credit_paise"],
        sequence=row["sequence"],
    )


def _entry(row: Record) -> Entry:
    postings = zip(row["debit_accounts"], row["credit_accounts"], row["amounts_paise"], strict=True)
    return Entry(
        entry_id=row["entry_id"],
        kind=EntryKind(row["kind"]),
        store_id=row["store_id"],
        business_date=row["business_date"],
        original_date=row["original_date"],
        reference=row["reference"],
        trace_id=row["trace_id"],
        created_at=row["created_at"],
        postings=tuple(Posting(*posting) for posting in postings),
    )
