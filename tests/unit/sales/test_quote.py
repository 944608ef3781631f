from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sales.domain.quote import Basket, BasketLine, Offer, StoreStatus, StoreToday, quote
from services.sales.domain.refusals import (
    BirdCountInvalid,
    CustomerRequired,
    DayClosed,
    PriceChanged,
    SkuNotSellable,
    StoreInMaintenance,
)
from services.sales.domain.sale import BirdType, InventoryType, PaymentMethod, SaleType
from venus_kit.errors import PermissionMissing, Refusal, StoreNotFound

STORE = StoreToday(1, StoreStatus.ACTIVE, date(2026, 3, 9), day_closed=False)
CUSTOMER_ID = UUID("018f2f7e-0000-7000-8000-00000000000c")
OFFERS = {
    "BRO-SKIN": Offer("BRO-SKIN", "Broiler with skin", BirdType.BROILER, InventoryType.SKIN, 18_000),
    "BRO-SKINLESS": Offer("BRO-SKINLESS", "Broiler skinless", BirdType.BROILER, InventoryType.SKINLESS, 22_000),
    "BRO-LIVE": Offer("BRO-LIVE", "Broiler live", BirdType.BROILER, InventoryType.LIVE, 12_000),
    "PENNY": Offer("PENNY", "Scraps", BirdType.BROILER, InventoryType.SKIN, 10),
}
BASKET = Basket(
    store_id=1,
    sale_type=SaleType.POS,
    payment_method=PaymentMethod.CASH,
    customer_id=None,
    lines=(BasketLine("BRO-SKIN", 2_500, 0, 18_000), BasketLine("BRO-SKINLESS", 1_250, 0, None)),
    permissions=frozenset(),
)


def basket(*lines: BasketLine) -> Basket:
    return replace(BASKET, lines=lines)


def refused(wanted: Basket, store: StoreToday | None = STORE) -> Refusal:
    with pytest.raises(Refusal) as told:
        quote(wanted, store, OFFERS)
    return told.value


def test_the_example_basket_costs_725_rupees() -> None:
    quoted = quote(BASKET, STORE, OFFERS)

    assert quoted.total_paise == 72_500
    assert quoted.business_date == date(2026, 3, 9)
    assert [line.total_paise for line in quoted.lines] == [45_000, 27_500]
    assert [line.price_paise_per_kg for line in quoted.lines] == [18_000, 22_000]
    assert quoted.lines[0].sku_name == "Broiler with skin"


def test_halves_are_rounded_per_line_and_not_over_the_basket() -> None:
    quoted = quote(basket(BasketLine("PENNY", 250, 0, None), BasketLine("PENNY", 250, 0, None)), STORE, OFFERS)

    assert [line.total_paise for line in quoted.lines] == [3, 3]
    assert quoted.total_paise == 6


def test_live_birds_are_sold_with_their_number() -> None:
    (line,) = quote(basket(BasketLine("BRO-LIVE", 4_000, 2, None)), STORE, OFFERS).lines

    assert (line.bird_count, line.total_paise) == (2, 48_000)


def test_a_store_that_is_not_there_sells_nothing() -> None:
    assert refused(BASKET, None) == StoreNotFound(store_id=1)


def test_a_store_in_maintenance_sells_nothing() -> None:
    assert refused(BASKET, replace(STORE, status=StoreStatus.MAINTENANCE)) == StoreInMaintenance(store_id=1)


def test_a_closed_day_takes_no_sale() -> None:
    closed = replace(STORE, day_closed=True)

    assert refused(BASKET, closed) == DayClosed(store_id=1, business_date="2026-03-09")


def test_what_has_no_offer_is_not_sold() -> None:
    wanted = basket(BasketLine("BRO-SKIN", 1, 0, None), BasketLine("NO-SUCH", 1, 0, None))

    assert refused(wanted) == SkuNotSellable(sku_code="NO-SUCH")


