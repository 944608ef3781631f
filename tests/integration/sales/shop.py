"""Sales as its neighbours see it over the wire, and its database as only a test sees it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import asyncpg
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status

from services.sales.store import Tx
from venus.sales.v1 import sale_pb2
from venus.sales.v1 import sales_service_pb2 as pb
from venus.type.v1 import item_context_pb2, payment_pb2
from venus_kit.access import Person
from venus_kit.errors import ToldRefusal
from venus_kit.grpc_status import refusal_of
from venus_kit.identity import ASSERTION_KEY, AssertionSigner
from venus_kit.postgres import Connection, Database, Isolation
from venus_kit.sql import Queries
from venus_kit.testing import DatabaseUrls, metric

if TYPE_CHECKING:
    from venus.sales.v1.sales_service_pb2_grpc import SalesServiceAsyncStub  # exists for type checkers only

NAME: Final = "sales-test"
POS: Final = sale_pb2.SALE_TYPE_POS
BULK: Final = sale_pb2.SALE_TYPE_BULK
CASH: Final = payment_pb2.PAYMENT_METHOD_CASH
UPI: Final = payment_pb2.PAYMENT_METHOD_UPI
CREDIT: Final = payment_pb2.PAYMENT_METHOD_CREDIT
CUSTOMER_ID: Final = "018f2f7e-0000-7000-8000-00000000000c"
TRACE_ID: Final = "0af7651916cd43dd8448eb211c80319c"
VIEWER: Final = Person("manager-1", permissions=frozenset({"sales.view"}), store_ids=frozenset({1, 2, 3, 4}))

CATALOGUE: Final = """
INSERT INTO store (store_id, code, name, time_zone, status) VALUES
    (1, 'STORE-001', 'Market', 'Asia/Kolkata', 'ACTIVE'),
    (2, 'STORE-002', 'Station', 'Asia/Kolkata', 'ACTIVE'),
    (3, 'STORE-003', 'Harbour', 'Europe/Berlin', 'ACTIVE'),
    (4, 'STORE-004', 'Lake', 'Asia/Kolkata', 'MAINTENANCE');
INSERT INTO sku (code, name, bird_type, inventory_type, active) VALUES
    ('BRO-LIVE', 'Broiler live', 'BROILER', 'LIVE', true),
    ('BRO-SKIN', 'Broiler with skin', 'BROILER', 'SKIN', true),
    ('BRO-SKINLESS', 'Broiler skinless', 'BROILER', 'SKINLESS', true),
    ('PC-SKIN', 'Parent cull with skin', 'PARENT_CULL', 'SKIN', true),
    ('CW-001', 'Wings', 'BROILER', 'SKIN', false);
INSERT INTO store_price (store_id, sku_code, effective_on, price_paise_per_kg, set_by)
SELECT store.store_id, list.sku_code, '2020-01-01', list.price, 'owner'
FROM store, (VALUES ('BRO-LIVE', 12000), ('BRO-SKIN', 18000), ('BRO-SKINLESS', 22000), ('CW-001', 16000))
    AS list (sku_code, price);
