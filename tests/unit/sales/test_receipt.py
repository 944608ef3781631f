from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sales.domain.receipt import receipt_number


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (1, "STORE-001-20260309-000001"),
        (999_999, "STORE-001-20260309-999999"),
        (1_000_000, "STORE-001-20260309-1000000"),
        (12_345_678, "STORE-001-20260309-12345678"),
    ],
)
def test_a_receipt_number_has_six_digits_or_more_and_is_never_cut(number: int, printed: str) -> None:
    assert receipt_number("STORE-001", date(2026, 3, 9), number) == printed


CODES = st.from_regex(r"[A-Z0-9][A-Z0-9-]{0,31}", fullmatch=True)
RECEIPTS = st.tuples(CODES, st.dates(date(2000, 1, 1), date(2999, 12, 31)), st.integers(1, 2**31 - 1))


@given(RECEIPTS, RECEIPTS)
def test_two_receipts_never_share_a_number(one: tuple[str, date, int], other: tuple[str, date, int]) -> None:
    assert (receipt_number(*one) == receipt_number(*other)) == (one == other)