def test_a_till_that_showed_another_price_is_told_the_right_one() -> None:
    told = refused(basket(BasketLine("BRO-SKIN", 1_000, 0, 17_500)))

    assert told == PriceChanged(sku_code="BRO-SKIN", price_paise_per_kg=18_000, stated_price_paise_per_kg=17_500)
    assert told.metadata["price_paise_per_kg"] == "18000"


def test_every_line_with_a_wrong_bird_count_is_named() -> None:
    told = refused(
        basket(
            BasketLine("BRO-SKIN", 1, 0, None), BasketLine("BRO-SKIN", 1, 1, None), BasketLine("BRO-LIVE", 1, 0, None)
        )
    )

    assert isinstance(told, BirdCountInvalid)
    assert [violation.field for violation in told.violations] == ["lines[1].bird_count", "lines[2].bird_count"]


def test_wholesale_needs_its_permission_and_may_agree_on_a_price() -> None:
    wanted = replace(basket(BasketLine("BRO-SKIN", 20_000, 0, 15_000)), sale_type=SaleType.BULK)

    assert refused(wanted) == PermissionMissing(permission="sales.bulk")
    allowed = quote(replace(wanted, permissions=frozenset({"sales.bulk"})), STORE, OFFERS)
    assert (allowed.lines[0].price_paise_per_kg, allowed.total_paise) == (15_000, 300_000)


def test_wholesale_without_an_agreed_price_pays_the_list_price() -> None:
    wanted = replace(BASKET, sale_type=SaleType.BULK, permissions=frozenset({"sales.bulk"}))

    assert quote(wanted, STORE, OFFERS).total_paise == 72_500


def test_wholesale_does_not_sell_what_has_no_price() -> None:
    wanted = replace(
        basket(BasketLine("NO-SUCH", 1, 0, 100)), sale_type=SaleType.BULK, permissions=frozenset({"sales.bulk"})
    )

    assert refused(wanted) == SkuNotSellable(sku_code="NO-SUCH")


def test_credit_needs_its_permission_and_a_customer() -> None:
    wanted = replace(BASKET, payment_method=PaymentMethod.CREDIT, customer_id=CUSTOMER_ID)

    assert refused(wanted) == PermissionMissing(permission="sales.credit")
    allowed = replace(wanted, permissions=frozenset({"sales.credit"}))
    assert quote(allowed, STORE, OFFERS).total_paise == 72_500
    assert refused(replace(allowed, customer_id=None)) == CustomerRequired()


def test_the_person_is_looked_at_before_the_store_the_day_and_the_lines() -> None:
    wanted = replace(basket(BasketLine("NO-SUCH", 1, 0, None)), sale_type=SaleType.BULK)
    worst = replace(STORE, status=StoreStatus.MAINTENANCE, day_closed=True)

    assert isinstance(refused(wanted, worst), PermissionMissing)
    allowed = replace(wanted, permissions=frozenset({"sales.bulk"}))
    assert isinstance(refused(allowed, worst), StoreInMaintenance)
    assert isinstance(refused(allowed, replace(worst, status=StoreStatus.ACTIVE)), DayClosed)
    assert isinstance(refused(allowed), SkuNotSellable)


LINES = st.builds(
    BasketLine,
    sku_code=st.sampled_from(["BRO-SKIN", "BRO-SKINLESS", "PENNY"]),
    weight_grams=st.integers(1, 100_000_000),
    bird_count=st.just(0),
    price_paise_per_kg=st.integers(1, 100_000_000),
)


@given(st.lists(LINES, min_size=1, max_size=100))
def test_the_largest_baskets_add_up_within_eight_bytes(lines: list[BasketLine]) -> None:
    wanted = replace(basket(*lines), sale_type=SaleType.BULK, permissions=frozenset({"sales.bulk"}))
    quoted = quote(wanted, STORE, OFFERS)

    assert quoted.total_paise == sum(line.total_paise for line in quoted.lines) <= 10**15
    for asked, line in zip(lines, quoted.lines, strict=True):
        assert abs(line.total_paise * 1000 - asked.weight_grams * line.price_paise_per_kg) <= 500