"""


class Shop:
    """A running sales service with a small catalogue: stores 1-4 (3 in Berlin, 4 in maintenance)."""

    def __init__(self, stub: "SalesServiceAsyncStub", people: AssertionSigner, urls: DatabaseUrls) -> None:
        self.stub = stub
        self.urls = urls
        self._people = people

    async def quote(self, *items: pb.QuoteSaleItem) -> list[pb.QuoteSaleOutcome]:
        reply = await self.stub.BatchQuoteSales(pb.BatchQuoteSalesRequest(items=items))
        return list(reply.outcomes)

    async def record(self, *items: pb.RecordSaleItem) -> list[pb.RecordSaleOutcome]:
        reply = await self.stub.BatchRecordSales(pb.BatchRecordSalesRequest(items=items))
        return list(reply.outcomes)

    async def close(self, *items: pb.RecordSaleItem) -> list[pb.CloseSaleOutcome]:
        """Close the sales that these items would record."""
        request = pb.BatchCloseSalesRequest(items=[closing(item) for item in items])
        return list((await self.stub.BatchCloseSales(request)).outcomes)

    async def get(self, store_id: int, sale_id: str, person: Person = VIEWER) -> sale_pb2.Sale:
        request = pb.GetSaleRequest(store_id=store_id, sale_id=sale_id)
        return (await self.stub.GetSale(request, metadata=self._as(person))).sale

    async def page(self, store_id: int = 1, person: Person = VIEWER, **filters: Any) -> pb.ListSalesResponse:
        request = pb.ListSalesRequest(store_id=store_id, **filters)
        return await self.stub.ListSales(request, metadata=self._as(person))

    def _as(self, person: Person) -> tuple[tuple[str, str], ...]:
        return ((ASSERTION_KEY, self._people.assertion(person)),)

    async def wanted(self, basket: pb.QuoteSaleItem | None = None, sale_id: str = "") -> pb.RecordSaleItem:
        """What an orchestrator would ask to record after the quote of a basket."""
        item = basket or basket_of()
        (outcome,) = await self.quote(item)
        assert outcome.HasField("reply"), outcome
        return recording(item, outcome.reply, sale_id)

    async def until_open(self) -> None:
        """Wait until the service works again after its sessions were cut."""
        for _ in range(100):
            if (await self.quote(basket_of()))[0].HasField("reply"):
                return
            await asyncio.sleep(0.05)
        raise TimeoutError

    async def sql(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Run a statement as the owner of the schema."""
        connection = await asyncpg.connect(self.urls.migrator)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    async def count(self, table: str) -> int:
        """How many rows a table has."""
        (row,) = await self.sql(f"SELECT count(*) FROM {table}")
        return row["count"]


def basket_of(
    *lines: sale_pb2.LineRequest,
    store_id: int = 1,
    sale_type: sale_pb2.SaleType.ValueType = POS,
    payment_method: payment_pb2.PaymentMethod.ValueType = CASH,
    customer_id: str = "",
    permissions: Iterable[str] = (),
) -> pb.QuoteSaleItem:
    """A basket; without lines the example of 725.00."""
    return pb.QuoteSaleItem(
        context=context(permissions=permissions),
        request=pb.QuoteSaleRequest(
            store_id=store_id,
            sale_type=sale_type,
            payment_method=payment_method,
            customer_id=customer_id,
            lines=lines or (line("BRO-SKIN", 2_500), line("BRO-SKINLESS", 1_250)),
        ),
    )


def line(sku_code: str, weight_grams: int, bird_count: int = 0, price: int | None = None) -> sale_pb2.LineRequest:
    """A line of a basket; `price` in paise per kg."""
    return sale_pb2.LineRequest(
        sku_code=sku_code, weight_grams=weight_grams, bird_count=bird_count, price_paise_per_kg=price
    )


def context(
    subject: str = "cashier-1", permissions: Iterable[str] = (), trace_id: str = TRACE_ID
) -> item_context_pb2.ItemContext:
    """What rides with an item."""
    return item_context_pb2.ItemContext(
        traceparent=f"00-{trace_id}-b7ad6b7169203331-00",
        actor=item_context_pb2.Actor(subject=subject, permissions=list(permissions)),
    )


def recording(item: pb.QuoteSaleItem, quote: pb.QuoteSaleResponse, sale_id: str = "") -> pb.RecordSaleItem:
    """Record what was quoted, with goods held for two minutes more."""
    return pb.RecordSaleItem(
        context=item.context,
        request=pb.RecordSaleRequest(
            store_id=item.request.store_id,
            sale_id=sale_id or str(uuid4()),
            sale_type=item.request.sale_type,
            payment_method=item.request.payment_method,
            customer_id=item.request.customer_id,
            business_date=quote.business_date,
            lines=quote.lines,
            total_paise=quote.total_paise,
            hold_until_time=from_now(timedelta(minutes=2)),
        ),
    )


