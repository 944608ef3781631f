"""Many tills at once: nothing is oversold, nothing is lost, everything adds up."""

import asyncio
import random
from collections.abc import Callable

import pytest

from tests.suite import STORES, Suite, assert_invariants, line, refused, sale_request, sold, suite_running, until
from venus.orchestrator.v1.orchestrator_service_pb2 import CreateSaleResponse
from venus.orchestrator.v1.transaction_pb2 import TransactionStatus
from venus.sales.v1 import sale_pb2
from venus_kit.errors import Refusal
from venus_kit.testing import DatabaseUrls, ServiceKeys

POOLS = ("BRO-SKIN", "BRO-SKINLESS", "PC-SKIN")


async def test_two_tills_cannot_sell_the_last_chicken_twice(suite: Suite) -> None:
    await suite.sql("inventory", "UPDATE pool SET on_hand_grams = 10000 WHERE store_id = 1 AND inventory_type = 'SKIN'")
    answers = await asyncio.gather(*(suite.sell(sale_request(line("BRO-SKIN", 8_000))) for _ in range(2)))
    assert sum(isinstance(answer, CreateSaleResponse) for answer in answers) == 1
    (loser,) = [answer for answer in answers if isinstance(answer, Refusal)]
    assert loser.reason == "INSUFFICIENT_STOCK"
    await suite.settled()
    assert (await suite.pool(1, "SKIN")).on_hand_grams == 2_000


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read"])
async def test_200_sales_of_20_tills_on_3_hot_pools_with_stock_for_half(
    database_url: Callable[[str], DatabaseUrls], identities: ServiceKeys, isolation: str
) -> None:
    mode = {name: {"isolation": isolation} for name in ("inventory", "sales", "ledger", "orchestrator")}
    async with suite_running(database_url, identities, settings=mode) as suite:
        await suite.open_stock(1, 100_000)
        chance = random.Random(20260117)

        async def till(number: int) -> list[CreateSaleResponse | Refusal]:
            answers = []
            for _ in range(10):
                first, second = chance.sample(POOLS, 2)  # carts in either order
                answers.append(await suite.sell(sale_request(line(first, 1_500), line(second, 1_500))))
            return answers

        answers = [answer for got in await asyncio.gather(*map(till, range(20))) for answer in got]
        await suite.settled()
        sales = [answer.sale for answer in answers if isinstance(answer, CreateSaleResponse)]
        reasons = {answer.reason for answer in answers if isinstance(answer, Refusal)}
        assert reasons == {"INSUFFICIENT_STOCK"}
        assert 95 <= len(sales) <= 100, "300 kg in carts of 3 kg, and the rest refused"
        left = sum([row["on_hand_grams"] for row in await suite.sql("inventory", _POOLS_OF_STORE_1)])
        assert left + sum(one.weight_grams for sale in sales for one in sale.lines) == 300_000
        assert sorted(int(sale.receipt_number[-6:]) for sale in sales) == list(range(1, len(sales) + 1))
        await assert_invariants(suite)


_POOLS_OF_STORE_1 = """
SELECT on_hand_grams FROM pool
WHERE store_id = 1 AND (bird_type, inventory_type)
    IN (('BROILER', 'SKIN'), ('BROILER', 'SKINLESS'), ('PARENT_CULL', 'SKIN'))
"""


async def test_opposite_carts_are_all_answered(suite: Suite) -> None:
    carts = [("BRO-SKIN", "BRO-SKINLESS"), ("BRO-SKINLESS", "BRO-SKIN")] * 40
    answers = await asyncio.gather(
        *(suite.sell(sale_request(line(first, 100), line(second, 100))) for first, second in carts)
    )
    assert all(isinstance(answer, CreateSaleResponse) for answer in answers)
    await suite.settled()
    await assert_invariants(suite)


