import asyncio
from datetime import UTC, date, datetime

import pytest

from services.sales import operations
from services.sales.domain.quote import Basket, BasketLine
from services.sales.domain.sale import PaymentMethod, SaleType
from tests.integration.sales.conftest import OpenShop
from tests.integration.sales.shop import (
    BULK,
    CREDIT,
    CUSTOMER_ID,
    Shop,
    basket_of,
    database_of,
    line,
    reasons,
    refusal,
)
from venus.sales.v1 import sales_service_pb2 as pb

SEVEN_IN_THE_EVENING = datetime(2026, 3, 9, 19, 0, tzinfo=UTC)  # 00:30 of the next day in Kolkata


async def test_the_example_basket_costs_725_rupees(shop: Shop) -> None:
    (outcome,) = await shop.quote(basket_of())

    assert outcome.reply.total_paise == 72_500
    assert [(one.sku_code, one.sku_name, one.total_paise) for one in outcome.reply.lines] == [
        ("BRO-SKIN", "Broiler with skin", 45_000),
        ("BRO-SKINLESS", "Broiler skinless", 27_500),
    ]


async def test_halves_are_rounded_away_from_zero(shop: Shop) -> None:
    await shop.sql(
        "INSERT INTO store_price (store_id, sku_code, effective_on, price_paise_per_kg, set_by) "
        "VALUES (1, 'PC-SKIN', '2020-01-01', 10, 'owner')"
    )
    (outcome,) = await shop.quote(basket_of(line("PC-SKIN", 250), line("PC-SKIN", 1)))

    assert [one.total_paise for one in outcome.reply.lines] == [3, 0]


async def test_each_basket_of_a_batch_is_answered_by_itself(shop: Shop) -> None:
    outcomes = await shop.quote(
        basket_of(),
        basket_of(store_id=99),
        basket_of(store_id=4),
        basket_of(line("NO-SUCH", 1)),
        basket_of(line("CW-001", 1)),
        basket_of(line("PC-SKIN", 1)),
        basket_of(line("BRO-SKIN", 1, price=17_000)),
        basket_of(line("BRO-LIVE", 1)),
        basket_of(sale_type=BULK),
        basket_of(payment_method=CREDIT, customer_id=CUSTOMER_ID),
        basket_of(payment_method=CREDIT, permissions=["sales.credit"]),
        basket_of(line("BRO-SKIN", 0)),
        basket_of(store_id=2),
    )

    assert reasons(outcomes) == [
        "",
        "STORE_NOT_FOUND",
        "STORE_IN_MAINTENANCE",
        "SKU_NOT_SELLABLE",
        "SKU_NOT_SELLABLE",
        "SKU_NOT_SELLABLE",
        "PRICE_CHANGED",
        "BIRD_COUNT_INVALID",
        "PERMISSION_MISSING",
        "PERMISSION_MISSING",
        "CUSTOMER_REQUIRED",
        "INVALID_REQUEST",
        "",
    ]


async def test_a_refusal_tells_the_till_what_to_do(shop: Shop) -> None:
    wrong_price, unknown, no_birds, no_right, no_weight = await shop.quote(
        basket_of(line("BRO-SKIN", 1, price=17_000)),
        basket_of(line("NO-SUCH", 1)),
        basket_of(line("BRO-SKIN", 1), line("BRO-LIVE", 1)),
        basket_of(sale_type=BULK),
        basket_of(line("BRO-SKIN", 1), line("BRO-SKIN", 0)),
    )

    assert refusal(wrong_price.error).metadata == {
        "sku_code": "BRO-SKIN",
        "price_paise_per_kg": "18000",
        "stated_price_paise_per_kg": "17000",
    }
    assert refusal(unknown.error).metadata == {"sku_code": "NO-SUCH"}
    assert [one.field for one in refusal(no_birds.error).violations] == ["lines[1].bird_count"]
    assert refusal(no_right.error).metadata == {"permission": "sales.bulk"}
    assert [one.field for one in refusal(no_weight.error).violations] == ["lines[1].weight_grams"]


async def test_a_basket_without_a_person_may_not_do_what_needs_a_permission(shop: Shop) -> None:
    anonymous = basket_of(sale_type=BULK)
    anonymous.ClearField("context")

    assert reasons(await shop.quote(anonymous)) == ["PERMISSION_MISSING"]


async def test_wholesale_may_agree_on_a_price(shop: Shop) -> None:
    (outcome,) = await shop.quote(
        basket_of(line("BRO-SKIN", 20_000, price=15_000), sale_type=BULK, permissions=["sales.bulk"])
    )

    assert outcome.reply.total_paise == 300_000


async def test_the_largest_basket_can_be_priced(shop: Shop) -> None:
    largest = [line("BRO-SKIN", 100_000_000, price=100_000_000)] * 100
    (outcome,) = await shop.quote(basket_of(*largest, sale_type=BULK, permissions=["sales.bulk"]))

    assert outcome.reply.total_paise == 10**15