def another(item: pb.RecordSaleItem, **changes: Any) -> pb.RecordSaleItem:
    """The same sale under an id of its own, changed as told."""
    copy = pb.RecordSaleItem()
    copy.CopyFrom(item)
    copy.request.sale_id = str(uuid4())
    copy.request.MergeFrom(pb.RecordSaleRequest(**changes))
    return copy


def closing(item: pb.RecordSaleItem) -> pb.CloseSaleItem:
    """Close the sale that this item would record."""
    request = pb.CloseSaleRequest(store_id=item.request.store_id, sale_id=item.request.sale_id)
    return pb.CloseSaleItem(context=item.context, request=request)


def from_now(delta: timedelta) -> Timestamp:
    """A moment by the machine's clock."""
    timestamp = Timestamp()
    timestamp.FromDatetime(datetime.now(UTC) + delta)
    return timestamp


def refusal(error: Status) -> ToldRefusal:
    """What an item was refused for."""
    told = refusal_of(error)
    assert told is not None, error
    return told


def reasons(outcomes: Sequence[Any]) -> list[str]:
    """The reason of each outcome; empty for a reply."""
    return [refusal(one.error).reason if one.HasField("error") else "" for one in outcomes]


def receipts(outcomes: Sequence[pb.RecordSaleOutcome]) -> list[str]:
    """The receipt number of each outcome; empty for an error."""
    return [one.reply.receipt_number for one in outcomes]


class Counted:
    """A connection that counts what is asked of it."""

    def __init__(self, connection: Connection, statements: list[str]) -> None:
        self._connection = connection
        self._statements = statements

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._connection, name)

        def asked(query: str, *arguments: object) -> Any:
            self._statements.append(query.partition("\n")[0].removeprefix("-- name: "))
            return method(query, *arguments)

        return asked


@asynccontextmanager
async def database_of(
    shop: Shop, *, isolation: Isolation = "read_committed", statements: list[str] | None = None
) -> AsyncIterator[Database[Tx]]:
    """The shop's database without the door in front, so that transactions really meet; lists the `statements`."""
    sql = Queries.load("services.sales")

    def bind(connection: Connection) -> Tx:
        counted: Any = connection if statements is None else Counted(connection, statements)
        return Tx(sql, counted)

    database = await Database[Tx].connect(shop.urls.service, bind, name=NAME, isolation=isolation)
    try:
        yield database
    finally:
        await database.close()


def deadlocks() -> float:
    """How many transactions of `database_of` were run again because they had locked each other out."""
    return metric("venus_db_retries_total", service=NAME, sqlstate="40P01")


async def assert_books_hold(shop: Shop) -> None:
    """Receipts without a gap, every sale with its fate and its lines, nothing half done."""
    assert await shop.sql(_GAPS) == []
    assert await shop.sql(_HALVES) == []


_GAPS: Final = """
SELECT day.store_id, day.business_date, day.last_receipt_number, sold.count, sold.last
FROM business_day AS day
LEFT JOIN (
    SELECT store_id, business_date, count(*), max(number) AS last FROM sale GROUP BY store_id, business_date
) AS sold USING (store_id, business_date)
WHERE (day.last_receipt_number, day.last_receipt_number)
    IS DISTINCT FROM (coalesce(sold.count, 0), coalesce(sold.last, 0))
"""
_HALVES: Final = """
SELECT fate.store_id, fate.sale_id
FROM sale_fate AS fate
FULL JOIN sale USING (store_id, sale_id)
LEFT JOIN (
    SELECT store_id, sale_id, sum(total_paise) AS lines_paise FROM sale_line GROUP BY store_id, sale_id
) AS lines USING (store_id, sale_id)
WHERE (fate.fate = 'RECORDED') IS DISTINCT FROM (sale.sale_id IS NOT NULL)
    OR sale.total_paise IS DISTINCT FROM lines.lines_paise
"""