async def test_a_batch_is_answered_item_by_item(suite: Suite) -> None:
    """A bad field, a missing permission, a refusal, a repeat and 100 good sales in one gathered call."""
    good = [sale_request(line("BRO-SKIN", 100), store_id=store) for store in STORES for _ in range(34)]
    bad = sale_request(line("BRO-SKIN", 0))
    short = sale_request(line("BRO-SKIN", 100_000_000))
    unknown = sale_request(line("NO-SUCH", 100))
    not_mine = sale_request(store_id=99)
    requests = [bad, *good, good[0], short, unknown, not_mine]
    answers = await suite.sell_batch([suite.item(request) for request in requests])
    first_told = answers[1 : 1 + len(good)]
    sales = [sold(answer) for answer in first_told]
    assert [sale.sale_id for sale in sales] == [request.sale_id for request in good]
    assert {sale.status for sale in sales} == {sale_pb2.SALE_STATUS_COMPLETED}
    for store in STORES:
        numbers = [int(sale.receipt_number[-6:]) for sale in sales if sale.store_id == store]
        assert sorted(numbers) == list(range(1, 35))
    again = answers[1 + len(good)]
    assert sold(again) == sales[0]
    assert [told.replayed for told in (*first_told, again) if isinstance(told, CreateSaleResponse)] == [
        *[False] * len(good),
        True,
    ]
    assert [violation.field for violation in refused(answers[0]).violations] == ["lines[0].weight_grams"]
    assert [refused(answer).reason for answer in answers[-3:]] == [
        "INSUFFICIENT_STOCK",
        "SKU_NOT_SELLABLE",
        "STORE_NOT_FOUND",
    ]
    await suite.settled()
    ends = await suite.sql("orchestrator", "SELECT id::text, status FROM transaction_log WHERE status <> 'COMPLETED'")
    assert {row["id"]: row["status"] for row in ends} == {short.sale_id: "COMPENSATED", unknown.sale_id: "FAILED"}
    await assert_invariants(suite)


async def test_a_poison_item_does_not_touch_its_neighbours(suite: Suite) -> None:
    """A trigger breaks the transaction of one sale: the others of its cohort are sold, it waits for a person."""
    poison = sale_request(line("BRO-SKIN", 666))
    await suite.sql("inventory", _BREAKS_ON_666)
    await suite.sql("inventory", _WHEN_RESERVED)
    good = [suite.item(sale_request(line("BRO-SKIN", 100))) for _ in range(40)]
    answers = await suite.sell_batch([*good[:20], suite.item(poison, budget_s=1.0), *good[20:]])
    told = sold(answers.pop(20))
    assert (told.status, told.receipt_number) == (sale_pb2.SALE_STATUS_PENDING, ""), "there is no answer before an end"
    assert sorted(int(sold(answer).receipt_number[-6:]) for answer in answers) == list(range(1, 41))

    async def in_review() -> bool:
        await suite.sql("orchestrator", _DUE_AT_ONCE)  # its back-off would take ten seconds
        unended = await suite.sql("orchestrator", "SELECT status FROM transaction_log WHERE finished_at IS NULL")
        return [row["status"] for row in unended] == ["NEEDS_REVIEW"]

    await until(in_review)
    shown = await suite.transaction(poison.sale_id)
    assert shown.status == TransactionStatus.TRANSACTION_STATUS_NEEDS_REVIEW
    tries = [(step.name, step.outcome[:16]) for step in shown.steps]
    assert tries == [("quote", "done"), *[("reserve_stock", "unknown: code 13")] * 8]
    assert (shown.retry_count, shown.owner, shown.refusal.code) == (8, "", 0)
    assert shown.error_message.startswith("reserve_stock: code 13")
    await assert_invariants(suite, in_review=[poison.sale_id])
    pool = await suite.pool(1, "SKIN")
    assert (pool.on_hand_grams, pool.held_grams) == (996_000, 0)


_WHEN_RESERVED = "CREATE TRIGGER breaks BEFORE INSERT ON reservation_line FOR EACH ROW EXECUTE FUNCTION breaks()"
_DUE_AT_ONCE = "UPDATE transaction_log SET next_attempt_at = venus_now() WHERE next_attempt_at > venus_now()"
_BREAKS_ON_666 = """
CREATE FUNCTION breaks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.weight_grams = 666 THEN RAISE EXCEPTION 'poison' USING ERRCODE = 'data_exception'; END IF;
    RETURN NEW;
END $$
"""
