"""The opening balance: what a store has on the day it starts, once per pool."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from services.inventory.domain.book import Book, Occasion, Reason
from services.inventory.domain.refusals import PoolAlreadyOpen
from services.inventory.domain.reservation import Key
from services.inventory.domain.stock import Level, Line, Pool
from venus_kit.errors import FieldViolation, IdempotencyMismatch, InvalidRequest, Refusal
from venus_kit.ids import fingerprint

_FINGERPRINT_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Opening:
    """Balances to start with, in the order of the request."""

    key: Key
    lines: tuple[Line, ...]
    actor: str
    trace_id: str

    @property
    def fingerprint(self) -> bytes:
        """What a repeat must agree with: the balances, in any order."""
        balances = sorted(
            (line.pool.bird_type, line.pool.inventory_type, line.weight_grams, line.bird_count) for line in self.lines
        )
        return fingerprint(_FINGERPRINT_VERSION, "opening", balances)

    def check(self) -> None:
        """Raise InvalidRequest when a pool stands in it twice."""
        pools = [line.pool for line in self.lines]
        wrong = [
            FieldViolation(f"balances[{place}]", "a pool is opened once", "POOL_TWICE")
            for place, pool in enumerate(pools)
            if pool in pools[:place]
        ]
        if wrong:
            raise InvalidRequest(violations=wrong)


@dataclass(frozen=True, slots=True)
class Opened:
    """The pools right after they were opened, sorted."""

    levels: tuple[Level, ...]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class KnownOpening:
    """An opening that was booked before; what it booked is its first answer."""

    fingerprint: bytes
    lines: tuple[Line, ...]
    created_at: datetime

    def answer_to(self, opening: Opening) -> Opened | Refusal:
        """The first answer, if this is a repeat of it."""
        if self.fingerprint != opening.fingerprint:
            return IdempotencyMismatch()
        book = Book((), self.created_at)
        return Opened(_fill(book, opening, self.created_at.date()), replayed=True)


def open_pools(
    book: Book, opening: Opening, already_open: Container[Pool], business_date: date
) -> Opened | PoolAlreadyOpen:
    """Open all pools of an opening, or say which one is open."""
    for line in opening.lines:
        if line.pool in already_open or line.pool in book.levels:
            return PoolAlreadyOpen(bird_type=line.pool.bird_type.value, inventory_type=line.pool.inventory_type.value)
    return Opened(_fill(book, opening, business_date))


def _fill(book: Book, opening: Opening, business_date: date) -> tuple[Level, ...]:
    occasion = Occasion(Reason.OPENING_BALANCE, str(opening.key[1]), business_date, opening.actor, opening.trace_id)
    for line in opening.lines:
        book.open(line.pool)
        if not line.is_nothing:
            book.move(line, occasion)
    return tuple(book.levels[pool] for pool in sorted(line.pool for line in opening.lines))
