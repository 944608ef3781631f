"""The orchestrator's door: a till's request becomes a saga, and a saga's end becomes the till's answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

from services.orchestrator import replies
from services.orchestrator.domain.refusals import PaymentMethodNotOffered, TransactionNotFound
from services.orchestrator.sagas.sale import SALE, Order, OrderLine, Payload
from services.orchestrator.store import Filters, Scope, TransactionRow, Tx
from venus.orchestrator.v1 import orchestrator_service_pb2 as pb
from venus.orchestrator.v1 import orchestrator_service_pb2_grpc
from venus.sales.v1.sale_pb2 import SaleType
from venus.type.v1.payment_pb2 import PAYMENT_METHOD_CREDIT, PaymentMethod
from venus_kit import telemetry
from venus_kit.access import Person, current_caller
from venus_kit.deadline import remaining_s
from venus_kit.errors import NotSignedIn, Refusal
from venus_kit.grpc_status import status_of
from venus_kit.ids import fingerprint
from venus_kit.paging import decode_token, encode_token
from venus_kit.postgres import Database
from venus_kit.saga.answers import Answer, Waiter
from venus_kit.saga.run import SagaRun
from venus_kit.saga.runner import Runner
from venus_kit.wire import time_of

FINGERPRINT_VERSION: Final = 1
PAGE_SIZE: Final = 50
DEFAULT_PATIENCE_S: Final = 10.0
REPLY_MARGIN_S: Final = 0.1
"""What is kept of a caller's patience so that PENDING still reaches it."""
_DECIDING: Final = frozenset({"sales.bulk", "sales.credit"})
"""The permissions that the sales service looks at; the others need not travel."""


class OrchestratorHandlers(orchestrator_service_pb2_grpc.OrchestratorServiceServicer):
    """Serves OrchestratorService."""

    def __init__(self, runner: Runner, database: Database[Tx], admit: Callable[[Any], Person]) -> None:
        """Submit to `runner`, read from `database`; `admit` checks one item of a batch and tells whose it is."""
        self._runner = runner
        self._database = database
        self._admit = admit

    async def CreateSale(self, request: pb.CreateSaleRequest, context: Any) -> pb.CreateSaleResponse:
        person = _person()
        left_s = remaining_s()
        patience_s = DEFAULT_PATIENCE_S if left_s is None else left_s - REPLY_MARGIN_S
        run = self._run(request, person, telemetry.current_traceparent())
        waiter = self._runner.submit(run)
        try:
            await asyncio.wait([waiter.future], timeout=patience_s)
            return _reply_or_raise(request, run, waiter)
        finally:
            waiter.future.cancel()  # a till that went away must not be waited for

    async def BatchCreateSales(
        self, request: pb.BatchCreateSalesRequest, context: Any
    ) -> AsyncIterator[pb.BatchCreateSalesResponse]:
        waiting: dict[asyncio.Future[Answer], _Asked] = {}
        refused: list[pb.CreateSaleOutcome] = []
        for index, item in enumerate(request.items):
            try:
                asked = self._submit_item(index, item)
                waiting[asked.waiter.future] = asked
            except Refusal as refusal:
                refused.append(pb.CreateSaleOutcome(index=index, error=status_of(refusal)))
        try:
            if refused:
                yield pb.BatchCreateSalesResponse(outcomes=refused)
            while waiting:
                answered = await _next_group(waiting)
                yield pb.BatchCreateSalesResponse(outcomes=[asked.outcome() for asked in answered])
        finally:
            for asked in waiting.values():
                asked.give_up()

    def _submit_item(self, index: int, item: pb.CreateSaleItem) -> "_Asked":
        person = self._admit(item)
        traceparent = item.context.traceparent or telemetry.new_traceparent()
        patience_s = item.context.budget.ToMilliseconds() / 1000 or DEFAULT_PATIENCE_S
        span = telemetry.start_item_span("CreateSale", traceparent)
        try:
            run = self._run(item.request, person, traceparent)
            run.parent = span.traceparent
            waiter = self._runner.submit(run)
        except Refusal as refusal:
            span.end(refusal)
            raise
        return _Asked(index, item.request, run, waiter, span, time.monotonic() + patience_s - REPLY_MARGIN_S)

    def _run(self, request: pb.CreateSaleRequest, person: Person, traceparent: str) -> SagaRun:
        if request.payment_method == PAYMENT_METHOD_CREDIT:
            raise PaymentMethodNotOffered(payment_method="CREDIT")
        order = _order(request)
        payload = Payload(
            order=order,
            cashier={
                "subject": person.subject,
                "device_id": person.device_id,
                "permissions": sorted(person.permissions & _DECIDING),
            },
        )
        return SagaRun(
            id=UUID(request.sale_id),
            saga=SALE,
            payload=cast("dict[str, Any]", payload),
            store_id=request.store_id,
            trace_id=traceparent.split("-")[1],
            traceparent=traceparent,
            actor=person.subject,
            fingerprint=fingerprint(FINGERPRINT_VERSION, order),
            ttl_at_s=time.monotonic() + self._runner.limits.ttl_s,
        )

    async def GetTransaction(self, request: pb.GetTransactionRequest, context: Any) -> pb.GetTransactionResponse:
        row = await self._database.run(Tx.get_transaction, UUID(request.transaction_id), _scope())
        if row is None:
            raise TransactionNotFound(transaction_id=request.transaction_id)
        return pb.GetTransactionResponse(transaction=replies.transaction(row, with_steps=True))

    async def ListTransactions(self, request: pb.ListTransactionsRequest, context: Any) -> pb.ListTransactionsResponse:
        filters = _filters(request)
        after = _after(decode_token(request.page_token, asdict(filters), shape=(datetime, UUID)))
        size = request.page_size or PAGE_SIZE
        rows = await self._database.run(Tx.list_transactions, _scope(), filters, after, size + 1)
        page = rows[:size]
        token = encode_token(asdict(filters), _key(page[-1])) if len(rows) > size else ""
        return pb.ListTransactionsResponse(
            transactions=[replies.transaction(row, with_steps=False) for row in page], next_page_token=token
        )


