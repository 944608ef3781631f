"""Sales to book in tests, and what must hold of the book whatever was booked."""

from datetime import date
from typing import Literal
from uuid import UUID

import asyncpg

from services.ledger.domain.accounts import PaymentMethod, Sale
from services.ledger.domain.entries import Event
from venus.ledger.v1 import ledger_service_pb2 as pb
from venus.type.v1 import item_context_pb2, payment_pb2

Isolation = Literal["read_committed", "repeatable_read", "serializable"]

MONDAY = date(2026, 1, 5)
CUSTOMER = "018f2f7e-0000-7000-8000-00000000000c"
CASH = payment_pb2.PAYMENT_METHOD_CASH
UPI = payment_pb2.PAYMENT_METHOD_UPI
CREDIT = payment_pb2.PAYMENT_METHOD_CREDIT
INT64_MAX = 2**63 - 1


def an_event(
    number: int,
    *,
    store_id: int = 1,
    total_paise: int = 72500,
    method: PaymentMethod = PaymentMethod.CASH,
    day: date = MONDAY,
    actor: str = "asha",
) -> Event:
    customer = UUID(CUSTOMER) if method is PaymentMethod.CREDIT else None
    return Event(
        UUID(int=number), store_id, day, Sale(UUID(int=number), method, total_paise, customer), actor, "a" * 32
    )


def a_request(
    number: int,
    *,
    store_id: int = 1,
    total_paise: int = 72500,
    method: payment_pb2.PaymentMethod.ValueType = CASH,
    day: str = "2026-01-05",
) -> pb.PostEntryRequest:
    facts = pb.SaleFacts(sale_id=str(UUID(int=number)), payment_method=method, total_paise=total_paise)
    if method == CREDIT:
        facts.customer_id = CUSTOMER
    return pb.PostEntryRequest(store_id=store_id, entry_id=str(UUID(int=number)), business_date=day, sale=facts)


def an_item(request: pb.PostEntryRequest, *, actor: str = "asha", trace_id: str = "a" * 32) -> pb.PostEntryItem:
    context = item_context_pb2.ItemContext(
        traceparent=f"00-{trace_id}-{'b' * 16}-00", actor=item_context_pb2.Actor(subject=actor)
    )
    return pb.PostEntryItem(context=context, request=request)


async def balances(url: str) -> dict[str, int]:
    """Every account's balance in paise, by code."""
    rows = await _fetch(url, "SELECT account, debit_paise - credit_paise AS balance FROM account")
    return {row["account"]: row["balance"] for row in rows}


async def assert_book_balances(url: str) -> None:
    """Debits = credits; each account is the sum of its postings, counted and in order; each entry adds up."""
    (total,) = await _fetch(url, "SELECT coalesce(sum(debit_paise - credit_paise), 0) AS left_over FROM account")
    assert total["left_over"] == 0
    assert await _fetch(url, _DRIFT) == []
    assert await _fetch(url, _BROKEN_HISTORY) == []
    assert await _fetch(url, _STRAY_DATES) == []


async def _fetch(url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


_SIDES = """
WITH side AS (
    SELECT debit_account AS account, debit_sequence AS sequence, debit_balance_paise AS balance_paise,
        amount_paise AS debit_paise, 0 AS credit_paise, created_at
    FROM posting
    UNION ALL
    SELECT credit_account, credit_sequence, credit_balance_paise, 0, amount_paise, created_at FROM posting
)
"""
_DRIFT = f"""{_SIDES}
SELECT account.account
FROM account
LEFT JOIN (
    SELECT account, sum(debit_paise) AS debit_paise, sum(credit_paise) AS credit_paise, count(*) AS postings
    FROM side GROUP BY account
) AS posted USING (account)
WHERE (account.debit_paise, account.credit_paise, account.sequence)
    IS DISTINCT FROM (coalesce(posted.debit_paise, 0), coalesce(posted.credit_paise, 0), coalesce(posted.postings, 0))
"""
_BROKEN_HISTORY = f"""{_SIDES}
SELECT *
FROM (
    SELECT account, sequence, balance_paise, created_at,
        row_number() OVER place AS place,
        sum(debit_paise - credit_paise) OVER place AS running_paise,
        lag(created_at) OVER place AS before
    FROM side WINDOW place AS (PARTITION BY account ORDER BY sequence)
) AS history
WHERE sequence <> place OR balance_paise <> running_paise OR created_at < before
"""
_STRAY_DATES = """
SELECT entry_id FROM posting JOIN entry USING (entry_id) WHERE posting.business_date <> entry.business_date
"""
