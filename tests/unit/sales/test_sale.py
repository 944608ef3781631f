from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sales.domain.fate import Fate, Recorded, answer, first_of_each_id
from services.sales.domain.refusals import HoldExpired, SaleClosed
from services.sales.domain.sale import (
    BirdType,
    InventoryType,
    NewSale,
    PaymentMethod,
    PaymentStatus,
    SaleKey,
    SaleType,
)
from tests.unit.sales.examples import NOW, SKIN, SKINLESS, TODAY, sale
from venus_kit.errors import IdempotencyMismatch, InvalidRequest

CUSTOMER_ID = UUID("018f2f7e-0000-7000-8000-00000000000c")
SALE = sale(1)
RECORDED = Recorded("STORE-001-20260309-000001", NOW, replayed=True)


def test_a_total_that_is_not_the_sum_of_the_lines_is_refused() -> None:
    with pytest.raises(InvalidRequest) as told:
        sale(1, total_paise=72_499)

    assert [violation.field for violation in told.value.violations] == ["total_paise"]


@pytest.mark.parametrize("method", PaymentMethod)
def test_only_credit_is_paid_later(method: PaymentMethod) -> None:
    expected = PaymentStatus.PENDING if method is PaymentMethod.CREDIT else PaymentStatus.PAID

    assert sale(1, payment_method=method).payment_status is expected


@pytest.mark.parametrize(
    "same",
    [
        replace(SALE, cashier="another"),
        replace(SALE, correlation_id="f" * 32),
        replace(SALE, hold_until=NOW + timedelta(days=1)),
    ],
)
def test_who_asks_and_when_is_no_part_of_the_content(same: NewSale) -> None:
    assert same.fingerprint() == SALE.fingerprint()


def line_with(**changes: object) -> NewSale:
    return replace(SALE, lines=(replace(SKIN, **changes), SKINLESS))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "other",
    [
        replace(SALE, key=SaleKey(2, SALE.key.sale_id)),
        replace(SALE, key=SaleKey(1, UUID(int=2))),
        replace(SALE, sale_type=SaleType.BULK),
        replace(SALE, payment_method=PaymentMethod.UPI),
        replace(SALE, customer_id=CUSTOMER_ID),
        replace(SALE, business_date=TODAY + timedelta(days=1)),
        replace(SALE, lines=(SKINLESS, SKIN)),
        replace(SALE, lines=(SKIN,), total_paise=45_000),
        line_with(sku_code="CW-001"),
        line_with(sku_name="Wings"),
        line_with(bird_type=BirdType.PARENT_CULL),
        line_with(inventory_type=InventoryType.SKINLESS),
        line_with(weight_grams=2_501),
        line_with(bird_count=1),
        line_with(price_paise_per_kg=18_001),
    ],
)
def test_every_part_of_the_content_counts(other: NewSale) -> None:
    assert other.fingerprint() != SALE.fingerprint()


def test_a_fingerprint_stays_the_same_for_good() -> None:
    """Stored fingerprints are compared with those of later releases: change the version with the content."""
    assert SALE.fingerprint().hex() == "010c7b935bbc6078b058686213cf66fd7892c841e12878edb38af5354d616bcefc"


def test_everyone_with_an_id_gets_its_one_answer() -> None:
    sales = [SALE, replace(SALE, cashier="twin"), replace(SALE, payment_method=PaymentMethod.UPI)]
    claims = first_of_each_id(sales)
    fates = {SALE.key: Fate(SALE.fingerprint(), RECORDED)}

    assert [claim.sale for claim in claims.values()] == [SALE]
    assert [answer(one, claims, fates) for one in sales] == [
        RECORDED,
        RECORDED,
        IdempotencyMismatch(sale_id=str(SALE.key.sale_id)),
    ]


def test_the_stored_content_decides_and_not_who_is_first_in_the_batch() -> None:
    other = replace(SALE, payment_method=PaymentMethod.UPI)
    claims = first_of_each_id([other, SALE])

    told = [answer(one, claims, {SALE.key: Fate(SALE.fingerprint(), RECORDED)}) for one in (other, SALE)]
    assert [type(one) for one in told] == [IdempotencyMismatch, Recorded]


def test_a_closed_sale_is_closed_for_every_content() -> None:
    closed = SaleClosed(sale_id=str(SALE.key.sale_id))
    sales = [SALE, replace(SALE, payment_method=PaymentMethod.UPI)]

    assert [answer(one, first_of_each_id(sales), {SALE.key: Fate(None, closed)}) for one in sales] == [closed] * 2


def test_a_refusal_is_the_answer_to_every_copy_in_the_batch() -> None:
    expired = HoldExpired(hold_until=NOW.isoformat())
    claims = first_of_each_id([SALE, SALE])

    assert answer(SALE, claims, {SALE.key: Fate(claims[SALE.key].fingerprint, expired)}) == expired


@given(st.lists(st.integers(0, 5), max_size=20))
def test_claims_keep_the_order_in_which_ids_came(ids: list[int]) -> None:
    claims = first_of_each_id([sale(number) for number in ids])

    assert [key.sale_id.int for key in claims] == list(dict.fromkeys(ids))
