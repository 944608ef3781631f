"""What the ledger does, one verb and one transaction each."""

from collections.abc import Collection, Sequence
from uuid import UUID

from services.ledger.domain.accounts import Account
from services.ledger.domain.entries import (
    Booked,
    Claim,
    Entry,
    Event,
    accounts_of,
    answers,
    claims_of,
    earliest_dates,
    first_by_id,
    place,
)
from services.ledger.domain.refusals import AccountNotFound, EntryNotFound
from services.ledger.store import Tx
from venus_kit.errors import Refusal


async def post_entries(tx: Tx, events: Sequence[Event]) -> list[Booked | Refusal]:
    """Book each event once; one that was booked before gets its first answer again.

    Nothing is refused for the state of the book, because what an event tells has happened: a closed date sends it to
    the next open one. Errors: IdempotencyMismatch.
    """
    closed = await tx.list_closed_days(earliest_dates(events))
    claims = claims_of(events, closed)
    first = first_by_id(claims)
    taken = await tx.insert_entries(first)  # the id is the barrier: what follows happens once per id
    new = [claim for claim in first if claim.entry_id in taken]
    await _post(tx, new)
    booked = {claim.entry_id: claim.booked(taken[claim.entry_id]) for claim in new}
    if len(new) < len(first):
        booked |= await tx.read_entries([claim.entry_id for claim in first if claim.entry_id not in taken])
    return answers(claims, booked)


async def _post(tx: Tx, claims: Sequence[Claim]) -> None:
    """Move the money of new entries, if they move any."""
    names = accounts_of(claims)
    if names:
        posted = place(claims, await tx.lock_accounts(names))
        await tx.insert_postings(posted)
        await tx.save_accounts(posted)


async def get_account(tx: Tx, code: str, all_stores: bool, store_ids: Collection[int]) -> Account:
    """One account within the caller's scope; those of the whole chain are for callers who see all stores.

    Errors: AccountNotFound, also for an account outside of the scope.
    """
    account = await tx.get_account(code, all_stores=all_stores, store_ids=store_ids)
    if account is None:
        raise AccountNotFound(account=code)
    return account


async def get_entry(tx: Tx, store_id: int, entry_id: UUID) -> Entry:
    """One entry of a store with its postings. Errors: EntryNotFound, also for one of another store."""
    found = await tx.read_entries([entry_id], store_id)
    if entry_id not in found:
        raise EntryNotFound(entry_id=str(entry_id))
    return found[entry_id].entry
