"""Reservations: holds on stock by id, and what the id alone already answers."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from services.inventory.domain.book import Reason
from services.inventory.domain.refusals import (
    ReservationCommitted,
    ReservationNotYours,
    ReservationReleased,
)
from services.inventory.domain.stock import Line
from venus_kit.errors import IdempotencyMismatch, Refusal
from venus_kit.ids import fingerprint

DEFAULT_TTL: Final = timedelta(minutes=15)
_FINGERPRINT_VERSION: Final = 1

Key = tuple[int, UUID]
"""Store and id: the key of everything that a caller names by an id of its own."""


class State(StrEnum):
    """Where a reservation stands; HELD and EXPIRED are no ends."""

    HELD = "HELD"
    EXPIRED = "EXPIRED"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a service asks to be held: `lines` are summed, one per pool."""

    key: Key
    lines: tuple[Line, ...]
    ttl: timedelta
    holder: str
    actor: str
    trace_id: str

    @property
    def fingerprint(self) -> bytes:
        """What a repeat must agree with: the goods and the holder, not how long nor who is waiting."""
        goods = [
            f"{line.pool.bird_type} {line.pool.inventory_type} {line.weight_grams} g {line.bird_count} birds"
            for line in self.lines
        ]
        return fingerprint(_FINGERPRINT_VERSION, "reservation", self.holder, goods)


@dataclass(frozen=True, slots=True)
class Release:
    """What a service asks to be given back."""

    key: Key
    holder: str
    actor: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class Commit:
    """What a service asks to be taken out of the book, on a date of the store."""

    key: Key
    business_date: date
    holder: str
    actor: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation as it stands; a tombstone has neither fingerprint nor lines nor `hold_until`."""

    key: Key
    state: State
    fingerprint: bytes | None
    lines: tuple[Line, ...]
    hold_until: datetime | None
    ran_out: bool
    holder: str
    created_at: datetime

    def refuses(self, service: str) -> Refusal | None:
        """Why `service` may not end it: only its holder may.

        A tombstone never held anything, so it belongs to nobody: whoever gave it back, it stays given back.
        """
        if self.fingerprint is not None and self.holder != service:
            return ReservationNotYours()
        return None


@dataclass(frozen=True, slots=True)
class Held:
    """Stock is held, now or before."""

    reservation: Reservation
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Released:
    """Nothing is held and nothing will be."""

    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """The goods are out of the book; `corrections` is what pools lacked and was credited first."""

    corrections: tuple[Line, ...] = ()
    booked: tuple[Reason, ...] = ()
    """Why stock moved at this very call; empty for a repeat."""


def known_answer(wanted: Wanted, known: Reservation) -> Held | Refusal | None:
    """What the id alone answers to a reserve; None when the hold ran out and stock must be asked again."""
    if known.fingerprint is not None and known.fingerprint != wanted.fingerprint:
        return IdempotencyMismatch()
    if known.state is State.RELEASED:
        return ReservationReleased()
    if known.state is State.COMMITTED or (known.state is State.HELD and not known.ran_out):
        return Held(known, replayed=True)
    return None


def known_release(release: Release, known: Reservation) -> Released | Refusal | None:
    """What the row alone answers to a release; None when there is something to give back."""
    refusal = known.refuses(release.holder)
    if refusal is not None:
        return refusal
    if known.state is State.COMMITTED:
        return ReservationCommitted()
    return Released(replayed=True) if known.state is State.RELEASED else None


def known_commit(commit: Commit, known: Reservation) -> Committed | Refusal | None:
    """What the row alone answers to a commit, but for corrections; None when goods are still to go."""
    refusal = known.refuses(commit.holder)
    if refusal is not None:
        return refusal
    if known.state is State.RELEASED:
        return ReservationReleased()
    return Committed() if known.state is State.COMMITTED else None


def fresh(wanted: Wanted, content: bytes, hold_until: datetime, created_at: datetime) -> Reservation:
    """A reservation as its row was just written; `content` is its fingerprint."""
    return Reservation(
        key=wanted.key,
        state=State.HELD,
        fingerprint=content,
        lines=wanted.lines,
        hold_until=hold_until,
        ran_out=False,
        holder=wanted.holder,
        created_at=created_at,
    )


def renewed(known: Reservation, hold_until: datetime) -> Reservation:
    """A reservation that ran out and is held again."""
    return replace(known, state=State.HELD, hold_until=hold_until, ran_out=False)
