"""Corrections by a person: by a difference, or to what was counted."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from services.inventory.domain.book import Book, Occasion, Reason
from services.inventory.domain.refusals import CountDuringSale, CountStale, PoolNotOpen, ReasonNotAllowed
from services.inventory.domain.reservation import Key
from services.inventory.domain.stock import Level, Line, Pool
from venus_kit.errors import FieldViolation, IdempotencyMismatch, InvalidRequest, Refusal
from venus_kit.ids import fingerprint

_FINGERPRINT_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Delta:
    """A signed difference in grams and birds."""

    weight_grams: int
    bird_count: int


@dataclass(frozen=True, slots=True)
class Count:
    """What a person counted, and the pool's sequence at that moment when they know it."""

    weight_grams: int
    bird_count: int
    counted_at_sequence: int | None


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One correction of one pool."""

    key: Key
    pool: Pool
    by: Delta | Count
    reason: Reason
    note: str
    actor: str
    trace_id: str

    @property
    def fingerprint(self) -> bytes:
        """What a repeat must agree with: everything but the person."""
        kind = type(self.by).__name__
        return fingerprint(_FINGERPRINT_VERSION, "adjustment", self.pool, kind, self.by, self.reason, self.note)

    def check(self) -> None:
        """Raise InvalidRequest for what is wrong in any pool, whatever stands in it."""
        by = "delta" if isinstance(self.by, Delta) else "count"
        wrong: list[FieldViolation] = []
        if self.by.bird_count and not self.pool.counts_birds:
            wrong.append(
                FieldViolation(f"{by}.bird_count", "bird_count is 0 for every form but LIVE", "BIRD_COUNT_INVALID")
            )
        elif isinstance(self.by, Delta) and self.by.weight_grams == 0 and self.by.bird_count == 0:
            wrong.append(FieldViolation("delta", "a difference is not nothing", "DELTA_EMPTY"))
        if wrong:
            raise InvalidRequest(violations=wrong)


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The pool right after a correction; `change` is nothing when a count found what the book says."""

    level: Level
    change: Line
    reason: Reason
    reference: str
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class KnownAdjustment:
    """A correction that was made before: what a repeat must agree with, and its first answer."""

    fingerprint: bytes
    answer: Adjusted

    def answer_to(self, adjustment: Adjustment) -> Adjusted | Refusal:
        """The first answer, if this is a repeat of it."""
        return self.answer if self.fingerprint == adjustment.fingerprint else IdempotencyMismatch()


def adjust(book: Book, adjustment: Adjustment, business_date: date) -> Adjusted | Refusal:
    """Correct a pool, or say why not."""
    level = book.levels.get(adjustment.pool)
    if level is None:
        return PoolNotOpen(
            bird_type=adjustment.pool.bird_type.value, inventory_type=adjustment.pool.inventory_type.value
        )
    change = _change(adjustment, level)
    if isinstance(change, Refusal):
        return change
    if adjustment.reason is Reason.WASTAGE and (change.weight_grams > 0 or change.bird_count > 0):
        return ReasonNotAllowed(reason=adjustment.reason.value)
    taken = Line(adjustment.pool, max(0, -change.weight_grams), max(0, -change.bird_count))
    shortage = book.shortage([taken])
    if shortage is not None:
        return shortage
    reference = str(adjustment.key[1])
    if not change.is_nothing:
        book.move(
            change,
            Occasion(adjustment.reason, reference, business_date, adjustment.actor, adjustment.trace_id),
        )
    return Adjusted(book.levels[adjustment.pool], change, adjustment.reason, reference)


def _change(adjustment: Adjustment, level: Level) -> Line | Refusal:
    by = adjustment.by
    if isinstance(by, Delta):
        return Line(adjustment.pool, by.weight_grams, by.bird_count)
    if by.counted_at_sequence is not None and by.counted_at_sequence != level.sequence:
        return CountStale(counted_at_sequence=by.counted_at_sequence, current_sequence=level.sequence)
    if level.is_held:
        return CountDuringSale(held_grams=level.held_grams, held_birds=level.held_birds)
    return Line(adjustment.pool, by.weight_grams - level.on_hand_grams, by.bird_count - level.on_hand_birds)
