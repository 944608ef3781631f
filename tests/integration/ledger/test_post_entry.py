import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from tests.integration.ledger.books import CREDIT, a_request, an_item, assert_book_balances, balances
from tests.integration.ledger.conftest import RunningLedger
from tests.integration.ledger.refused import refuses
from venus.ledger.v1 import account_pb2
from venus.ledger.v1 import ledger_service_pb2 as pb
from venus_kit.testing import metric


async def test_a_cash_sale_fills_the_till(ledger: RunningLedger) -> None:
    entry = (await ledger.orchestrator.PostEntry(a_request(1))).entry

    assert (entry.entry_id, entry.kind, entry.store_id) == (str(UUID(int=1)), account_pb2.ENTRY_KIND_SALE, 1)
    assert (entry.business_date, entry.original_date, entry.reference) == ("2026-01-05", "2026-01-05", entry.entry_id)
    (posting,) = entry.postings
    assert posting == account_pb2.Posting(
        debit_account="store.1.till.cash", credit_account="store.1.sales", amount_paise=72500
    )
    age = datetime.now(UTC) - entry.create_time.ToDatetime(UTC)
    assert timedelta(seconds=-1) < age < timedelta(seconds=30)
    assert await balances(ledger.urls.service) == {"store.1.till.cash": 72500, "store.1.sales": -72500}


async def test_a_single_call_is_booked_under_the_service_that_made_it(ledger: RunningLedger) -> None:
    trace = "00-" + "d" * 32 + "-" + "e" * 16 + "-01"
    entry = (await ledger.orchestrator.PostEntry(a_request(1), metadata=(("traceparent", trace),))).entry

    connection = await asyncpg.connect(ledger.urls.service)
    row = await connection.fetchrow("SELECT actor, trace_id FROM entry")
    await connection.close()
    assert entry.correlation_id == "d" * 32
    assert row is not None
    assert tuple(row) == ("orchestrator", "d" * 32)


async def test_one_entry_id_50_times_at_once_is_one_entry_and_50_equal_answers(ledger: RunningLedger) -> None:
    before = metric("venus_ledger_entries_total", kind="SALE")

    told = await asyncio.gather(*(ledger.orchestrator.PostEntry(a_request(1)) for _ in range(50)))

    assert metric("venus_ledger_entries_total", kind="SALE") - before == 1
    assert {reply.SerializeToString() for reply in told} == {told[0].SerializeToString()}
    assert (await balances(ledger.urls.service))["store.1.till.cash"] == 72500
    await assert_book_balances(ledger.urls.migrator)


async def test_another_sale_under_a_used_id_is_refused_and_books_nothing(ledger: RunningLedger) -> None:
    await ledger.orchestrator.PostEntry(a_request(1))

    async with refuses("ALREADY_EXISTS", "IDEMPOTENCY_MISMATCH"):
        await ledger.orchestrator.PostEntry(a_request(1, total_paise=72501))
    async with refuses("ALREADY_EXISTS", "IDEMPOTENCY_MISMATCH"):
        await ledger.orchestrator.PostEntry(a_request(1, day="2026-01-06"))
    assert (await balances(ledger.urls.service))["store.1.till.cash"] == 72500


async def test_single_calls_and_batches_that_meet_share_transactions(ledger: RunningLedger) -> None:
    label = {"service": "ledger", "operation": "post_entries"}
    before = metric("venus_db_transaction_seconds_count", **label)

    await asyncio.gather(
        *(ledger.orchestrator.PostEntry(a_request(number)) for number in range(1, 41)),
        *(
            ledger.orchestrator.BatchPostEntries(
                pb.BatchPostEntriesRequest(items=[an_item(a_request(number)), an_item(a_request(number + 100))])
            )
            for number in range(1, 41)
        ),
    )

    assert metric("venus_db_transaction_seconds_count", **label) - before < 40
    assert (await balances(ledger.urls.service))["store.1.till.cash"] == 80 * 72500
    await assert_book_balances(ledger.urls.migrator)


async def test_a_sale_on_credit_without_a_customer_is_malformed(ledger: RunningLedger) -> None:
    facts = pb.SaleFacts(sale_id=str(UUID(int=1)), payment_method=CREDIT, total_paise=1)
    request = pb.PostEntryRequest(store_id=1, entry_id=str(UUID(int=1)), business_date="2026-01-05", sale=facts)

    async with refuses("INVALID_ARGUMENT", "INVALID_REQUEST"):
        await ledger.orchestrator.PostEntry(request)


async def test_only_the_orchestrator_books(ledger: RunningLedger) -> None:
    async with refuses("PERMISSION_DENIED", "PERMISSION_MISSING"):
        await ledger.sales.PostEntry(a_request(1))
    assert await balances(ledger.urls.service) == {}
