from uuid import uuid4

import pytest
from grpc.aio import AioRpcError

from tests.integration.sales.shop import VIEWER, Shop, another, basket_of
from venus.sales.v1 import sale_pb2
from venus.type.v1 import payment_pb2
from venus_kit.access import Person
from venus_kit.grpc_status import refusal_of, status_of_rpc_error


async def refused(shop: Shop, store_id: int, sale_id: str, person: Person = VIEWER) -> str:
    with pytest.raises(AioRpcError) as told:
        await shop.get(store_id, sale_id, person)
    refusal = refusal_of(status_of_rpc_error(told.value))
    assert refusal is not None
    return refusal.reason


async def test_a_sale_is_shown_with_its_lines_in_order(shop: Shop) -> None:
    wanted = await shop.wanted()
    (outcome,) = await shop.record(wanted)

    sale = await shop.get(1, wanted.request.sale_id)
    assert sale == sale_pb2.Sale(
        sale_id=wanted.request.sale_id,
        store_id=1,
        receipt_number=outcome.reply.receipt_number,
        sale_type=sale_pb2.SALE_TYPE_POS,
        payment_method=payment_pb2.PAYMENT_METHOD_CASH,
        total_paise=72_500,
        status=sale_pb2.SALE_STATUS_COMPLETED,
        payment_status=sale_pb2.PAYMENT_STATUS_PAID,
        business_date=wanted.request.business_date,
        correlation_id="0af7651916cd43dd8448eb211c80319c",
        cashier="cashier-1",
        create_time=outcome.reply.create_time,
        lines=wanted.request.lines,
    )


async def test_a_voided_sale_is_shown_as_it_stands_today(shop: Shop) -> None:
    wanted = await shop.wanted()
    await shop.record(wanted)
    await shop.sql("UPDATE sale SET status = 'VOIDED'")

    assert (await shop.get(1, wanted.request.sale_id)).status == sale_pb2.SALE_STATUS_VOIDED


async def test_a_sale_is_found_by_either_case_of_its_id(shop: Shop) -> None:
    wanted = await shop.wanted()
    await shop.record(wanted)

    assert (await shop.get(1, wanted.request.sale_id.upper())).sale_id == wanted.request.sale_id


async def test_a_sale_of_another_store_is_not_there(shop: Shop) -> None:
    wanted = await shop.wanted()
    await shop.record(wanted, another(await shop.wanted(basket_of(store_id=2))))

    assert await refused(shop, 2, wanted.request.sale_id) == "SALE_NOT_FOUND"
    assert await refused(shop, 1, str(uuid4())) == "SALE_NOT_FOUND"


async def test_a_closed_sale_is_not_there(shop: Shop) -> None:
    wanted = await shop.wanted()
    await shop.close(wanted)

    assert await refused(shop, 1, wanted.request.sale_id) == "SALE_NOT_FOUND"


async def test_only_who_may_see_the_stores_sales_sees_them(shop: Shop) -> None:
    wanted = await shop.wanted()
    await shop.record(wanted)
    elsewhere = Person("manager-2", permissions=frozenset({"sales.view"}), store_ids=frozenset({2}))
    without = Person("clerk", all_stores=True)

    assert await refused(shop, 1, wanted.request.sale_id, elsewhere) == "STORE_NOT_FOUND"
    assert await refused(shop, 1, wanted.request.sale_id, without) == "PERMISSION_MISSING"
