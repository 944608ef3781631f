"""One sale through every service, and every way in which a cash sale is refused."""

import asyncio
import re
from typing import Any
from uuid import uuid4

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
)
from venus.orchestrator.v1.orchestrator_service_pb2 import CreateSaleResponse
from venus.sales.v1 import sale_pb2
from venus.type.v1 import payment_pb2
from venus_kit.access import Person


async def test_the_example_sale_comes_to_725(suite: Suite) -> None:
    request = sale_request()
    answer = await suite.sell(request)
    sale = sold(answer)
    assert isinstance(answer, CreateSaleResponse)
    assert not answer.replayed
    assert sale.total_paise == 72_500
    assert [line.total_paise for line in sale.lines] == [45_000, 27_500]
    assert sale.status == sale_pb2.SALE_STATUS_COMPLETED
    assert sale.payment_status == sale_pb2.PAYMENT_STATUS_PAID
    assert re.fullmatch(r"STORE-001-\d{8}-000001", sale.receipt_number)
    assert sale.receipt_number.split("-")[2] == sale.business_date.replace("-", "")
    assert sale.cashier == "cashier-1"
    await suite.settled()
    assert (await suite.pool(1, "SKIN")).on_hand_grams == 997_500
    assert (await suite.pool(1, "SKINLESS")).on_hand_grams == 998_750
    till = await suite.sql("ledger", "SELECT debit_paise FROM account WHERE account = 'store.1.till.cash'")
    assert till[0]["debit_paise"] == 72_500
    await assert_invariants(suite)


async def test_live_birds_leave_by_weight_and_number(suite: Suite) -> None:
    sold(await suite.sell(sale_request(line("BRO-LIVE", 5_400, bird_count=3))))
    await suite.settled()
    pool = await suite.pool(1, "LIVE")
    assert (pool.on_hand_grams, pool.on_hand_birds) == (994_600, 97)
    await assert_invariants(suite)


async def test_a_sale_of_nothing_worth_a_paisa_is_still_a_sale(suite: Suite) -> None:
    await suite.sql(
        "sales",
        "INSERT INTO store_price (store_id, sku_code, effective_on, price_paise_per_kg, set_by)"
        " VALUES (1, 'BRO-SKIN', '2025-02-01', 10, 'owner') RETURNING 1",
    )
    assert sold(await suite.sell(sale_request(line("BRO-SKIN", 250)))).total_paise == 3, "halves round away from zero"
    assert sold(await suite.sell(sale_request(line("BRO-SKIN", 1)))).total_paise == 0
    await suite.settled()
    await assert_invariants(suite)


REFUSALS: list[tuple[str, dict[str, Any], str, dict[str, str]]] = [
    (
        "more than there is",
        {"lines": [line("BRO-SKIN", 1_000_001)]},
        "INSUFFICIENT_STOCK",
        {"available_grams": "1000000", "wanted_grams": "1000001"},
    ),
    (
        "two lines of one pool are summed",
        {"lines": [line("BRO-SKIN", 600_000), line("CW-001", 600_000)]},
        "INSUFFICIENT_STOCK",
        {"available_grams": "1000000", "wanted_grams": "1200000"},
    ),
    (
        "the second line of two",
        {"lines": [line("BRO-SKIN", 1_000), line("BRO-SKINLESS", 1_000_001)]},
        "INSUFFICIENT_STOCK",
        {"available_grams": "1000000", "wanted_grams": "1000001"},
    ),
    (
        "more birds than there are",
        {"lines": [line("BRO-LIVE", 1_000, bird_count=101)]},
        "INSUFFICIENT_STOCK",
        {"available_birds": "100", "wanted_birds": "101"},
    ),
    (
        "a price that is not today's",
        {"lines": [line("BRO-SKIN", 1_000, price=17_000)]},
        "PRICE_CHANGED",
        {"price_paise_per_kg": "18000", "sku_code": "BRO-SKIN"},
    ),
    ("an inactive SKU", {"lines": [line("OLD-001", 1_000)]}, "SKU_NOT_SELLABLE", {"sku_code": "OLD-001"}),
    ("an unknown SKU", {"lines": [line("NO-SUCH", 1_000)]}, "SKU_NOT_SELLABLE", {"sku_code": "NO-SUCH"}),
    ("a SKU without a price", {"lines": [line("NEW-001", 1_000)]}, "SKU_NOT_SELLABLE", {"sku_code": "NEW-001"}),
]