class _Asked:
    """One till that waits for its sale."""

    def __init__(
        self,
        index: int,
        request: pb.CreateSaleRequest,
        run: SagaRun,
        waiter: Waiter,
        span: telemetry.ItemSpan,
        until_s: float,
    ) -> None:
        self.index = index
        self.request = request
        self.run = run
        self.waiter = waiter
        self.span = span
        self.until_s = until_s

    def outcome(self) -> pb.CreateSaleOutcome:
        """What the till is told now."""
        try:
            reply = _reply_or_raise(self.request, self.run, self.waiter)
        except Refusal as error:
            self.span.end(error)
            return pb.CreateSaleOutcome(index=self.index, error=status_of(error))
        self.span.end()
        return pb.CreateSaleOutcome(index=self.index, reply=reply)

    def give_up(self) -> None:
        """The stream is gone; the saga goes on."""
        self.waiter.future.cancel()
        self.span.end()


async def _next_group(waiting: dict[asyncio.Future[Answer], _Asked]) -> Sequence[_Asked]:
    """Wait for answers or for the end of somebody's patience, and take those out of `waiting`."""
    patience_s = min(asked.until_s for asked in waiting.values()) - time.monotonic()
    done, _ = await asyncio.wait(waiting, timeout=max(0.0, patience_s), return_when=asyncio.FIRST_COMPLETED)
    now = time.monotonic()
    answered = [future for future, asked in waiting.items() if future in done or asked.until_s <= now]
    return [waiting.pop(future) for future in answered]


def _reply_or_raise(request: pb.CreateSaleRequest, run: SagaRun, waiter: Waiter) -> pb.CreateSaleResponse:
    """The saga's answer, or PENDING while there is none; raises its refusal."""
    if not waiter.future.done():
        waiter.future.cancel()
        return pb.CreateSaleResponse(sale=replies.pending_sale(request, run.trace_id), replayed=waiter.replayed)
    answer = waiter.future.result()
    if isinstance(answer.outcome, Refusal):
        raise answer.outcome
    return pb.CreateSaleResponse(sale=replies.sale(answer.outcome), replayed=answer.replayed)


def _order(request: pb.CreateSaleRequest) -> Order:
    lines = [
        OrderLine(
            sku_code=line.sku_code,
            weight_grams=line.weight_grams,
            bird_count=line.bird_count,
            price_paise_per_kg=line.price_paise_per_kg if line.HasField("price_paise_per_kg") else None,
        )
        for line in request.lines
    ]
    return Order(
        sale_id=str(UUID(request.sale_id)),
        store_id=request.store_id,
        sale_type=SaleType.Name(request.sale_type),
        payment_method=PaymentMethod.Name(request.payment_method),
        customer_id=str(UUID(request.customer_id)) if request.customer_id else "",
        lines=lines,
    )


def _person() -> Person:
    person = current_caller().person
    if person is None:
        raise NotSignedIn
    return person


def _scope() -> Scope:
    person = _person()
    return Scope(person.all_stores, person.store_ids)


def _filters(request: pb.ListTransactionsRequest) -> Filters:
    return Filters(
        status=replies.status_from_proto(request.status),
        store_id=request.store_id or None,
        created_from=_time(request, "create_time_from"),
        created_before=_time(request, "create_time_before"),
        trace_id=request.trace_id or None,
    )


def _time(request: pb.ListTransactionsRequest, field: str) -> datetime | None:
    return time_of(field, getattr(request, field)) if cast("Any", request).HasField(field) else None


def _key(row: TransactionRow) -> tuple[datetime, UUID]:
    return row.created_at, UUID(int=row.log.id.int)  # the driver's UUIDs are of a class of their own


def _after(key: Sequence[object] | None) -> tuple[datetime, UUID] | None:
    return cast("tuple[datetime, UUID]", tuple(key)) if key else None
