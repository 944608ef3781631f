"""What the orchestrator shows: sales as their first answer told them, and sagas as the log knows them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

from services.orchestrator.sagas.sale import Payload, sale_of
from services.orchestrator.store import TransactionRow
from venus.orchestrator.v1 import orchestrator_service_pb2 as pb
from venus.orchestrator.v1 import transaction_pb2
from venus.sales.v1 import sale_pb2
from venus_kit.grpc_status import status_of
from venus_kit.saga.answers import Happened
from venus_kit.saga.run import Status
from venus_kit.wire import timestamp_of

_STATUS: Final[Mapping[Status, Any]] = {
    status: transaction_pb2.TransactionStatus.Value(f"TRANSACTION_STATUS_{status.value}") for status in Status
}
_STATUS_BACK: Final = {number: status for status, number in _STATUS.items()}
_TYPE: Final[Mapping[str, Any]] = {"SALE": transaction_pb2.TRANSACTION_TYPE_SALE}


def status_from_proto(number: int) -> Status | None:
    """The filter's status; None for any."""
    return _STATUS_BACK.get(number)


def sale(happened: Happened) -> sale_pb2.Sale:
    """A sale whose pivot is known."""
    return sale_of(cast("Payload", happened.payload), happened.trace_id, happened.result)


def pending_sale(request: pb.CreateSaleRequest, trace_id: str) -> sale_pb2.Sale:
    """A sale whose end is not known yet: what was asked, and nothing that is not certain."""
    return sale_pb2.Sale(
        sale_id=request.sale_id,
        store_id=request.store_id,
        sale_type=request.sale_type,
        payment_method=request.payment_method,
        customer_id=request.customer_id,
        status=sale_pb2.SALE_STATUS_PENDING,
        correlation_id=trace_id,
    )


def transaction(row: TransactionRow, *, with_steps: bool) -> transaction_pb2.Transaction:
    """A saga as the log knows it."""
    log = row.log
    shown = transaction_pb2.Transaction(
        transaction_id=str(log.id),
        transaction_type=_TYPE.get(log.type, transaction_pb2.TRANSACTION_TYPE_UNSPECIFIED),
        status=_STATUS[log.status],
        store_id=log.store_id,
        business_date=log.business_date,
        trace_id=log.trace_id,
        retry_count=log.retry_count,
        owner=str(row.owner or ""),
        epoch=log.epoch,
        actor=row.actor,
        error_message=row.error_message,
        create_time=timestamp_of(row.created_at),
        update_time=timestamp_of(row.updated_at),
        next_attempt_time=timestamp_of(row.next_attempt_at),
        finish_time=timestamp_of(row.finished_at),
    )
    if log.refusal is not None:
        shown.refusal.CopyFrom(status_of(log.refusal))
    if log.type == "SALE" and log.result is not None:
        shown.sale.CopyFrom(sale_of(cast("Payload", log.payload), log.trace_id, log.result))
    if with_steps:
        shown.steps.extend(_step(tried) for tried in log.history)
    return shown


def _step(tried: Mapping[str, Any]) -> transaction_pb2.TransactionStep:
    return transaction_pb2.TransactionStep(
        name=tried["name"],
        attempt=tried["attempt"],
        start_time=timestamp_of(datetime.fromtimestamp(tried["started"], UTC)),
        end_time=timestamp_of(datetime.fromtimestamp(tried["ended"], UTC)),
        outcome=tried["outcome"],
    )
