from uuid import UUID

import asyncpg
from google.rpc.code_pb2 import INTERNAL, INVALID_ARGUMENT

from tests.integration.ledger.books import (
    CREDIT,
    CUSTOMER,
    INT64_MAX,
    UPI,
    a_request,
    an_item,
    assert_book_balances,
    balances,
)
from tests.integration.ledger.conftest import RunningLedger
from tests.integration.ledger.refused import reason_of, refuses, told_in
from venus.ledger.v1 import ledger_service_pb2 as pb


async def _post(ledger: RunningLedger, *items: pb.PostEntryItem) -> list[pb.PostEntryOutcome]:
    reply = await ledger.orchestrator.BatchPostEntries(pb.BatchPostEntriesRequest(items=items))
    return list(reply.outcomes)


async def test_each_item_is_booked_under_its_own_actor_and_trace(ledger: RunningLedger) -> None:
    items = [
        an_item(a_request(1), actor="asha", trace_id="1" * 32),
        an_item(a_request(2, store_id=2, method=UPI, total_paise=100), actor="ravi", trace_id="2" * 32),
    ]

    first, second = [outcome.reply.entry for outcome in await _post(ledger, *items)]

    assert (first.entry_id, first.correlation_id) == (str(UUID(int=1)), "1" * 32)
    assert (second.entry_id, second.correlation_id) == (str(UUID(int=2)), "2" * 32)
    (posting,) = second.postings
    assert (posting.debit_account, posting.credit_account, posting.amount_paise) == (
        "store.2.till.upi",
        "store.2.sales",
        100,
    )
    connection = await asyncpg.connect(ledger.urls.service)
    rows = await connection.fetch("SELECT actor, trace_id, reference FROM entry ORDER BY entry_id")
    await connection.close()
    assert [tuple(row) for row in rows] == [
        ("asha", "1" * 32, str(UUID(int=1))),
        ("ravi", "2" * 32, str(UUID(int=2))),
    ]


async def test_a_sale_on_credit_is_owed_by_its_customer(ledger: RunningLedger) -> None:
    await _post(ledger, an_item(a_request(1, method=CREDIT, total_paise=360000)))

    assert await balances(ledger.urls.service) == {f"customer.{CUSTOMER}": 360000, "store.1.sales": -360000}


async def test_a_repeated_batch_gets_its_first_answers_byte_for_byte(ledger: RunningLedger) -> None:
    items = [an_item(a_request(number, store_id=1 + number % 3)) for number in range(1, 31)]
    first = await _post(ledger, *items)

    again = await _post(ledger, *[an_item(item.request, actor="ravi", trace_id="c" * 32) for item in reversed(items)])

    assert [o.SerializeToString() for o in reversed(again)] == [o.SerializeToString() for o in first]
    assert (await balances(ledger.urls.service))["store.1.sales"] == -10 * 72500


async def test_same_key_twice_in_batch(ledger: RunningLedger) -> None:
    told = await _post(ledger, an_item(a_request(1)), an_item(a_request(1)), an_item(a_request(1, total_paise=5)))

    assert told[0].HasField("reply")
    assert told[1] == told[0]
    assert reason_of(told[2].error) == ("ALREADY_EXISTS", "IDEMPOTENCY_MISMATCH")
    assert (await balances(ledger.urls.service))["store.1.till.cash"] == 72500


async def test_a_poison_item_does_not_touch_its_neighbours(ledger: RunningLedger) -> None:
    """A text that PostgreSQL cannot store; an amount beyond all money does not even come so far."""
    told = await _post(
        ledger,
        an_item(a_request(1)),
        an_item(a_request(2), actor="as\x00ha"),
        an_item(a_request(3)),
        an_item(a_request(4, total_paise=INT64_MAX)),
        an_item(a_request(5)),
    )

    assert [outcome.WhichOneof("outcome") for outcome in told] == ["reply", "error", "reply", "error", "reply"]
    assert (told[1].error.code, told[3].error.code) == (INTERNAL, INVALID_ARGUMENT)
    assert (await balances(ledger.urls.service))["store.1.till.cash"] == 3 * 72500
    await assert_book_balances(ledger.urls.migrator)


async def test_a_malformed_item_is_told_its_fields_and_the_others_are_booked(ledger: RunningLedger) -> None:
    told = await _post(
        ledger,
        an_item(pb.PostEntryRequest(store_id=1, entry_id="no uuid", business_date="2026-01-05")),
        an_item(a_request(1)),
        an_item(a_request(2, day="2026-02-30")),
    )

    assert reason_of(told[0].error) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert {violation.field for violation in told_in(told[0].error).violations} >= {"entry_id", "event"}
    assert told[1].HasField("reply")
    assert [violation.field for violation in told_in(told[2].error).violations] == ["business_date"]


async def test_a_closed_date_moves_to_the_next_open_date(ledger: RunningLedger) -> None:
    connection = await asyncpg.connect(ledger.urls.migrator)
    await connection.execute(
        "INSERT INTO ledger_day VALUES (1, '2026-01-05', 'CLOSED'), (1, '2026-01-06', 'CLOSED'),"
        " (1, '2026-01-07', 'OPEN'), (1, '2026-01-08', 'CLOSED')"
    )
    await connection.close()

    moved, elsewhere = [
        outcome.reply.entry for outcome in await _post(ledger, an_item(a_request(1)), an_item(a_request(2, store_id=2)))
    ]

    assert (moved.business_date, moved.original_date) == ("2026-01-07", "2026-01-05")
    assert (elsewhere.business_date, elsewhere.original_date) == ("2026-01-05", "2026-01-05")
    await assert_book_balances(ledger.urls.migrator)


async def test_a_date_closed_since_changes_no_first_answer(ledger: RunningLedger) -> None:
    first = await _post(ledger, an_item(a_request(1)))
    connection = await asyncpg.connect(ledger.urls.migrator)
    await connection.execute("INSERT INTO ledger_day VALUES (1, '2026-01-05', 'CLOSED')")
    await connection.close()

    assert await _post(ledger, an_item(a_request(1))) == first


async def test_a_sale_of_nothing_is_an_entry_without_postings(ledger: RunningLedger) -> None:
    (told,) = await _post(ledger, an_item(a_request(1, total_paise=0)))

    assert told.reply.entry.entry_id == str(UUID(int=1))
    assert list(told.reply.entry.postings) == []
    assert await balances(ledger.urls.service) == {}
    assert await _post(ledger, an_item(a_request(1, total_paise=0))) == [told]


async def test_only_the_orchestrator_books(ledger: RunningLedger) -> None:
    request = pb.BatchPostEntriesRequest(items=[an_item(a_request(1))])

    async with refuses("PERMISSION_DENIED", "PERMISSION_MISSING"):
        await ledger.sales.BatchPostEntries(request)
    async with refuses("PERMISSION_DENIED", "PERMISSION_MISSING"):
        await ledger.gateway.BatchPostEntries(request)
    assert await balances(ledger.urls.service) == {}


async def test_an_empty_batch_is_refused(ledger: RunningLedger) -> None:
    async with refuses("INVALID_ARGUMENT", "INVALID_REQUEST"):
        await ledger.orchestrator.BatchPostEntries(pb.BatchPostEntriesRequest())
