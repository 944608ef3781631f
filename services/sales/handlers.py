"""The door of sales: proto to domain values, to the operation, and back; decides nothing."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

from prometheus_client import Counter

from services.sales import operations
from services.sales.domain.fate import Closed, Recorded
from services.sales.domain.quote import Basket, BasketLine, Quote
from services.sales.domain.sale import (
    BirdType,
    InventoryType,
    NewSale,
    PaymentMethod,
    PaymentStatus,
    Sale,
    SaleKey,
    SaleLine,
    SaleStatus,
    SaleType,
)
from services.sales.operations import SaleFilter
from services.sales.store import Tx
from venus.sales.v1 import sale_pb2, sales_service_pb2_grpc
from venus.sales.v1 import sales_service_pb2 as pb
from venus.type.v1 import payment_pb2, stock_pb2
from venus_kit.batch import BatchDoor
from venus_kit.errors import FieldViolation, InvalidRequest
from venus_kit.lane import Lane
from venus_kit.postgres import Database
from venus_kit.wire import date_of, time_of, timestamp_of, trace_id_of

_RECORDED: Final = Counter(
    "venus_sales_recorded_total", "Sales recorded, without repeats.", ["sale_type", "payment_method"]
)

Word = TypeVar("Word")

_SALE_TYPE: Final = {sale_pb2.SaleType.Value(f"SALE_TYPE_{word}"): word for word in SaleType}
_PAYMENT_METHOD: Final = {payment_pb2.PaymentMethod.Value(f"PAYMENT_METHOD_{word}"): word for word in PaymentMethod}
_SALE_STATUS: Final = {sale_pb2.SaleStatus.Value(f"SALE_STATUS_{word}"): word for word in SaleStatus}
_BIRD_TYPE: Final = {stock_pb2.BirdType.Value(f"BIRD_TYPE_{word}"): word for word in BirdType}
_INVENTORY_TYPE: Final = {stock_pb2.InventoryType.Value(f"INVENTORY_TYPE_{word}"): word for word in InventoryType}

_SALE_TYPE_PROTO: Final = {word: number for number, word in _SALE_TYPE.items()}
_PAYMENT_METHOD_PROTO: Final = {word: number for number, word in _PAYMENT_METHOD.items()}
_SALE_STATUS_PROTO: Final = {word: number for number, word in _SALE_STATUS.items()}
_PAYMENT_STATUS_PROTO: Final = {word: sale_pb2.PaymentStatus.Value(f"PAYMENT_STATUS_{word}") for word in PaymentStatus}
_BIRD_TYPE_PROTO: Final = {word: number for number, word in _BIRD_TYPE.items()}
_INVENTORY_TYPE_PROTO: Final = {word: number for number, word in _INVENTORY_TYPE.items()}


class SalesHandlers(sales_service_pb2_grpc.SalesServiceServicer):
    """Serves SalesService over one database."""

    def __init__(self, database: Database[Tx], batches: BatchDoor) -> None:
        """Batches that meet share one transaction."""
        self._database = database
        self._batches = batches
        self.quote_lane: Lane[Basket, Quote] = Lane(
            partial(database.run_batch, operations.quote_sales), name="quote_sales"
        )
        self.record_lane: Lane[NewSale, Recorded] = Lane(self._record, name="record_sales")
        self.close_lane: Lane[SaleKey, Recorded | Closed] = Lane(
            partial(database.run_batch, operations.close_sales), name="close_sales"
        )

    async def close(self) -> None:
        """Wait until every call that came in is answered."""
        for lane in (self.quote_lane, self.record_lane, self.close_lane):
            await lane.close()

    async def BatchQuoteSales(self, request: pb.BatchQuoteSalesRequest, context: Any) -> pb.BatchQuoteSalesResponse:
        outcomes = await self._batches.serve(
            request.items,
            pb.QuoteSaleOutcome,
            name="QuoteSale",
            read=_basket,
            run=self.quote_lane.run_all,
            write=_quoted,
        )
        return pb.BatchQuoteSalesResponse(outcomes=outcomes)

    async def BatchRecordSales(self, request: pb.BatchRecordSalesRequest, context: Any) -> pb.BatchRecordSalesResponse:
        outcomes = await self._batches.serve(
            request.items,
            pb.RecordSaleOutcome,
            name="RecordSale",
            read=_new_sale,
            run=self.record_lane.run_all,
            write=_recorded,
        )
        return pb.BatchRecordSalesResponse(outcomes=outcomes)

    async def BatchCloseSales(self, request: pb.BatchCloseSalesRequest, context: Any) -> pb.BatchCloseSalesResponse:
        outcomes = await self._batches.serve(
            request.items,
            pb.CloseSaleOutcome,
            name="CloseSale",
            read=_key_to_close,
            run=self.close_lane.run_all,
            write=_closed,
        )
        return pb.BatchCloseSalesResponse(outcomes=outcomes)

    async def GetSale(self, request: pb.GetSaleRequest, context: Any) -> pb.GetSaleResponse:
        key = SaleKey(request.store_id, UUID(request.sale_id))
        return pb.GetSaleResponse(sale=_sale(await self._database.run(operations.get_sale, key)))

    async def ListSales(self, request: pb.ListSalesRequest, context: Any) -> pb.ListSalesResponse:
        page = await self._database.run(operations.list_sales, _filter(request), request.page_size, request.page_token)
        return pb.ListSalesResponse(sales=[_sale(sale) for sale in page.sales], next_page_token=page.next_page_token)

    async def _record(self, sales: Sequence[NewSale]) -> Sequence[Recorded | Exception]:
        """Record, and count what was committed now: each id once, however often it stood in the batch."""
        outcomes = await self._database.run_batch(operations.record_sales, sales)
        committed = {
            sale.key: sale
            for sale, outcome in zip(sales, outcomes, strict=True)
            if isinstance(outcome, Recorded) and not outcome.replayed
        }
        for sale in committed.values():
            _RECORDED.labels(sale.sale_type, sale.payment_method).inc()
        return outcomes


def _basket(item: pb.QuoteSaleItem) -> Basket:
    request = item.request
    return Basket(
        store_id=request.store_id,
        sale_type=_SALE_TYPE[request.sale_type],
        payment_method=_PAYMENT_METHOD[request.payment_method],
        customer_id=_id_or_none(request.customer_id),
        lines=tuple(_basket_line(line) for line in request.lines),
        permissions=frozenset(item.context.actor.permissions),
    )


def _basket_line(line: sale_pb2.LineRequest) -> BasketLine:
    return BasketLine(
        sku_code=line.sku_code,
        weight_grams=line.weight_grams,
        bird_count=line.bird_count,
        price_paise_per_kg=line.price_paise_per_kg if line.HasField("price_paise_per_kg") else None,
    )


def _quoted(quote: Quote) -> pb.QuoteSaleResponse:
    return pb.QuoteSaleResponse(
        business_date=quote.business_date.isoformat(),
        lines=[_line(line) for line in quote.lines],
        total_paise=quote.total_paise,
    )


def _new_sale(item: pb.RecordSaleItem) -> NewSale:
    request = item.request
    if not item.context.actor.subject:
        raise _invalid("context.actor", "must name the cashier")
    return NewSale(
        key=SaleKey(request.store_id, UUID(request.sale_id)),
        sale_type=_SALE_TYPE[request.sale_type],
        payment_method=_PAYMENT_METHOD[request.payment_method],
        customer_id=_id_or_none(request.customer_id),
        business_date=date_of("business_date", request.business_date),
        lines=tuple(_sold_line(f"lines[{index}]", line) for index, line in enumerate(request.lines)),
        total_paise=request.total_paise,
        hold_until=time_of("hold_until_time", request.hold_until_time),
        cashier=item.context.actor.subject,
        correlation_id=trace_id_of(item.context.traceparent),
    )


def _sold_line(path: str, line: sale_pb2.SaleLine) -> SaleLine:
    return SaleLine(
        sku_code=line.sku_code,
        sku_name=line.sku_name,
        bird_type=_known(_BIRD_TYPE, line.bird_type, f"{path}.bird_type"),
        inventory_type=_known(_INVENTORY_TYPE, line.inventory_type, f"{path}.inventory_type"),
        weight_grams=line.weight_grams,
        bird_count=line.bird_count,
        price_paise_per_kg=line.price_paise_per_kg,
        total_paise=line.total_paise,
    )


def _recorded(recorded: Recorded) -> pb.RecordSaleResponse:
    return pb.RecordSaleResponse(receipt_number=recorded.receipt_number, create_time=timestamp_of(recorded.created_at))


def _key_to_close(item: pb.CloseSaleItem) -> SaleKey:
    return SaleKey(item.request.store_id, UUID(item.request.sale_id))


def _closed(end: Recorded | Closed) -> pb.CloseSaleResponse:
    return pb.CloseSaleResponse(recorded=_recorded(end) if isinstance(end, Recorded) else None)


def _filter(request: pb.ListSalesRequest) -> SaleFilter:
    return SaleFilter(
        store_id=request.store_id,
        business_date=date_of("business_date", request.business_date) if request.business_date else None,
        status=_SALE_STATUS.get(request.status),
        payment_method=_PAYMENT_METHOD.get(request.payment_method),
    )


def _sale(sale: Sale) -> sale_pb2.Sale:
    return sale_pb2.Sale(
        sale_id=str(sale.key.sale_id),
        store_id=sale.key.store_id,
        receipt_number=sale.receipt_number,
        sale_type=_SALE_TYPE_PROTO[sale.sale_type],
        payment_method=_PAYMENT_METHOD_PROTO[sale.payment_method],
        customer_id=str(sale.customer_id) if sale.customer_id else "",
        total_paise=sale.total_paise,
        status=_SALE_STATUS_PROTO[sale.status],
        payment_status=_PAYMENT_STATUS_PROTO[sale.payment_status],
        business_date=sale.business_date.isoformat(),
        correlation_id=sale.correlation_id,
        cashier=sale.cashier,
        create_time=timestamp_of(sale.created_at),
        lines=[_line(line) for line in sale.lines],
    )


def _line(line: SaleLine) -> sale_pb2.SaleLine:
    return sale_pb2.SaleLine(
        sku_code=line.sku_code,
        sku_name=line.sku_name,
        bird_type=_BIRD_TYPE_PROTO[line.bird_type],
        inventory_type=_INVENTORY_TYPE_PROTO[line.inventory_type],
        weight_grams=line.weight_grams,
        bird_count=line.bird_count,
        price_paise_per_kg=line.price_paise_per_kg,
        total_paise=line.total_paise,
    )


def _id_or_none(text: str) -> UUID | None:
    return UUID(text) if text else None


def _known(words: Mapping[Any, Word], number: int, field: str) -> Word:
    """The word for an enum number that its proto does not check."""
    if number not in words:
        raise _invalid(field, "must be one of the defined values, and not 0")
    return words[number]


def _invalid(field: str, description: str) -> InvalidRequest:
    return InvalidRequest(violations=[FieldViolation(field, description)])
