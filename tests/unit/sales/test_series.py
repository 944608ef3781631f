from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sales.domain.refusals import DayClosed, HoldExpired
from services.sales.domain.sale import DayKey
from services.sales.domain.series import Numbered, Series, last_numbers, number_sales
from tests.unit.sales.examples import NOW, TODAY, sale
from venus_kit.errors import StoreNotFound


def series(store_id: int = 1, *, day: date = TODAY, last: int = 0, closed: bool = False, locked_at=NOW) -> Series:
    return Series(DayKey(store_id, day), f"STORE-{store_id:03}", closed, last, locked_at)


def by_day(*some: Series) -> dict[DayKey, Series]:
    return {one.day: one for one in some}


def numbers(outcomes: list) -> list[int | str]:
    return [one.number if isinstance(one, Numbered) else one.reason for one in outcomes]


def test_numbers_follow_the_last_one_in_the_order_of_the_batch() -> None:
    outcomes = number_sales([sale(9), sale(1), sale(5)], by_day(series(last=41)))

    assert [one.receipt_number for one in outcomes if isinstance(one, Numbered)] == [
        "STORE-001-20260309-000042",
        "STORE-001-20260309-000043",
        "STORE-001-20260309-000044",
    ]


def test_a_refused_sale_takes_no_number() -> None:
    late = sale(2, hold_until=NOW)
    outcomes = number_sales([sale(1), late, sale(3)], by_day(series()))

    assert numbers(outcomes) == [1, "HOLD_EXPIRED", 2]
    assert outcomes[1] == HoldExpired(hold_until=NOW.isoformat())


def test_a_hold_that_ends_now_has_ended() -> None:
    assert numbers(number_sales([sale(1, hold_until=NOW)], by_day(series()))) == ["HOLD_EXPIRED"]
    assert numbers(number_sales([sale(1, hold_until=NOW + timedelta(microseconds=1))], by_day(series()))) == [1]


def test_time_is_told_once_the_last_series_is_locked() -> None:
    """While one series was waited for, the holds of the others ran on."""
    waited = series(2, locked_at=NOW + timedelta(seconds=3))
    soon = NOW + timedelta(seconds=1)
    outcomes = number_sales([sale(1, hold_until=soon), sale(2, store_id=2)], by_day(series(1), waited))

    assert numbers(outcomes) == ["HOLD_EXPIRED", 1]
    assert isinstance(outcomes[1], Numbered)
    assert outcomes[1].created_at == NOW + timedelta(seconds=3)


def test_a_closed_day_takes_no_sale() -> None:
    assert number_sales([sale(1)], by_day(series(closed=True))) == [DayClosed(store_id=1, business_date="2026-03-09")]


def test_a_store_without_a_series_is_not_there() -> None:
    outcomes = number_sales([sale(1), sale(2, store_id=7)], by_day(series()))

    assert outcomes[1] == StoreNotFound(store_id=7)
    assert number_sales([sale(1)], {}) == [StoreNotFound(store_id=1)]


def test_each_store_and_day_has_its_own_series() -> None:
    yesterday = TODAY - timedelta(days=1)
    outcomes = number_sales(
        [sale(1), sale(2, store_id=2), sale(3, business_date=yesterday), sale(4)],
        by_day(series(last=5), series(2, last=7), series(day=yesterday, last=999_999)),
    )

    assert [one.receipt_number for one in outcomes if isinstance(one, Numbered)] == [
        "STORE-001-20260309-000006",
        "STORE-002-20260309-000008",
        "STORE-001-20260308-1000000",
        "STORE-001-20260309-000007",
    ]


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=50), st.integers(0, 2_000_000))
def test_series_have_no_gap_whoever_is_refused(wanted: list[tuple[int, bool]], last: int) -> None:
    sales = [
        sale(position, store_id, hold_until=NOW + timedelta(seconds=1 if held else -1))
        for position, (store_id, held) in enumerate(wanted)
    ]
    outcomes = number_sales(sales, by_day(*(series(store_id, last=last) for store_id in (1, 2, 3))))

    numbered = [one for one in outcomes if isinstance(one, Numbered)]
    assert len(numbered) == sum(held for _, held in wanted)
    for store_id in (1, 2, 3):
        given_here = [one.number for one in numbered if one.sale.key.store_id == store_id]
        assert given_here == list(range(last + 1, last + 1 + len(given_here)))
        assert last_numbers(numbered).get(DayKey(store_id, TODAY), last) == last + len(given_here)


@pytest.mark.parametrize("count", [0, 1])
def test_last_numbers_are_of_days_that_gave_one(count: int) -> None:
    outcomes = number_sales([sale(n) for n in range(count)], by_day(series(), series(2)))

    assert len(last_numbers([one for one in outcomes if isinstance(one, Numbered)])) == count
