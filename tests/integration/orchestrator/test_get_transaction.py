"""One saga as the log knows it, on its way and at each of its ends."""

from uuid import uuid4

import grpc.aio
import pytest

from tests.suite import ADMIN, CASHIER, Suite, line, nothing_can_be_reserved, refused, sale_request, sold, until
from venus.orchestrator.v1.orchestrator_service_pb2 import GetTransactionRequest
from venus.orchestrator.v1.transaction_pb2 import (
    TRANSACTION_STATUS_COMPENSATED,
    TRANSACTION_STATUS_COMPLETED,
    TRANSACTION_STATUS_FAILED,
    TRANSACTION_STATUS_PENDING,
    TRANSACTION_TYPE_SALE,
    Transaction,
)
from venus_kit.access import Person
from venus_kit.errors import Refusal
from venus_kit.grpc_status import refusal_of


async def asked(suite: Suite, transaction_id: str, person: Person) -> Refusal:
    request = GetTransactionRequest(transaction_id=transaction_id)
    return refused(await suite.ask(suite.orchestrator.GetTransaction, request, person))


def steps(shown: Transaction) -> list[tuple[str, int, str]]:
    return [(step.name, step.attempt, step.outcome) for step in shown.steps]


async def test_a_completed_sale_is_shown_whole(suite: Suite) -> None:
    request = sale_request()
    answer = await suite.sell(request)
    sale = sold(answer)
    await suite.settled()
    shown = await suite.transaction(request.sale_id)
    assert shown.transaction_id == request.sale_id
    assert (shown.transaction_type, shown.status) == (TRANSACTION_TYPE_SALE, TRANSACTION_STATUS_COMPLETED)
    assert shown.sale == sale, "the sale as its first answer told it"
    assert (shown.store_id, shown.business_date) == (1, sale.business_date)
    assert (shown.trace_id, shown.actor) == (sale.correlation_id, "cashier-1")
    assert (shown.owner, shown.epoch, shown.retry_count, shown.error_message) == ("", 1, 0, "")
    assert not shown.HasField("refusal")
    assert not shown.HasField("next_attempt_time")
    assert shown.create_time.ToNanoseconds() < shown.update_time.ToNanoseconds() <= shown.finish_time.ToNanoseconds()
    assert steps(shown)[:3] == [("quote", 1, "done"), ("reserve_stock", 1, "done"), ("record_sale", 1, "done")]
    assert sorted(steps(shown)[3:]) == [("commit_stock", 1, "done"), ("post_entry", 1, "done")]
    assert all(step.start_time.ToNanoseconds() <= step.end_time.ToNanoseconds() for step in shown.steps)


async def test_a_refused_quote_is_shown_as_failed_with_the_answer_that_the_till_got(suite: Suite) -> None:
    request = sale_request(line("NO-SUCH", 1))
    told = refused(await suite.sell(request))
    shown = await suite.transaction(request.sale_id)
    assert shown.status == TRANSACTION_STATUS_FAILED
    assert refusal_of(shown.refusal) == told
    assert shown.business_date == ""
    assert shown.HasField("finish_time")
    assert not shown.HasField("sale")
    assert steps(shown) == [("quote", 1, "refused SKU_NOT_SELLABLE")]


async def test_a_refused_step_is_shown_with_the_way_back(suite: Suite) -> None:
    request = sale_request(line("BRO-SKIN", 1_000_001))
    told = refused(await suite.sell(request))
    shown = await suite.transaction(request.sale_id)
    assert shown.status == TRANSACTION_STATUS_COMPENSATED
    assert refusal_of(shown.refusal) == told
    assert not shown.HasField("sale")
    assert steps(shown) == [
        ("quote", 1, "done"),
        ("reserve_stock", 1, "refused INSUFFICIENT_STOCK"),
        ("close", 1, "done"),
        ("undo reserve_stock", 1, "done"),
    ]


async def test_a_saga_on_its_way_is_shown_with_its_owner_and_put_aside_with_its_next_try(suite: Suite) -> None:
    request = sale_request()
    aside = Transaction()

    async def put_aside() -> bool:
        aside.CopyFrom(await suite.transaction(request.sale_id))
        return aside.HasField("next_attempt_time")

    async with nothing_can_be_reserved(suite):
        pending = sold(await suite.sell(request, timeout_s=1.0))
        under_way = await suite.transaction(request.sale_id)
        await until(put_aside)
    assert under_way.status == TRANSACTION_STATUS_PENDING
    assert under_way.owner
    assert not under_way.HasField("next_attempt_time")
    assert not under_way.HasField("finish_time")
    assert under_way.trace_id == pending.correlation_id
    assert (aside.status, aside.owner, aside.retry_count) == (TRANSACTION_STATUS_PENDING, "", 0)
    assert aside.error_message.startswith("reserve_stock: ")
    assert [name for name, _, _ in steps(aside)] == ["quote", "reserve_stock"]
    await suite.settled()
    assert (await suite.transaction(request.sale_id)).epoch > 1


async def test_a_saga_of_another_store_answers_like_one_that_is_not_there(suite: Suite) -> None:
    request = sale_request(store_id=1)
    sold(await suite.sell(request))
    elsewhere = Person("elsewhere", permissions=ADMIN.permissions, store_ids=frozenset({2}))
    not_theirs = await asked(suite, request.sale_id, elsewhere)
    not_there = await asked(suite, str(uuid4()), ADMIN)
    assert (not_theirs.reason, not_theirs.message) == (not_there.reason, not_there.message)
    assert not_theirs.reason == "TRANSACTION_NOT_FOUND"
    assert not_theirs.metadata == {"transaction_id": request.sale_id}


async def test_who_may_not_look_is_refused_and_a_bad_id_is_named(suite: Suite) -> None:
    assert (await asked(suite, str(uuid4()), CASHIER)).reason == "PERMISSION_MISSING"
    bad = await asked(suite, "not-a-uuid", ADMIN)
    assert [violation.field for violation in bad.violations] == ["transaction_id"]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await suite.orchestrator.GetTransaction(GetTransactionRequest(transaction_id=str(uuid4())))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