@pytest.mark.parametrize(("what", "basket", "reason", "metadata"), REFUSALS, ids=[case[0] for case in REFUSALS])
async def test_a_refused_sale_leaves_nothing_held_posted_or_numbered(
    suite: Suite, what: str, basket: dict[str, Any], reason: str, metadata: dict[str, str]
) -> None:
    request = sale_request(*basket["lines"])
    answer = refused(await suite.sell(request))
    assert answer.reason == reason
    assert metadata.items() <= answer.metadata.items()
    again = refused(await suite.sell(request))
    assert again == answer, "a refusal is an answer, and the id keeps it"
    await suite.settled()
    assert await suite.value("sales", "SELECT count(*) FROM sale") == 0
    assert await suite.value("ledger", "SELECT count(*) FROM entry") == 0
    for form in ("LIVE", "SKIN", "SKINLESS"):
        pool = await suite.pool(1, form)
        assert (pool.held_grams, pool.held_birds, pool.on_hand_grams) == (0, 0, 1_000_000)
    first = sold(await suite.sell(sale_request()))
    assert first.receipt_number.endswith("-000001"), "the refusal used no number"
    await suite.settled()
    await assert_invariants(suite)


async def test_a_store_in_maintenance_sells_nothing(suite: Suite) -> None:
    await suite.sql("sales", "UPDATE store SET status = 'MAINTENANCE' WHERE store_id = 1")
    assert refused(await suite.sell(sale_request())).reason == "STORE_IN_MAINTENANCE"
    sold(await suite.sell(sale_request(store_id=2)))


async def test_a_closed_day_sells_nothing(suite: Suite) -> None:
    day = sold(await suite.sell(sale_request())).business_date
    await suite.settled()
    await suite.sql("sales", "UPDATE business_day SET status = 'CLOSED' WHERE store_id = 1")
    assert refused(await suite.sell(sale_request())).reason == "DAY_CLOSED"
    assert day


async def test_who_may_not_sell_is_refused_and_nothing_is_stored(suite: Suite) -> None:
    request = sale_request()
    looker = Person("looker", permissions=frozenset({"sales.view"}), store_ids=frozenset({1}))
    assert refused(await suite.sell(request, looker)).reason == "PERMISSION_MISSING"
    elsewhere = Person("elsewhere", permissions=frozenset({"sales.create"}), store_ids=frozenset({2}))
    assert refused(await suite.sell(request, elsewhere)).reason == "STORE_NOT_FOUND"
    assert await suite.value("orchestrator", "SELECT count(*) FROM transaction_log") == 0
    sold(await suite.sell(request))


async def test_a_store_that_is_not_there_answers_like_one_that_is_not_yours(suite: Suite) -> None:
    person = Person("elsewhere", permissions=frozenset({"sales.create"}), store_ids=frozenset({2}))
    not_yours = refused(await suite.sell(sale_request(store_id=1), person))
    not_there = refused(await suite.sell(sale_request(store_id=77), ADMIN))
    assert (not_yours.reason, not_yours.message) == (not_there.reason, not_there.message)


async def test_bulk_needs_its_permission_and_takes_a_negotiated_price(suite: Suite) -> None:
    request = sale_request(line("BRO-SKIN", 20_000, price=15_000), sale_type=sale_pb2.SALE_TYPE_BULK)
    answer = refused(await suite.sell(request, CASHIER))
    assert (answer.reason, answer.metadata["permission"]) == ("PERMISSION_MISSING", "sales.bulk")
    assert await suite.value("orchestrator", "SELECT count(*) FROM transaction_log") == 0, "permissions may change"
    assert sold(await suite.sell(request, ADMIN)).total_paise == 300_000


async def test_credit_is_not_offered_yet(suite: Suite) -> None:
    request = sale_request(payment_method=payment_pb2.PAYMENT_METHOD_CREDIT, customer_id=str(uuid4()))
    assert refused(await suite.sell(request, ADMIN)).reason == "PAYMENT_METHOD_NOT_OFFERED"


