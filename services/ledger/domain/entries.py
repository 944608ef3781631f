"""Entries: one event each, booked once, on the first date that is still open."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from services.ledger.domain.accounts import Account, AccountName, LockedAccount, Move, Sale, moves_of
from venus_kit.errors import IdempotencyMismatch, Refusal
from venus_kit.ids import fingerprint

FINGERPRINT_VERSION: Final = 1

StoreDay = tuple[int, date]
"""A business date of a store."""


class EntryKind(StrEnum):
    """The event that an entry books."""

    SALE = "SALE"


@dataclass(frozen=True, slots=True)
class Event:
    """One event to book: the caller's id, where and when it happened, and who asked in which trace."""

    entry_id: UUID
    store_id: int
    original_date: date
    sale: Sale
    actor: str
    trace_id: str

    @property
    def kind(self) -> EntryKind:
        """What happened."""
        return EntryKind.SALE

    @property
    def reference(self) -> str:
        """What the entry belongs to."""
        return str(self.sale.sale_id)

    def fingerprint(self) -> bytes:
        """What a repeat must agree with: the facts, not who told them nor in which trace."""
        sale = self.sale
        facts = (sale.sale_id, sale.payment_method, sale.total_paise, sale.customer_id)
        return fingerprint(FINGERPRINT_VERSION, self.kind, self.store_id, self.original_date, *facts)


@dataclass(frozen=True, slots=True)
class Posting:
    """An amount (paise) as it was moved from one account to another."""

    debit_account: str
    credit_account: str
    amount_paise: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as booked: it counts on `business_date` and happened on `original_date`."""

    entry_id: UUID
    kind: EntryKind
    store_id: int
    business_date: date
    original_date: date
    reference: str
    trace_id: str
    created_at: datetime
    postings: tuple[Posting, ...]


@dataclass(frozen=True, slots=True)
class Booked:
    """An entry that is there, with what a repeat must agree with; `replayed` when it was there before."""

    fingerprint: bytes
    entry: Entry
    replayed: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """An event with the date that it would count on; the row that takes its id comes before anything else."""

    event: Event
    fingerprint: bytes
    business_date: date
    moves: tuple[Move, ...]

    @property
    def entry_id(self) -> UUID:
        """The id that it claims."""
        return self.event.entry_id

    def booked(self, created_at: datetime) -> Booked:
        """What the claim is once its row is there."""
        event = self.event
        entry = Entry(
            entry_id=event.entry_id,
            kind=event.kind,
            store_id=event.store_id,
            business_date=self.business_date,
            original_date=event.original_date,
            reference=event.reference,
            trace_id=event.trace_id,
            created_at=created_at,
            postings=tuple(Posting(m.debit.code, m.credit.code, m.amount_paise) for m in self.moves),
        )
        return Booked(self.fingerprint, entry, replayed=False)


@dataclass(frozen=True, slots=True)
class Placed:
    """A posting at its place in the history of both accounts: each account as it stands right after."""

    entry_id: UUID
    line: int
    amount_paise: int
    business_date: date
    debit: Account
    credit: Account


@dataclass(frozen=True, slots=True)
class Posted:
    """Postings that were placed, the accounts as they stand after all of them, and their one time."""

    postings: Sequence[Placed]
    accounts: Sequence[Account]
    posted_at: datetime


def earliest_dates(events: Iterable[Event]) -> dict[int, date]:
    """The first date of each store among the events: closed dates matter from there on."""
    found: dict[int, date] = {}
    for event in events:
        known = found.get(event.store_id, event.original_date)
        found[event.store_id] = min(known, event.original_date)
    return found


def next_open_date(store_id: int, original_date: date, closed: Collection[StoreDay]) -> date:
    """The date itself when the store's book is open on it, else the first open one after it."""
    open_date = original_date
    while (store_id, open_date) in closed:
        open_date += timedelta(days=1)
    return open_date


def claims_of(events: Iterable[Event], closed: Collection[StoreDay]) -> list[Claim]:
    """One claim per event, in the order of arrival."""
    return [
        Claim(
            event=event,
            fingerprint=event.fingerprint(),
            business_date=next_open_date(event.store_id, event.original_date, closed),
            moves=moves_of(event.store_id, event.sale),
        )
        for event in events
    ]


def first_by_id(claims: Iterable[Claim]) -> list[Claim]:
    """One claim per id: of several events with one id the first speaks for it."""
    first: dict[UUID, Claim] = {}
    for claim in claims:
        first.setdefault(claim.entry_id, claim)
    return list(first.values())


def accounts_of(claims: Iterable[Claim]) -> list[AccountName]:
    """The accounts that the claims touch, sorted: the order in which they are made and locked."""
    names = {name.code: name for claim in claims for move in claim.moves for name in (move.debit, move.credit)}
    return [names[code] for code in sorted(names)]


def place(claims: Iterable[Claim], locked: Mapping[str, LockedAccount]) -> Posted:
    """Post claims one after the other onto locked accounts, all at one time; there is at least one account."""
    posted_at = max(lock.earliest_at for lock in locked.values())
    standing = {code: lock.account for code, lock in locked.items()}
    postings: list[Placed] = []
    for claim in claims:
        for line, move in enumerate(claim.moves, start=1):
            debit = standing[move.debit.code].debited(move.amount_paise)
            credit = standing[move.credit.code].credited(move.amount_paise)
            standing[debit.code], standing[credit.code] = debit, credit
            postings.append(Placed(claim.entry_id, line, move.amount_paise, claim.business_date, debit, credit))
    return Posted(postings, list(standing.values()), posted_at)


def answers(claims: Iterable[Claim], booked: Mapping[UUID, Booked]) -> list[Booked | Refusal]:
    """What each claim is told: its entry, new or from before, or that its id stands for something else."""
    return [_answer(claim, booked[claim.entry_id]) for claim in claims]


def _answer(claim: Claim, booked: Booked) -> Booked | Refusal:
    if claim.fingerprint != booked.fingerprint:
        return IdempotencyMismatch(entry_id=str(claim.entry_id))
    return booked
