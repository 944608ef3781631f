import asyncio

import pytest

from services.sales import operations
from services.sales.domain.fate import Closed
from services.sales.domain.sale import SaleKey
from tests.integration.sales.shop import (
    Shop,
    another,
    assert_books_hold,
    closing,
    database_of,
    deadlocks,
    reasons,
    refusal,
)
from tests.unit.sales.examples import sale
from venus.sales.v1 import sales_service_pb2 as pb
from venus_kit.postgres import Isolation


async def test_a_sale_that_never_came_gets_a_tombstone(shop: Shop) -> None:
    wanted = await shop.wanted()
    (outcome,) = await shop.close(wanted)

    assert outcome.HasField("reply")
    assert not outcome.reply.HasField("recorded")
    assert reasons(await shop.record(wanted)) == ["SALE_CLOSED"]


async def test_a_recorded_sale_is_told_and_stands(shop: Shop) -> None:
    wanted = await shop.wanted()
    (recorded,) = await shop.record(wanted)

    (outcome,) = await shop.close(wanted)
    assert outcome.reply.recorded == recorded.reply
    assert await shop.record(wanted) == [recorded]


async def test_a_voided_sale_was_recorded_all_the_same(shop: Shop) -> None:
    wanted = await shop.wanted()
    (recorded,) = await shop.record(wanted)
    await shop.sql("UPDATE sale SET status = 'VOIDED'")

    (outcome,) = await shop.close(wanted)
    assert outcome.reply.recorded == recorded.reply


async def test_closing_twice_is_closing_once(shop: Shop) -> None:
    wanted = await shop.wanted()
    first = await shop.close(wanted, wanted)

    assert await shop.close(wanted) == first[:1] == first[1:]
    assert await shop.count("sale_fate") == 1


async def test_a_store_that_is_not_there_can_be_closed_in(shop: Shop) -> None:
    """Close refuses nothing: whatever a saga began must come to an end."""
    nowhere = another(await shop.wanted(), store_id=99)

    assert reasons(await shop.close(nowhere)) == [""]
    assert reasons(await shop.record(nowhere)) == ["SALE_CLOSED"]


async def test_recorded_and_closed_are_told_apart_in_one_batch(shop: Shop) -> None:
    wanted = await shop.wanted()
    sales = [another(wanted) for _ in range(6)]
    recorded = await shop.record(*sales[::2])

    outcomes = await shop.close(*sales)
    assert [one.reply.recorded.receipt_number for one in outcomes[::2]] == [
        one.reply.receipt_number for one in recorded
    ]
    assert not any(one.reply.HasField("recorded") for one in outcomes[1::2])
    await assert_books_hold(shop)


async def test_an_id_that_is_none_is_refused_by_field(shop: Shop) -> None:
    item = closing(await shop.wanted())
    item.request.sale_id = "seven"
    (outcome,) = (await shop.stub.BatchCloseSales(pb.BatchCloseSalesRequest(items=[item]))).outcomes

    assert [violation.field for violation in refusal(outcome.error).violations] == ["sale_id"]


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read"])
async def test_closes_that_meet_all_succeed(shop: Shop, isolation: Isolation) -> None:
    keys = [sale(number).key for number in range(60)]
    before = deadlocks()
    async with database_of(shop, isolation=isolation) as database:
        answers = await asyncio.gather(
            *(database.run_batch(operations.close_sales, keys[:: (-1) ** turn]) for turn in range(12))
        )

    assert all(answer == [Closed()] * 60 for answer in answers)
    assert deadlocks() == before


async def test_a_full_batch_takes_one_statement(shop: Shop) -> None:
    statements: list[str] = []
    keys = [SaleKey(1, sale(number).key.sale_id) for number in range(256)]
    async with database_of(shop, statements=statements) as database:
        await database.run_batch(operations.close_sales, keys)

    assert statements == ["insert_fates"]
