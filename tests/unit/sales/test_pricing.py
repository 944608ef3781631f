from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sales.domain.pricing import line_total

GRAMS = st.integers(0, 100_000_000)
PRICES = st.integers(0, 100_000_000)


@pytest.mark.parametrize(
    ("weight_grams", "price_paise_per_kg", "total_paise"),
    [
        (2_500, 18_000, 45_000),
        (1_250, 22_000, 27_500),
        (250, 10, 3),  # 2.5 paise: a half goes up
        (249, 10, 2),
        (205_123, 9_877, 2_026_000),
        (1, 1, 0),  # worth less than half a paisa
        (1, 500, 1),
        (100_000_000, 100_000_000, 10_000_000_000_000),
    ],
)
def test_a_line_costs_its_weight_times_its_price(weight_grams: int, price_paise_per_kg: int, total_paise: int) -> None:
    assert line_total(weight_grams, price_paise_per_kg) == total_paise


def test_the_example_basket_comes_to_725_rupees() -> None:
    assert line_total(2_500, 18_000) + line_total(1_250, 22_000) == 72_500


@given(GRAMS, PRICES)
def test_a_total_is_what_exact_decimals_round_to(weight_grams: int, price_paise_per_kg: int) -> None:
    exact = Decimal(weight_grams) * Decimal(price_paise_per_kg) / 1000

    assert line_total(weight_grams, price_paise_per_kg) == int(exact.quantize(Decimal(1), ROUND_HALF_UP))


@given(GRAMS, GRAMS, PRICES)
def test_splitting_a_line_moves_its_total_by_at_most_one_paisa(one: int, other: int, price_paise_per_kg: int) -> None:
    whole = line_total(one + other, price_paise_per_kg)
    parts = line_total(one, price_paise_per_kg) + line_total(other, price_paise_per_kg)

    assert abs(whole - parts) <= 1


@pytest.mark.parametrize(("weight_grams", "price_paise_per_kg"), [(-1, 1), (1, -1)])
def test_nothing_has_a_negative_price(weight_grams: int, price_paise_per_kg: int) -> None:
    with pytest.raises(ValueError, match="negative"):
        line_total(weight_grams, price_paise_per_kg)