BAD_FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("sale_id", {"sale_id": "not-a-uuid"}),
    ("store_id", {"store_id": -1}),
    ("sale_type", {"sale_type": 0}),
    ("sale_type", {"sale_type": 9}),
    ("payment_method", {"payment_method": 0}),
    ("customer_id", {"customer_id": "bob"}),
    ("lines[0].weight_grams", {"lines": [line("BRO-SKIN", 0)]}),
    ("lines[1].weight_grams", {"lines": [line("BRO-SKIN", 1), line("BRO-SKIN", -5)]}),
    ("lines[0].sku_code", {"lines": [line("bro skin", 1)]}),
    ("lines[0].price_paise_per_kg", {"lines": [line("BRO-SKIN", 1, price=0)]}),
    ("lines[0].bird_count", {"lines": [line("BRO-LIVE", 1_000)]}),
    ("lines[0].bird_count", {"lines": [line("BRO-SKIN", 1_000, bird_count=1)]}),
]


@pytest.mark.parametrize(("path", "fields"), BAD_FIELDS)
async def test_a_bad_field_is_named_by_its_path(suite: Suite, path: str, fields: dict[str, Any]) -> None:
    told = dict(fields)
    lines = told.pop("lines", [line("BRO-SKIN", 1_000)])
    answer = refused(await suite.sell(sale_request(*lines, **told), ADMIN))
    assert answer.refused_as == "INVALID_ARGUMENT"
    assert path in [violation.field for violation in answer.violations]


async def test_an_empty_cart_is_refused(suite: Suite) -> None:
    request = sale_request()
    del request.lines[:]
    answer = refused(await suite.sell(request))
    assert [violation.field for violation in answer.violations] == ["lines"]


async def test_one_id_with_two_contents_is_a_mismatch(suite: Suite) -> None:
    request = sale_request()
    first = sold(await suite.sell(request))
    other = sale_request(line("BRO-SKIN", 1), sale_id=request.sale_id)
    assert refused(await suite.sell(other)).reason == "IDEMPOTENCY_MISMATCH"
    elsewhere = sale_request(store_id=2, sale_id=request.sale_id)
    assert refused(await suite.sell(elsewhere)).reason == "IDEMPOTENCY_MISMATCH"
    assert sold(await suite.sell(request)) == first


async def test_a_duplicate_gets_the_first_answer_byte_for_byte(suite: Suite) -> None:
    request = sale_request()
    first = sold(await suite.sell(request))
    await suite.settled()
    await suite.sql("sales", "UPDATE store SET status = 'MAINTENANCE' WHERE store_id = 1")
    other_cashier = Person("cashier-2", permissions=CASHIER.permissions, store_ids=CASHIER.store_ids)
    again = await suite.sell(request, other_cashier)
    assert isinstance(again, CreateSaleResponse)
    assert again.replayed
    assert again.sale.SerializeToString(deterministic=True) == first.SerializeToString(deterministic=True)


async def test_one_id_fifty_times_at_once_is_one_sale_and_fifty_equal_answers(suite: Suite) -> None:
    request = sale_request()
    answers = await asyncio.gather(*(suite.sell(request) for _ in range(50)))
    assert len({sold(answer).SerializeToString(deterministic=True) for answer in answers}) == 1
    assert [answer.replayed for answer in answers if isinstance(answer, CreateSaleResponse)].count(False) == 1
    await suite.settled()
    assert await suite.value("sales", "SELECT count(*) FROM sale") == 1
    await assert_invariants(suite)


async def test_a_caller_without_patience_gets_pending_and_later_the_sale(suite: Suite) -> None:
    request = sale_request()
    async with nothing_can_be_reserved(suite):
        answer = await suite.sell(request, timeout_s=0.7)
    assert sold(answer).status == sale_pb2.SALE_STATUS_PENDING
    await suite.settled()
    assert sold(await suite.sell(request)).status == sale_pb2.SALE_STATUS_COMPLETED
    await assert_invariants(suite)


async def test_a_call_without_a_person_is_not_let_in(suite: Suite) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await suite.orchestrator.CreateSale(sale_request())
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
