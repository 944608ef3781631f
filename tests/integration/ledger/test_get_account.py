import pytest

from tests.integration.ledger.books import CREDIT, CUSTOMER, a_request, an_item
from tests.integration.ledger.conftest import RunningLedger
from tests.integration.ledger.refused import refuses
from venus.ledger.v1 import account_pb2
from venus.ledger.v1 import ledger_service_pb2 as pb
from venus_kit.access import Person

VIEW = frozenset({"ledger.view"})
OWNER = Person("owner", VIEW, all_stores=True)
MANAGER_OF_1 = Person("manager", VIEW, store_ids=frozenset({1}))


@pytest.fixture
async def booked(ledger: RunningLedger) -> RunningLedger:
    """A cash sale in store 1, one in store 2, one on credit in store 1."""
    requests = [a_request(1), a_request(2, store_id=2), a_request(3, method=CREDIT, total_paise=100)]
    await ledger.orchestrator.BatchPostEntries(
        pb.BatchPostEntriesRequest(items=[an_item(request) for request in requests])
    )
    return ledger


async def _get(ledger: RunningLedger, person: Person, account: str) -> account_pb2.Account:
    reply = await ledger.gateway.GetAccount(pb.GetAccountRequest(account=account), metadata=ledger.as_person(person))
    return reply.account


async def test_a_manager_sees_what_the_store_sold(booked: RunningLedger) -> None:
    assert await _get(booked, MANAGER_OF_1, "store.1.sales") == account_pb2.Account(
        account="store.1.sales",
        store_id=1,
        debit_paise=0,
        credit_paise=72600,
        balance_paise=-72600,
        sequence=2,
    )


async def test_who_sees_all_stores_sees_the_chain_s_accounts(booked: RunningLedger) -> None:
    assert (await _get(booked, OWNER, "store.2.till.cash")).balance_paise == 72500
    owed = await _get(booked, OWNER, f"customer.{CUSTOMER}")
    assert (owed.store_id, owed.balance_paise) == (0, 100)


@pytest.mark.parametrize("account", ["store.2.sales", "store.9.sales", f"customer.{CUSTOMER}", "bank"])
async def test_an_account_that_is_absent_or_not_yours_is_not_there(booked: RunningLedger, account: str) -> None:
    async with refuses("NOT_FOUND", "ACCOUNT_NOT_FOUND"):
        await _get(booked, MANAGER_OF_1, account)


async def test_a_scope_that_names_store_0_opens_no_chain_account(booked: RunningLedger) -> None:
    async with refuses("NOT_FOUND", "ACCOUNT_NOT_FOUND"):
        await _get(booked, Person("sly", VIEW, store_ids=frozenset({0, 1})), f"customer.{CUSTOMER}")


async def test_a_cashier_sees_no_account(booked: RunningLedger) -> None:
    async with refuses("PERMISSION_DENIED", "PERMISSION_MISSING"):
        await _get(booked, Person("asha", frozenset({"sales.create"}), store_ids=frozenset({1})), "store.1.sales")


async def test_nobody_sees_nothing(booked: RunningLedger) -> None:
    async with refuses("UNAUTHENTICATED", "NOT_SIGNED_IN"):
        await booked.gateway.GetAccount(pb.GetAccountRequest(account="store.1.sales"))


async def test_a_code_that_can_be_none_is_malformed(booked: RunningLedger) -> None:
    async with refuses("INVALID_ARGUMENT", "INVALID_REQUEST"):
        await _get(booked, OWNER, "Store 1")
