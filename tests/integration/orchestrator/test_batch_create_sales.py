"""Many tills in one call: each is its own caller, and each is answered as soon as its own end is known."""

import asyncio
from collections.abc import Callable

import grpc.aio
import pytest

from tests.suite import (
    ADMIN,
    CASHIER,
    Suite,
    assert_invariants,
    line,
    nothing_can_be_reserved,
    refused,
    sale_request,
    sold,
    suite_running,
    until,
)
from venus.orchestrator.v1 import orchestrator_service_pb2 as pb
from venus.sales.v1 import sale_pb2
from venus.type.v1 import payment_pb2
from venus_kit.access import Person
from venus_kit.grpc_status import refusal_of, status_of_rpc_error
from venus_kit.identity import AssertionSigner, ServiceIdentity
from venus_kit.testing import DatabaseUrls, ServiceKeys


async def in_the_log(suite: Suite) -> set[str]:
    return {row["id"] for row in await suite.sql("orchestrator", "SELECT id::text FROM transaction_log")}


async def test_each_item_is_its_own_persons_and_in_its_own_trace(suite: Suite) -> None:
    other = Person("cashier-2", permissions=CASHIER.permissions, store_ids=frozenset({2}))
    items = [suite.item(sale_request(store_id=1)), suite.item(sale_request(store_id=2), other)]
    sales = [sold(answer) for answer in await suite.sell_batch(items)]
    assert [sale.cashier for sale in sales] == ["cashier-1", "cashier-2"]
    assert [sale.correlation_id for sale in sales] == [item.context.traceparent.split("-")[1] for item in items]


async def test_who_may_not_sell_is_refused_alone_and_nothing_is_stored(suite: Suite) -> None:
    sales_key = ServiceIdentity("sales", suite.keys.key_files["sales"].read_bytes())
    nobody, forged, untraced = (suite.item(sale_request()) for _ in range(3))
    nobody.context.assertion = ""
    forged.context.assertion = AssertionSigner(sales_key).assertion(ADMIN)
    untraced.context.traceparent = "made-up"
    good = suite.item(sale_request())
    items = [
        suite.item(sale_request(), Person("looker", permissions=frozenset({"sales.view"}), all_stores=True)),
        suite.item(sale_request(store_id=1), Person("elsewhere", CASHIER.permissions, store_ids=frozenset({2}))),
        nobody,
        forged,
        untraced,
        pb.CreateSaleItem(context=good.context),
        suite.item(sale_request(payment_method=payment_pb2.PAYMENT_METHOD_CREDIT)),
        good,
    ]
    *bad, last = await suite.sell_batch(items)
    assert [refused(answer).reason for answer in bad] == [
        "PERMISSION_MISSING",
        "STORE_NOT_FOUND",
        "NOT_SIGNED_IN",
        "NOT_SIGNED_IN",
        "INVALID_REQUEST",
        "INVALID_REQUEST",
        "PAYMENT_METHOD_NOT_OFFERED",
    ]
    assert [violation.field for violation in refused(bad[4]).violations] == ["context.traceparent"]
    assert sold(last).sale_id == good.request.sale_id
    assert await in_the_log(suite) == {good.request.sale_id}


async def test_nobody_waits_for_the_slowest_and_the_slowest_no_longer_than_it_said(suite: Suite) -> None:
    slow, unknown, bad = sale_request(), sale_request(line("NO-SUCH", 1)), sale_request(line("BRO-SKIN", 0))
    items = [suite.item(slow, budget_s=3.0), suite.item(unknown), suite.item(bad)]
    async with nothing_can_be_reserved(suite):
        groups = [group async for group in suite.sell_groups(items)]
    assert [list(group) for group in groups] == [[2], [1], [0]]
    pending = groups[2][0]
    assert (sold(pending).status, sold(pending).sale_id) == (sale_pb2.SALE_STATUS_PENDING, slow.sale_id)
    assert refused(groups[1][1]).reason == "SKU_NOT_SELLABLE"
    await suite.settled()
    assert sold(await suite.sell(slow)).status == sale_pb2.SALE_STATUS_COMPLETED
    await assert_invariants(suite)


async def test_tills_that_went_away_have_sold_all_the_same(suite: Suite) -> None:
    requests = [sale_request(line("BRO-SKIN", 100)) for _ in range(5)]
    async with nothing_can_be_reserved(suite):
        tills = asyncio.create_task(suite.sell_batch([suite.item(request) for request in requests]))

        async def begun() -> bool:
            return len(await in_the_log(suite)) == len(requests)

        await until(begun)
        tills.cancel()
        await asyncio.gather(tills, return_exceptions=True)
    await suite.settled()
    assert await suite.value("sales", "SELECT count(*) FROM sale") == len(requests)
    await assert_invariants(suite)


async def test_a_repeat_in_a_later_batch_gets_the_first_answer_and_other_content_none(suite: Suite) -> None:
    paid, unknown = sale_request(), sale_request(line("NO-SUCH", 1))
    first = await suite.sell_batch([suite.item(paid), suite.item(unknown)])
    other = sale_request(line("BRO-SKIN", 1), sale_id=paid.sale_id)
    again = await suite.sell_batch([suite.item(unknown), suite.item(other), suite.item(paid)])
    assert again[0] == first[1]
    assert refused(again[1]).reason == "IDEMPOTENCY_MISMATCH"
    assert again[2] == pb.CreateSaleResponse(sale=sold(first[0]), replayed=True)
    await suite.settled()
    await assert_invariants(suite)


async def test_one_id_with_two_contents_in_one_batch_is_one_sale(suite: Suite) -> None:
    first = sale_request(line("BRO-SKIN", 100))
    other = sale_request(line("BRO-SKIN", 200), sale_id=first.sale_id)
    answers = await suite.sell_batch([suite.item(first), suite.item(other)])
    assert sold(answers[0]).total_paise == 1_800
    assert refused(answers[1]).reason == "IDEMPOTENCY_MISMATCH"
    await suite.settled()
    await assert_invariants(suite)


async def test_what_is_too_much_at_once_is_refused_before_anything_is_begun(
    database_url: Callable[[str], DatabaseUrls], identities: ServiceKeys
) -> None:
    async with suite_running(database_url, identities, settings={"orchestrator": {"waiting": 2}}) as suite:
        await suite.open_stock(1, 1_000_000)
        requests = [sale_request() for _ in range(5)]
        answers = await suite.sell_batch([suite.item(request) for request in requests])
        assert [sold(answer).sale_id for answer in answers[:2]] == [request.sale_id for request in requests[:2]]
        assert [(refused(one).reason, refused(one).retry_after_s) for one in answers[2:]] == [("TOO_BUSY", 1.0)] * 3
        assert await in_the_log(suite) == {request.sale_id for request in requests[:2]}
        assert sold(await suite.sell(requests[4])).status == sale_pb2.SALE_STATUS_COMPLETED, "the id is not used up"


@pytest.mark.parametrize("size", [0, 257])
async def test_a_batch_has_between_1_and_256_items(suite: Suite, size: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await suite.sell_batch([suite.item(sale_request())] * size)
    refusal = refusal_of(status_of_rpc_error(caught.value))
    assert refusal is not None
    assert [violation.field for violation in refusal.violations] == ["items"]
    assert await in_the_log(suite) == set()
