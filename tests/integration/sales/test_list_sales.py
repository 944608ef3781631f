import asyncio
from datetime import UTC, date, datetime
from typing import Any

import pytest
from grpc.aio import AioRpcError

from services.sales import operations
from services.sales.domain.sale import NewSale, PaymentMethod, SaleStatus
from services.sales.operations import SaleFilter
from tests.integration.sales.shop import CREDIT, UPI, Shop, another, database_of
from tests.unit.sales.examples import SKIN, sale
from venus.sales.v1 import sale_pb2
from venus_kit.errors import PageTokenInvalid
from venus_kit.grpc_status import refusal_of, status_of_rpc_error

LONG_HELD = datetime(2100, 1, 1, tzinfo=UTC)
MONDAY, TUESDAY = date(2026, 3, 9), date(2026, 3, 10)


def held(number: int, day: date = MONDAY, store_id: int = 1, **changes: object) -> NewSale:
    return sale(number, store_id, business_date=day, hold_until=LONG_HELD, **changes)


async def walk(shop: Shop, page_size: int, **filters: Any) -> list[str]:
    """The receipt numbers on all pages."""
    found: list[str] = []
    token = ""
    while True:
        page = await shop.page(page_size=page_size, page_token=token, **filters)
        assert len(page.sales) <= page_size
        found += [one.receipt_number for one in page.sales]
        token = page.next_page_token
        if not token:
            return found


async def test_sales_are_listed_newest_first_with_their_lines(shop: Shop) -> None:
    wanted = await shop.wanted()
    sales = [another(wanted) for _ in range(3)]
    await shop.record(*sales)

    page = await shop.page()
    assert [one.sale_id for one in page.sales] == [item.request.sale_id for item in reversed(sales)]
    assert [list(one.lines) for one in page.sales] == [list(wanted.request.lines)] * 3
    assert page.next_page_token == ""
    assert page.sales[0] == await shop.get(1, sales[-1].request.sale_id)


async def test_a_store_that_sold_nothing_has_an_empty_list(shop: Shop) -> None:
    page = await shop.page(2)

    assert (list(page.sales), page.next_page_token) == ([], "")


async def test_days_and_numbers_stay_in_order_beyond_six_digits(shop: Shop) -> None:
    await shop.sql("INSERT INTO business_day VALUES (1, '2026-03-09', 'OPEN', 999998)")
    async with database_of(shop) as database:
        await database.run_batch(
            operations.record_sales, [held(1), held(2, TUESDAY), held(3), held(4, TUESDAY), held(5, store_id=2)]
        )

    expected = ["20260310-000002", "20260310-000001", "20260309-1000000", "20260309-999999"]
    for page_size in (1, 2, 3, 4, 5):
        assert [number.removeprefix("STORE-001-") for number in await walk(shop, page_size)] == expected


async def test_lists_can_be_narrowed_by_day_status_and_method(shop: Shop) -> None:
    async with database_of(shop) as database:
        await database.run_batch(
            operations.record_sales,
            [
                held(1),
                held(2, payment_method=PaymentMethod.UPI),
                held(3, TUESDAY),
                held(4, TUESDAY, payment_method=PaymentMethod.UPI),
            ],
        )
    await shop.sql("UPDATE sale SET status = 'VOIDED' WHERE business_date = '2026-03-10' AND number = 1")

    async def numbers(**filters: object) -> list[str]:
        return [one.removeprefix("STORE-001-202603") for one in await walk(shop, 1, **filters)]

    assert await numbers(business_date="2026-03-10") == ["10-000002", "10-000001"]
    assert await numbers(payment_method=UPI) == ["10-000002", "09-000002"]
    assert await numbers(status=sale_pb2.SALE_STATUS_VOIDED) == ["10-000001"]
    assert await numbers(status=sale_pb2.SALE_STATUS_COMPLETED, business_date="2026-03-10") == ["10-000002"]
    assert await numbers(payment_method=CREDIT) == []
    assert await numbers(status=sale_pb2.SALE_STATUS_PENDING) == []
    assert await numbers(business_date="2026-03-11") == []


async def test_fifty_are_listed_when_nobody_says_how_many(shop: Shop) -> None:
    async with database_of(shop) as database:
        await database.run_batch(operations.record_sales, [held(number) for number in range(60)])

    page = await shop.page()
    assert len(page.sales) == 50
    assert len((await shop.page(page_token=page.next_page_token)).sales) == 10


async def test_whoever_pages_sees_each_sale_once_while_others_are_recorded(shop: Shop) -> None:
    async with database_of(shop) as database:
        await database.run_batch(operations.record_sales, [held(number) for number in range(40)])
        there = await walk(shop, 500)
        stop = asyncio.Event()

        async def keep_selling(first: int) -> None:
            number = first
            while not stop.is_set():
                await database.run_batch(operations.record_sales, [held(number, TUESDAY), held(number + 1)])
                number += 2

        tills = [asyncio.create_task(keep_selling(first)) for first in (1_000, 100_000, 200_000)]
        walks = [await walk(shop, 3) for _ in range(3)]
        stop.set()
        await asyncio.gather(*tills)

    for seen in walks:
        assert len(seen) == len(set(seen))
        assert set(there) <= set(seen)
        assert seen == sorted(seen, reverse=True)


async def test_a_page_token_is_bound_to_its_list(shop: Shop) -> None:
    async with database_of(shop) as database:
        await database.run_batch(operations.record_sales, [held(n, store_id=1 + n % 2) for n in range(8)])
    token = (await shop.page(page_size=1)).next_page_token

    others: list[tuple[int, dict[str, Any]]] = [
        (2, {}),
        (1, {"business_date": "2026-03-09"}),
        (1, {"payment_method": UPI}),
    ]
    for store_id, filters in others:
        with pytest.raises(AioRpcError) as told:
            await shop.page(store_id, page_token=token, **filters)
        refusal = refusal_of(status_of_rpc_error(told.value))
        assert refusal is not None
        assert refusal.reason == "PAGE_TOKEN_INVALID"
    with pytest.raises(AioRpcError, match="not of this list"):
        await shop.page(page_token="made-up")
    assert len((await shop.page(page_size=3, page_token=token)).sales) == 3  # the size may change


async def test_a_date_that_is_none_is_refused_by_field(shop: Shop) -> None:
    with pytest.raises(AioRpcError) as told:
        await shop.page(business_date="2026-02-30")

    refusal = refusal_of(status_of_rpc_error(told.value))
    assert refusal is not None
    assert [violation.field for violation in refusal.violations] == ["business_date"]


async def test_a_page_takes_two_queries(shop: Shop) -> None:
    statements: list[str] = []
    async with database_of(shop, statements=statements) as database:
        many = [held(number, lines=(SKIN,) * 3, total_paise=135_000) for number in range(30)]
        await database.run_batch(operations.record_sales, many)
        statements.clear()
        page = await database.run(operations.list_sales, SaleFilter(1, status=SaleStatus.COMPLETED), 20, "")

    assert statements == ["list_sales", "read_lines"]
    assert all(len(one.lines) == 3 for one in page.sales)


async def test_a_token_of_another_shape_is_refused(shop: Shop) -> None:
    async with database_of(shop) as database:
        with pytest.raises(PageTokenInvalid):
            await database.run(operations.list_sales, SaleFilter(1), 20, "AAAA")