async def test_a_price_holds_from_its_date_and_the_last_word_for_a_date_counts(open_shop: OpenShop) -> None:
    shop = await open_shop(at=datetime(2026, 3, 9, 9, 0, tzinfo=UTC))
    for day, price in ((8, 18_100), (9, 18_200), (9, 18_300), (10, 18_400)):
        await shop.sql(
            "INSERT INTO store_price (store_id, sku_code, effective_on, price_paise_per_kg, set_by) "
            "VALUES (1, 'BRO-SKIN', $1, $2, 'owner')",
            date(2026, 3, day),
            price,
        )

    here, elsewhere = await shop.quote(
        basket_of(line("BRO-SKIN", 1_000)), basket_of(line("BRO-SKIN", 1_000), store_id=2)
    )
    assert (here.reply.total_paise, elsewhere.reply.total_paise) == (18_300, 18_000)


async def test_seven_in_the_evening_utc_is_sold_at_tomorrows_price_in_kolkata(open_shop: OpenShop) -> None:
    shop = await open_shop(at=SEVEN_IN_THE_EVENING)
    await shop.sql(
        "INSERT INTO store_price (store_id, sku_code, effective_on, price_paise_per_kg, set_by) "
        "SELECT store_id, 'BRO-SKIN', '2026-03-10', 19000, 'owner' FROM store"
    )

    kolkata, berlin = await shop.quote(
        basket_of(line("BRO-SKIN", 1_000)), basket_of(line("BRO-SKIN", 1_000), store_id=3)
    )
    assert (kolkata.reply.business_date, kolkata.reply.total_paise) == ("2026-03-10", 19_000)
    assert (berlin.reply.business_date, berlin.reply.total_paise) == ("2026-03-09", 18_000)


@pytest.mark.parametrize(
    ("at", "business_date"),
    [
        (datetime(2026, 3, 28, 22, 30, tzinfo=UTC), "2026-03-28"),  # winter time: 23:30
        (datetime(2026, 3, 29, 22, 30, tzinfo=UTC), "2026-03-30"),  # summer time since this night: 00:30
    ],
)
async def test_berlin_changes_its_clocks(open_shop: OpenShop, at: datetime, business_date: str) -> None:
    shop = await open_shop(at=at)

    (outcome,) = await shop.quote(basket_of(store_id=3))
    assert outcome.reply.business_date == business_date


@pytest.mark.parametrize(("closed", "reason"), [("2026-03-09", ""), ("2026-03-10", "DAY_CLOSED"), ("2026-03-11", "")])
async def test_only_the_day_of_the_store_itself_must_be_open(open_shop: OpenShop, closed: str, reason: str) -> None:
    shop = await open_shop(at=SEVEN_IN_THE_EVENING)
    await shop.sql(
        "INSERT INTO business_day (store_id, business_date, status) VALUES (1, $1, 'CLOSED')",
        date.fromisoformat(closed),
    )

    here, elsewhere = await shop.quote(basket_of(), basket_of(store_id=2))
    assert reasons([here, elsewhere]) == [reason, ""]
    if reason:
        assert refusal(here.error).metadata == {"store_id": "1", "business_date": "2026-03-10"}


async def test_a_day_on_which_something_was_sold_is_still_open(shop: Shop) -> None:
    await shop.record(await shop.wanted())

    assert reasons(await shop.quote(basket_of())) == [""]


async def test_a_quote_changes_nothing(shop: Shop) -> None:
    await asyncio.gather(*(shop.quote(basket_of(), basket_of(store_id=2)) for _ in range(5)))

    for table in ("business_day", "sale_fate", "sale", "sale_line"):
        assert await shop.count(table) == 0


async def test_a_full_batch_takes_two_queries(shop: Shop) -> None:
    lines = tuple(BasketLine(sku, 1_000, 0, None) for sku in ("BRO-SKIN", "BRO-SKINLESS"))
    baskets = [
        Basket(1 + number % 3, SaleType.POS, PaymentMethod.CASH, None, lines, frozenset()) for number in range(256)
    ]
    statements: list[str] = []
    async with database_of(shop, statements=statements) as database:
        outcomes = await database.run_batch(operations.quote_sales, baskets)

    assert statements == ["read_stores", "read_offers"]
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]


async def test_a_price_is_history_that_nobody_rewrites(shop: Shop) -> None:
    for statement in ("UPDATE store_price SET price_paise_per_kg = 1", "DELETE FROM store_price"):
        with pytest.raises(Exception, match="what was written stays"):
            await shop.sql(statement)


async def test_a_batch_of_too_many_is_refused_whole(shop: Shop) -> None:
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        await shop.stub.BatchQuoteSales(pb.BatchQuoteSalesRequest(items=[basket_of()] * 257))
