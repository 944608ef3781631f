from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest

from services.inventory.domain.adjustment import Adjusted, Adjustment, Count, Delta, adjust
from services.inventory.domain.book import Reason
from services.inventory.domain.stock import Pool
from tests.unit.inventory.shelf import LIVE, SKIN, SKINLESS, book, level, live, skin
from venus_kit.errors import InvalidRequest, Refusal

TODAY = date(2026, 1, 5)


def adjustment(by: Delta | Count, pool: Pool = SKIN, reason: Reason = Reason.ADJUSTMENT) -> Adjustment:
    return Adjustment((1, UUID(int=1)), pool, by, reason, "stock-take", "manager-1", "a" * 32)


def reason_of(answer: Adjusted | Refusal) -> str:
    assert isinstance(answer, Refusal)
    return answer.reason


def test_a_count_becomes_the_difference() -> None:
    shelf = book(level(LIVE, 42_000, birds=18))

    answer = adjust(shelf, adjustment(Count(42_500, 17, 1), LIVE), TODAY)

    assert isinstance(answer, Adjusted)
    assert answer.change == live(500, -1)
    assert (answer.level.on_hand_grams, answer.level.on_hand_birds, answer.level.sequence) == (42_500, 17, 2)
    (movement,) = shelf.movements
    assert (movement.occasion.business_date, movement.occasion.reference) == (TODAY, str(UUID(int=1)))


def test_a_count_that_agrees_books_nothing() -> None:
    shelf = book(level(SKIN, 42_000))

    answer = adjust(shelf, adjustment(Count(42_000, 0, None)), TODAY)

    assert answer == Adjusted(shelf.levels[SKIN], skin(0), Reason.ADJUSTMENT, str(UUID(int=1)))
    assert shelf.movements == []


def test_what_is_held_cannot_be_taken_away() -> None:
    shelf = book(level(SKIN, 10_000, held=4_000))

    assert reason_of(adjust(shelf, adjustment(Delta(-6_001, 0)), TODAY)) == "INSUFFICIENT_STOCK"
    assert shelf.changed == []
    assert isinstance(adjust(shelf, adjustment(Delta(-6_000, 0)), TODAY), Adjusted)


@pytest.mark.parametrize(
    ("by", "pool", "why", "reason"),
    [
        (Count(1, 0, None), LIVE, Reason.ADJUSTMENT, "COUNT_DURING_SALE"),
        (Count(1, 0, 7), SKIN, Reason.ADJUSTMENT, "COUNT_STALE"),
        (Count(10_001, 0, None), SKIN, Reason.WASTAGE, "REASON_NOT_ALLOWED"),
        (Delta(1, 0), SKIN, Reason.WASTAGE, "REASON_NOT_ALLOWED"),
        (Delta(-1, 1), LIVE, Reason.WASTAGE, "REASON_NOT_ALLOWED"),
        (Delta(1, 0), SKINLESS, Reason.ADJUSTMENT, "POOL_NOT_OPEN"),
        (Delta(0, -5), LIVE, Reason.WASTAGE, "INSUFFICIENT_STOCK"),
    ],
)
def test_every_refusal_has_its_reason(by: Delta | Count, pool: Pool, why: Reason, reason: str) -> None:
    shelf = book(level(SKIN, 10_000), level(LIVE, 9_000, birds=5, held_birds=1))

    assert reason_of(adjust(shelf, adjustment(by, pool, why), TODAY)) == reason
    assert shelf.changed == shelf.movements == []


def test_two_corrections_in_a_row_see_each_other() -> None:
    shelf = book(level(SKIN, 10_000))

    adjust(shelf, adjustment(Delta(-1_000, 0)), TODAY)

    assert reason_of(adjust(shelf, adjustment(Count(10_000, 0, 1)), TODAY)) == "COUNT_STALE"


@pytest.mark.parametrize(
    ("by", "pool", "field"),
    [
        (Delta(1, 1), SKIN, "delta.bird_count"),
        (Count(1, 1, None), SKINLESS, "count.bird_count"),
        (Delta(0, 0), LIVE, "delta"),
    ],
)
def test_what_fits_no_pool_is_refused_by_field(by: Delta | Count, pool: Pool, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        adjustment(by, pool).check()

    assert [violation.field for violation in caught.value.violations] == [field]


def test_a_count_of_nothing_is_a_count() -> None:
    adjustment(Count(0, 0, None)).check()


def test_the_fingerprint_is_of_everything_but_the_person() -> None:
    one = adjustment(Delta(500, 0))

    assert replace(one, actor="manager-2", trace_id="b" * 32).fingerprint == one.fingerprint
    others = [
        replace(one, by=Delta(501, 0)),
        replace(one, by=Count(500, 0, None)),
        replace(one, by=Count(500, 0, 1)),
        replace(one, pool=SKINLESS),
        replace(one, reason=Reason.WASTAGE),
        replace(one, note="other"),
    ]
    assert len({other.fingerprint for other in [one, *others]}) == 7
