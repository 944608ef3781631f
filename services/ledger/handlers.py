"""The ledger's door: proto to domain values, to the operation, and back; decides nothing."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from prometheus_client import Counter

from services.ledger import operations
from services.ledger.domain.accounts import Account, PaymentMethod, Sale
from services.ledger.domain.entries import Booked, Entry, EntryKind, Event
from services.ledger.domain.stores import StoreFacts, StoreStatus
from services.ledger.store import Tx
from venus.ledger.v1 import account_pb2, ledger_service_pb2_grpc
from venus.ledger.v1 import ledger_service_pb2 as pb
from venus.type.v1 import payment_pb2, store_pb2
from venus_kit import telemetry
from venus_kit.access import current_caller
from venus_kit.batch import BatchDoor
from venus_kit.errors import NotSignedIn
from venus_kit.lane import Lane
from venus_kit.postgres import Database
from venus_kit.wire import date_of, timestamp_of, trace_id_of

ENTRIES: Final = Counter("venus_ledger_entries_total", "Entries booked, without repeats.", ["kind"])

_PAYMENT_METHOD: Final = {payment_pb2.PaymentMethod.Value(f"PAYMENT_METHOD_{word}"): word for word in PaymentMethod}
_STORE_STATUS: Final = {store_pb2.StoreStatus.Value(f"STORE_STATUS_{word}"): word for word in StoreStatus}
_TO_ENTRY_KIND: Final = {word: account_pb2.EntryKind.Value(f"ENTRY_KIND_{word}") for word in EntryKind}


class LedgerHandlers(ledger_service_pb2_grpc.LedgerServiceServicer):
    """Serves LedgerService over one database."""

    def __init__(self, database: Database[Tx], batches: BatchDoor) -> None:
        """Calls of PostEntry that meet share one transaction, whether they come alone or in batches."""
        self._database = database
        self._batches = batches
        self.post_lane: Lane[Event, Booked] = Lane(self._post, name="post_entries")

    async def close(self) -> None:
        """Wait until every call that came in is answered."""
        await self.post_lane.close()

    async def PostEntry(self, request: pb.PostEntryRequest, context: Any) -> pb.PostEntryResponse:
        event = _event(request, current_caller().name, telemetry.current_trace_id())
        return _posted(await self.post_lane.run(event))

    async def BatchPostEntries(self, request: pb.BatchPostEntriesRequest, context: Any) -> pb.BatchPostEntriesResponse:
        outcomes = await self._batches.serve(
            request.items,
            pb.PostEntryOutcome,
            name="PostEntry",
            read=_event_of_item,
            run=self.post_lane.run_all,
            write=_posted,
        )
        return pb.BatchPostEntriesResponse(outcomes=outcomes)

    async def GetAccount(self, request: pb.GetAccountRequest, context: Any) -> pb.GetAccountResponse:
        person = current_caller().person
        if person is None:
            raise NotSignedIn
        account = await self._database.run(
            operations.get_account, request.account, all_stores=person.all_stores, store_ids=person.store_ids
        )
        return pb.GetAccountResponse(account=_account(account))

    async def ListAccounts(self, request: pb.ListAccountsRequest, context: Any) -> pb.ListAccountsResponse:
        accounts = await self._database.run(Tx.list_accounts, request.store_id)
        return pb.ListAccountsResponse(accounts=[_account(account) for account in accounts])

    async def GetEntry(self, request: pb.GetEntryRequest, context: Any) -> pb.GetEntryResponse:
        entry = await self._database.run(operations.get_entry, request.store_id, UUID(request.entry_id))
        return pb.GetEntryResponse(entry=_entry(entry))

    async def ApplyStoreFacts(self, request: pb.ApplyStoreFactsRequest, context: Any) -> pb.ApplyStoreFactsResponse:
        version = await self._database.run(Tx.apply_store_facts, _store_facts(request.store))
        return pb.ApplyStoreFactsResponse(version=version)

    async def _post(self, events: Sequence[Event]) -> Sequence[Booked | Exception]:
        """Book, and count what was committed now: each id once, however often it stood in the batch."""
        outcomes = await self._database.run_batch(operations.post_entries, events)
        new = (outcome.entry for outcome in outcomes if isinstance(outcome, Booked) and not outcome.replayed)
        for entry in {entry.entry_id: entry for entry in new}.values():
            ENTRIES.labels(entry.kind).inc()
        return outcomes


def _event_of_item(item: pb.PostEntryItem) -> Event:
    return _event(
        item.request, item.context.actor.subject or current_caller().name, trace_id_of(item.context.traceparent)
    )


def _event(request: pb.PostEntryRequest, actor: str, trace_id: str) -> Event:
    return Event(
        entry_id=UUID(request.entry_id),
        store_id=request.store_id,
        original_date=date_of("business_date", request.business_date),
        sale=_sale(request.sale),
        actor=actor,
        trace_id=trace_id,
    )


def _sale(facts: pb.SaleFacts) -> Sale:
    return Sale(
        sale_id=UUID(facts.sale_id),
        payment_method=_PAYMENT_METHOD[facts.payment_method],
        total_paise=facts.total_paise,
        customer_id=UUID(facts.customer_id) if facts.customer_id else None,
    )


def _store_facts(facts: store_pb2.StoreFacts) -> StoreFacts:
    return StoreFacts(facts.store_id, _STORE_STATUS[facts.status], facts.time_zone, facts.version)


def _account(account: Account) -> account_pb2.Account:
    return account_pb2.Account(
        account=account.code,
        store_id=account.store_id,
        debit_paise=account.debit_paise,
        credit_paise=account.credit_paise,
        balance_paise=account.balance_paise,
        sequence=account.sequence,
    )


def _posted(booked: Booked) -> pb.PostEntryResponse:
    return pb.PostEntryResponse(entry=_entry(booked.entry))


def _entry(entry: Entry) -> account_pb2.Entry:
    return account_pb2.Entry(
        entry_id=str(entry.entry_id),
        kind=_TO_ENTRY_KIND[entry.kind],
        store_id=entry.store_id,
        business_date=entry.business_date.isoformat(),
        original_date=entry.original_date.isoformat(),
        reference=entry.reference,
        correlation_id=entry.trace_id,
        postings=[
            account_pb2.Posting(
                debit_account=posting.debit_account,
                credit_account=posting.credit_account,
                amount_paise=posting.amount_paise,
            )
            for posting in entry.postings
        ],
        create_time=timestamp_of(entry.created_at),
    )
