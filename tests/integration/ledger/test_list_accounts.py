from tests.integration.ledger.books import CREDIT, UPI, a_request, an_item
from tests.integration.ledger.conftest import RunningLedger
from tests.integration.ledger.refused import refuses
from venus.ledger.v1 import ledger_service_pb2 as pb
from venus_kit.access import Person

MANAGER_OF_1 = Person("manager", frozenset({"ledger.view"}), store_ids=frozenset({1}))


async def test_a_manager_sees_the_accounts_of_the_store_by_code_and_no_others(ledger: RunningLedger) -> None:
    requests = [a_request(1), a_request(2, method=UPI), a_request(3, store_id=2), a_request(4, method=CREDIT)]
    await ledger.orchestrator.BatchPostEntries(
        pb.BatchPostEntriesRequest(items=[an_item(request) for request in requests])
    )

    reply = await ledger.gateway.ListAccounts(
        pb.ListAccountsRequest(store_id=1), metadata=ledger.as_person(MANAGER_OF_1)
    )

    assert [(a.account, a.store_id, a.balance_paise, a.sequence) for a in reply.accounts] == [
        ("store.1.sales", 1, -3 * 72500, 3),
        ("store.1.till.cash", 1, 72500, 1),
        ("store.1.till.upi", 1, 72500, 1),
    ]


async def test_a_store_that_sold_nothing_has_no_accounts(ledger: RunningLedger) -> None:
    reply = await ledger.gateway.ListAccounts(
        pb.ListAccountsRequest(store_id=1), metadata=ledger.as_person(MANAGER_OF_1)
    )

    assert list(reply.accounts) == []


async def test_another_store_is_not_there(ledger: RunningLedger) -> None:
    async with refuses("NOT_FOUND", "STORE_NOT_FOUND"):
        await ledger.gateway.ListAccounts(pb.ListAccountsRequest(store_id=2), metadata=ledger.as_person(MANAGER_OF_1))
