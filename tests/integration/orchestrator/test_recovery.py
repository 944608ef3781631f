"""An orchestrator dies; what it had begun ends all the same, as it was begun."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta

import asyncpg
import grpc.aio
import pytest

from tests.suite import ADMIN, STORES, Suite, assert_invariants, line, sale_request, sold, suite_running, until
from venus.orchestrator.v1.orchestrator_service_pb2 import CreateSaleRequest
from venus.orchestrator.v1.transaction_pb2 import TransactionStatus
from venus.sales.v1 import sale_pb2
from venus_kit.testing import DatabaseUrls, ServiceKeys, SharedPostgres

LEASE_S = 2.0
BOUND_S = LEASE_S + 2.0


@pytest.fixture
async def shop(database_url: Callable[[str], DatabaseUrls], identities: ServiceKeys) -> AsyncIterator[Suite]:
    """The participants, with stock; no orchestrator yet."""
    settings = {"orchestrator": {"lease_s": LEASE_S}}
    async with suite_running(database_url, identities, with_orchestrator=False, settings=settings) as running:
        for store_id in STORES:
            await running.open_stock(store_id, 1_000_000)
        yield running


async def killed(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def test_a_killed_orchestrator_in_the_middle_of_100_sales_loses_nothing(shop: Suite) -> None:
    process = await shop.spawn_orchestrator(VENUS_LEASE_S=str(LEASE_S))
    requests = [sale_request(line("BRO-SKIN", 100), store_id=store) for store in STORES for _ in range(34)]
    acknowledged: list[sale_pb2.Sale] = []
    in_the_middle = asyncio.Event()

    async def till(request: CreateSaleRequest) -> None:
        with suppress(grpc.aio.AioRpcError):
            sale = sold(await shop.sell(request))
            if sale.receipt_number:
                acknowledged.append(sale)
            if len(acknowledged) == 20:
                in_the_middle.set()

    tills = [asyncio.create_task(till(request)) for request in requests]
    await in_the_middle.wait()
    await killed(process)
    killed_at = time.monotonic()
    await asyncio.gather(*tills)
    await shop.start_orchestrator()
    await shop.settled()
    took_s = time.monotonic() - killed_at
    assert took_s < BOUND_S + 1.0, f"recovered in {took_s:.1f} s; a second is the restart's"
    recorded = {str(row["sale_id"]) for row in await shop.sql("sales", "SELECT sale_id FROM sale")}
    assert {sale.sale_id for sale in acknowledged} <= recorded, "no acknowledged sale is lost"
    await assert_invariants(shop)
    for request in requests:  # every till asks again with the same id and gets one answer
        sold(await shop.sell(request))
    await shop.settled()
    assert await shop.value("sales", "SELECT count(*) FROM sale") == len(requests)
    await assert_invariants(shop)


PLACES = [
    "SALE.reserve_stock.before_send",
    "SALE.reserve_stock.reply_got",
    "SALE.record_sale.before_send",
    "SALE.record_sale.reply_got",
    "SALE.post_entry.before_send",
    "SALE.commit_stock.reply_got",
]


async def crashed_at(shop: Suite, place: str, request: CreateSaleRequest) -> None:
    """An orchestrator dies at a place with one sale in hand."""
    process = await shop.spawn_orchestrator(VENUS_FAILPOINTS=f"{place}=crash", VENUS_LEASE_S=str(LEASE_S))
    with suppress(grpc.aio.AioRpcError):
        await shop.sell(request, timeout_s=5.0)
    async with asyncio.timeout(10):
        await process.wait()
    assert process.returncode == 137


@pytest.mark.parametrize("place", PLACES)
async def test_the_world_changes_between_crash_and_recovery_and_the_sale_does_not(
    shop: Suite, place: str, postgres: SharedPostgres
) -> None:
    """Price edited, store put in maintenance, midnight passed: the frozen quote decides."""
    request = sale_request()
    await crashed_at(shop, place, request)
    before = await shop.value("orchestrator", "SELECT business_date FROM transaction_log")
    await shop.sql(
        "sales",
        "INSERT INTO store_price (store_id, sku_code, effective_on, price_paise_per_kg, set_by)"
        " SELECT store_id, 'BRO-SKIN', '2025-03-01', 99999, 'owner' FROM store",
    )
    await shop.sql("sales", "UPDATE store SET status = 'MAINTENANCE'")
    postgres.shift_time(shop.urls["sales"], timedelta(hours=20))
    await shop.start_orchestrator()
    await shop.settled()
    await until_answered(shop, request.sale_id)
    answer = sold(await shop.sell(request))
    assert answer.total_paise == 72_500
    assert answer.business_date == before.isoformat()
    assert before.strftime("%Y%m%d") in answer.receipt_number
    await assert_invariants(shop)


async def test_recovery_begins_at_start_without_new_traffic(shop: Suite) -> None:
    request = sale_request()
    await crashed_at(shop, "SALE.record_sale.before_send", request)
    await asyncio.sleep(LEASE_S)
    await shop.start_orchestrator()
    started = time.monotonic()
    await shop.settled()
    assert time.monotonic() - started < 1.0
    assert (await shop.transaction(request.sale_id)).status == TransactionStatus.TRANSACTION_STATUS_COMPLETED


async def test_a_sale_whose_time_ran_out_is_undone(shop: Suite) -> None:
    request = sale_request()
    await crashed_at(shop, "SALE.record_sale.before_send", request)
    await asyncio.sleep(LEASE_S)
    await shop.start_orchestrator(saga_ttl_s=0.5)
    await shop.settled()
    shown = await shop.transaction(request.sale_id)
    assert shown.status == TransactionStatus.TRANSACTION_STATUS_COMPENSATED
    answer = await shop.sell(request)
    assert getattr(answer, "reason", "") == "TIMED_OUT"
    assert (await shop.pool(1, "SKIN")).available_grams == 1_000_000
    await assert_invariants(shop)


async def test_a_second_replica_answers_for_the_first(shop: Suite) -> None:
    """The same id at two replicas at once: one sale, equal answers."""
    await shop.start_orchestrator()
    first = shop.orchestrator
    await shop.start_orchestrator()
    second = shop.orchestrator
    requests = [sale_request(line("BRO-SKIN", 100)) for _ in range(20)]
    metadata = shop.as_person(ADMIN)
    answers = await asyncio.gather(
        *(stub.CreateSale(request, metadata=metadata, timeout=20) for request in requests for stub in (first, second))
    )
    for one, two in zip(answers[::2], answers[1::2], strict=True):
        assert one.sale == two.sale
    await shop.settled()
    assert await shop.value("sales", "SELECT count(*) FROM sale") == 20
    await assert_invariants(shop)


async def test_a_participant_that_comes_back_finishes_what_waited(
    database_url: Callable[[str], DatabaseUrls], identities: ServiceKeys
) -> None:
    """The ledger is down: the sale is recorded and acknowledged, its entry follows."""
    async with suite_running(database_url, identities) as suite:
        await suite.open_stock(1, 1_000_000)
        connection = await asyncpg.connect(suite.urls["ledger"].migrator)
        await connection.execute("BEGIN; LOCK TABLE entry IN EXCLUSIVE MODE")
        answer = sold(await suite.sell(sale_request()))
        assert answer.receipt_number
        await asyncio.sleep(0.5)
        assert await suite.value("orchestrator", "SELECT count(*) FROM transaction_log WHERE finished_at IS NULL") == 1
        await connection.close()
        await suite.settled()
        await assert_invariants(suite)


async def until_answered(shop: Suite, sale_id: str) -> None:
    async def answered() -> bool:
        return bool((await shop.transaction(sale_id)).sale.receipt_number)

    await until(answered, 10)
