"""Sell a basket over the counter.

Until the sale is recorded everything can be undone; once recorded it will be finished, however long that takes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NotRequired, TypedDict

from google.protobuf.duration_pb2 import Duration

from services.orchestrator.clients import STEP_BUDGET_S, Clients
from venus.inventory.v1 import inventory_service_pb2 as stock
from venus.inventory.v1.reservation_pb2 import ReservationLine
from venus.ledger.v1 import ledger_service_pb2 as money
from venus.sales.v1 import sales_service_pb2 as book
from venus.sales.v1.sale_pb2 import (
    PAYMENT_STATUS_PAID,
    PAYMENT_STATUS_PENDING,
    SALE_STATUS_COMPLETED,
    LineRequest,
    Sale,
    SaleLine,
    SaleType,
)
from venus.type.v1.item_context_pb2 import Actor, ItemContext
from venus.type.v1.payment_pb2 import PAYMENT_METHOD_CREDIT, PaymentMethod
from venus.type.v1.stock_pb2 import BirdType, InventoryType
from venus_kit.ids import derive
from venus_kit.saga.batch_call import ask_all, no_facts
from venus_kit.saga.definition import Saga, finish, pivot, step
from venus_kit.saga.outcome import Done, Outcome
from venus_kit.saga.run import Attempt
from venus_kit.saga.runner import RECORDED

HOLD_TTL: Final = Duration(seconds=24 * 3600)
"""A backstop only: the hold of a saga ends with its saga."""


class OrderLine(TypedDict):
    """One line as the till asked for it."""

    sku_code: str
    weight_grams: int
    bird_count: int
    price_paise_per_kg: int | None


class Order(TypedDict):
    """The request, normalised; enum values by name."""

    sale_id: str
    store_id: int
    sale_type: str
    payment_method: str
    customer_id: str
    lines: list[OrderLine]


class Cashier(TypedDict):
    """The person at the till."""

    subject: str
    device_id: str
    permissions: list[str]


class QuotedLine(TypedDict):
    """One line as the sales service priced it."""

    sku_code: str
    sku_name: str
    bird_type: str
    inventory_type: str
    weight_grams: int
    bird_count: int
    price_paise_per_kg: int
    total_paise: int


class Quote(TypedDict):
    """What the sale is recorded with, whatever changes after."""

    business_date: str
    total_paise: int
    lines: list[QuotedLine]


class Payload(TypedDict):
    """The frozen input of a sale; the quote is there from begin on."""

    order: Order
    cashier: Cashier
    quote: NotRequired[Quote]


Sales = Sequence[Attempt]


async def quote(call: Clients, sales: Sales) -> list[Outcome]:
    """Price the baskets; no effect."""
    items = [
        book.QuoteSaleItem(context=_context(sale, with_permissions=True), request=_quote_request(sale.payload["order"]))
        for sale in sales
    ]
    request = book.BatchQuoteSalesRequest(items=items)
    return await ask_all(call.sales.BatchQuoteSales, request, _quoted, budget_s=STEP_BUDGET_S)


async def reserve_stock(call: Clients, sales: Sales) -> list[Outcome]:
    """Hold the goods."""
    items = [
        stock.ReserveStockItem(
            context=_context(sale),
            request=stock.ReserveStockRequest(
                store_id=_store(sale), reservation_id=str(sale.id), lines=_goods(sale), ttl=HOLD_TTL
            ),
        )
        for sale in sales
    ]
    request = stock.BatchReserveStockRequest(items=items)
    return await ask_all(call.inventory.BatchReserveStock, request, _held, budget_s=STEP_BUDGET_S)


async def release_stock(call: Clients, sales: Sales) -> list[Outcome]:
    """Give the goods back, or refuse for ever what never came."""
    items = [
        stock.ReleaseStockItem(
            context=_context(sale),
            request=stock.ReleaseStockRequest(store_id=_store(sale), reservation_id=str(sale.id)),
        )
        for sale in sales
    ]
    request = stock.BatchReleaseStockRequest(items=items)
    return await ask_all(call.inventory.BatchReleaseStock, request, no_facts, budget_s=STEP_BUDGET_S)


async def record_sale(call: Clients, sales: Sales) -> list[Outcome]:
    """Write the sale with its receipt number: the point of no return."""
    items = [book.RecordSaleItem(context=_context(sale), request=_record_request(sale)) for sale in sales]
    request = book.BatchRecordSalesRequest(items=items)
    return await ask_all(call.sales.BatchRecordSales, request, _recorded, budget_s=STEP_BUDGET_S)


async def close_sale(call: Clients, sales: Sales) -> list[Outcome]:
    """Make sure that the sale is never recorded, or learn that it was."""
    items = [
        book.CloseSaleItem(
            context=_context(sale), request=book.CloseSaleRequest(store_id=_store(sale), sale_id=str(sale.id))
        )
        for sale in sales
    ]
    request = book.BatchCloseSalesRequest(items=items)
    return await ask_all(call.sales.BatchCloseSales, request, _closed, budget_s=STEP_BUDGET_S)


async def post_entry(call: Clients, sales: Sales) -> list[Outcome]:
    """Book the money."""
    items = [money.PostEntryItem(context=_context(sale), request=_entry_request(sale)) for sale in sales]
    request = money.BatchPostEntriesRequest(items=items)
    return await ask_all(call.ledger.BatchPostEntries, request, no_facts, budget_s=STEP_BUDGET_S)


async def commit_stock(call: Clients, sales: Sales) -> list[Outcome]:
    """Take the goods out of the book; what it lacked goes before a person."""
    items = [
        stock.CommitStockItem(
            context=_context(sale),
            request=stock.CommitStockRequest(
                store_id=_store(sale),
                reservation_id=str(sale.id),
                business_date=sale.payload["quote"]["business_date"],
            ),
        )
        for sale in sales
    ]
    request = stock.BatchCommitStockRequest(items=items)
    outcomes = await ask_all(call.inventory.BatchCommitStock, request, _committed, budget_s=STEP_BUDGET_S)
    for sale, outcome in zip(sales, outcomes, strict=True):
        if isinstance(outcome, Done) and outcome.facts:
            sale.flag("OVERSALE_CORRECTION", **outcome.facts)
    return outcomes


SALE: Final = Saga(
    type="SALE",
    version=1,
    quote=quote,
    steps=(
        step("reserve_stock", reserve_stock, undo=release_stock),
        pivot("record_sale", record_sale, close=close_sale),
        finish("post_entry", post_entry),
        finish("commit_stock", commit_stock),
    ),
)


def sale_of(payload: Payload, trace_id: str, result: Mapping[str, Any]) -> Sale:
    """The sale as its first answer told it: made of frozen facts only, so it is the same every time."""
    order, priced = payload["order"], _quote_of(payload)
    sale = Sale(
        sale_id=order["sale_id"],
        store_id=order["store_id"],
        receipt_number=result["receipt_number"],
        sale_type=SaleType.Value(order["sale_type"]),
        payment_method=PaymentMethod.Value(order["payment_method"]),
        customer_id=order["customer_id"],
        total_paise=priced["total_paise"],
        status=SALE_STATUS_COMPLETED,
        payment_status=PAYMENT_STATUS_PENDING if _on_credit(order) else PAYMENT_STATUS_PAID,
        business_date=priced["business_date"],
        correlation_id=trace_id,
        cashier=payload["cashier"]["subject"],
        lines=_sale_lines(priced),
    )
    sale.create_time.FromJsonString(result["create_time"])
    return sale


def _on_credit(order: Order) -> bool:
    return order["payment_method"] == PaymentMethod.Name(PAYMENT_METHOD_CREDIT)


def _context(sale: Attempt, *, with_permissions: bool = False) -> ItemContext:
    cashier: Cashier = sale.payload["cashier"]
    actor = Actor(
        subject=cashier["subject"],
        device_id=cashier["device_id"],
        permissions=cashier["permissions"] if with_permissions else (),
    )
    return ItemContext(traceparent=sale.traceparent, actor=actor)


def _store(sale: Attempt) -> int:
    return sale.run.store_id


def _quote_of(payload: Payload) -> Quote:
    if "quote" not in payload:
        raise ValueError("a sale that was not quoted has no lines")
    return payload["quote"]


def _quote_request(order: Order) -> book.QuoteSaleRequest:
    return book.QuoteSaleRequest(
        store_id=order["store_id"],
        sale_type=SaleType.Value(order["sale_type"]),
        payment_method=PaymentMethod.Value(order["payment_method"]),
        customer_id=order["customer_id"],
        lines=[
            LineRequest(
                sku_code=line["sku_code"],
                weight_grams=line["weight_grams"],
                bird_count=line["bird_count"],
                price_paise_per_kg=line["price_paise_per_kg"],
            )
            for line in order["lines"]
        ],
    )


def _quoted(reply: book.QuoteSaleResponse) -> Mapping[str, Any]:
    frozen = Quote(
        business_date=reply.business_date,
        total_paise=reply.total_paise,
        lines=[
            QuotedLine(
                sku_code=line.sku_code,
                sku_name=line.sku_name,
                bird_type=BirdType.Name(line.bird_type),
                inventory_type=InventoryType.Name(line.inventory_type),
                weight_grams=line.weight_grams,
                bird_count=line.bird_count,
                price_paise_per_kg=line.price_paise_per_kg,
                total_paise=line.total_paise,
            )
            for line in reply.lines
        ],
    )
    return {**frozen}


def _goods(sale: Attempt) -> list[ReservationLine]:
    return [
        ReservationLine(
            bird_type=BirdType.Value(line["bird_type"]),
            inventory_type=InventoryType.Value(line["inventory_type"]),
            weight_grams=line["weight_grams"],
            bird_count=line["bird_count"],
        )
        for line in _quote_of(sale.payload)["lines"]
    ]


def _held(reply: stock.ReserveStockResponse) -> Mapping[str, Any]:
    return {"hold_until": reply.reservation.hold_until_time}


def _sale_lines(priced: Quote) -> list[SaleLine]:
    return [
        SaleLine(
            sku_code=line["sku_code"],
            sku_name=line["sku_name"],
            bird_type=BirdType.Value(line["bird_type"]),
            inventory_type=InventoryType.Value(line["inventory_type"]),
            weight_grams=line["weight_grams"],
            bird_count=line["bird_count"],
            price_paise_per_kg=line["price_paise_per_kg"],
            total_paise=line["total_paise"],
        )
        for line in priced["lines"]
    ]


def _record_request(sale: Attempt) -> book.RecordSaleRequest:
    order: Order = sale.payload["order"]
    priced = _quote_of(sale.payload)
    return book.RecordSaleRequest(
        store_id=order["store_id"],
        sale_id=order["sale_id"],
        sale_type=SaleType.Value(order["sale_type"]),
        payment_method=PaymentMethod.Value(order["payment_method"]),
        customer_id=order["customer_id"],
        business_date=priced["business_date"],
        lines=_sale_lines(priced),
        total_paise=priced["total_paise"],
        hold_until_time=sale.facts("reserve_stock")["hold_until"],
    )


def _recorded(reply: book.RecordSaleResponse) -> Mapping[str, Any]:
    return {"receipt_number": reply.receipt_number, "create_time": reply.create_time.ToJsonString()}


def _closed(reply: book.CloseSaleResponse) -> Mapping[str, Any]:
    return {RECORDED: _recorded(reply.recorded)} if reply.HasField("recorded") else {}


def _entry_request(sale: Attempt) -> money.PostEntryRequest:
    order: Order = sale.payload["order"]
    priced = _quote_of(sale.payload)
    return money.PostEntryRequest(
        store_id=order["store_id"],
        entry_id=str(derive(sale.id, "post_entry")),
        business_date=priced["business_date"],
        sale=money.SaleFacts(
            sale_id=order["sale_id"],
            payment_method=PaymentMethod.Value(order["payment_method"]),
            total_paise=priced["total_paise"],
            customer_id=order["customer_id"],
        ),
    )


def _committed(reply: stock.CommitStockResponse) -> Mapping[str, Any]:
    if not reply.corrections:
        return {}
    return {
        "corrections": [
            {
                "bird_type": BirdType.Name(line.bird_type),
                "inventory_type": InventoryType.Name(line.inventory_type),
                "weight_grams": line.weight_grams,
                "bird_count": line.bird_count,
            }
            for line in reply.corrections
        ]
    }
