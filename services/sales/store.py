"""The cellar of sales: one typed method per named query, rows in and values out."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from asyncpg import Record

from services.sales.domain.fate import Fate, Recorded
from services.sales.domain.quote import Offer, StoreStatus
from services.sales.domain.refusals import SaleClosed
from services.sales.domain.sale import (
    BirdType,
    DayKey,
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
from services.sales.domain.series import Numbered, Series
from venus_kit.postgres import Connection
from venus_kit.sql import Queries


@dataclass(frozen=True, slots=True)
class StoreRow:
    """A store as it stood at `read_at`, with the business dates around that moment that are closed."""

    store_id: int
    status: StoreStatus
    time_zone: str
    read_at: datetime
    closed_dates: frozenset[date]


class Tx:
    """One transaction of sales."""

    def __init__(self, sql: Queries, connection: Connection) -> None:
        """Speak `sql` over a connection whose transaction somebody else began and will end."""
        self._sql = sql
        self._connection = connection

    async def read_stores(self, store_ids: Collection[int]) -> dict[int, StoreRow]:
        """Stores by id, all at one moment of the database's clock; those that are not there are missing."""
        rows = await self._connection.fetch(self._sql["read_stores"], list(store_ids))
        return {
            row["store_id"]: StoreRow(
                store_id=row["store_id"],
                status=StoreStatus(row["status"]),
                time_zone=row["time_zone"],
                read_at=row["read_at"],
                closed_dates=frozenset(row["closed_dates"]),
            )
            for row in rows
        }

    async def read_offers(self, wanted: Collection[tuple[int, date, str]]) -> dict[int, dict[str, Offer]]:
        """What stores sell on a date, by store and SKU code; what is not sold is missing."""
        rows = await self._connection.fetch(
            self._sql["read_offers"],
            [store_id for store_id, _, _ in wanted],
            [business_date for _, business_date, _ in wanted],
            [sku_code for _, _, sku_code in wanted],
        )
        offers: dict[int, dict[str, Offer]] = {}
        for row in rows:
            offers.setdefault(row["store_id"], {})[row["sku_code"]] = Offer(
                sku_code=row["sku_code"],
                sku_name=row["sku_name"],
                bird_type=BirdType(row["bird_type"]),
                inventory_type=InventoryType(row["inventory_type"]),
                price_paise_per_kg=row["price_paise_per_kg"],
            )
        return offers

    async def insert_recorded(self, fingerprints: Mapping[SaleKey, bytes]) -> frozenset[SaleKey]:
        """Take ids for sales that are about to be recorded; returns those that nobody had taken."""
        return await self._insert_fates(fingerprints.keys(), list(fingerprints.values()), "RECORDED")

    async def insert_closed(self, keys: Collection[SaleKey]) -> frozenset[SaleKey]:
        """Leave tombstones; returns the ids that got one now."""
        return await self._insert_fates(keys, [None] * len(keys), "CLOSED")

    async def _insert_fates(
        self, keys: Collection[SaleKey], fingerprints: Sequence[bytes | None], fate: str
    ) -> frozenset[SaleKey]:
        rows = await self._connection.fetch(self._sql["insert_fates"], *_columns(keys), fingerprints, fate)
        return frozenset(SaleKey(*row) for row in rows)

    async def read_fates(self, keys: Collection[SaleKey]) -> dict[SaleKey, Fate]:
        """What became of ids that were taken."""
        rows = await self._connection.fetch(self._sql["read_fates"], *_columns(keys))
        return {SaleKey(row["store_id"], row["sale_id"]): _fate(row) for row in rows}

    async def delete_fates(self, keys: Collection[SaleKey]) -> None:
        """Give back ids that this transaction took for sales that it refused."""
        await self._connection.execute(self._sql["delete_fates"], *_columns(keys))

    async def lock_series(self, days: Collection[DayKey]) -> dict[DayKey, Series]:
        """Lock the receipt series of days until the transaction ends; days of unknown stores are missing."""
        rows = await self._connection.fetch(
            self._sql["lock_series"], [day.store_id for day in days], [day.business_date for day in days]
        )
        series = [
            Series(
                day=DayKey(row["store_id"], row["business_date"]),
                store_code=row["code"],
                closed=row["status"] == "CLOSED",
                last_number=row["last_receipt_number"],
                locked_at=row["locked_at"],
            )
            for row in rows
        ]
        return {one.day: one for one in series}

    async def advance_series(self, last_numbers: Mapping[DayKey, int]) -> None:
        """Write the last number given of series that are locked."""
        await self._connection.execute(
            self._sql["advance_series"],
            [day.store_id for day in last_numbers],
            [day.business_date for day in last_numbers],
            list(last_numbers.values()),
        )

    async def insert_sales(self, numbered: Sequence[Numbered]) -> None:
        """Write sales, never to be changed but in what becomes of them."""
        sales = [one.sale for one in numbered]
        await self._connection.execute(
            self._sql["insert_sales"],
            *_columns([sale.key for sale in sales]),
            [sale.business_date for sale in sales],
            [one.number for one in numbered],
            [one.receipt_number for one in numbered],
            [sale.sale_type for sale in sales],
            [sale.payment_method for sale in sales],
            [sale.customer_id for sale in sales],
            [sale.total_paise for sale in sales],
            [sale.payment_status for sale in sales],
            [sale.cashier for sale in sales],
            [sale.correlation_id for sale in sales],
            [one.created_at for one in numbered],
        )

    async def insert_lines(self, sales: Iterable[NewSale]) -> None:
        """Write the lines of sales, never to be changed."""
        sold = [(sale.key, number, line) for sale in sales for number, line in enumerate(sale.lines, start=1)]
        await self._connection.execute(
            self._sql["insert_lines"],
            *_columns([key for key, _, _ in sold]),
            [number for _, number, _ in sold],
            [line.sku_code for _, _, line in sold],
            [line.sku_name for _, _, line in sold],
            [line.bird_type for _, _, line in sold],
            [line.inventory_type for _, _, line in sold],
            [line.weight_grams for _, _, line in sold],
            [line.bird_count for _, _, line in sold],
            [line.price_paise_per_kg for _, _, line in sold],
            [line.total_paise for _, _, line in sold],
        )

    async def read_sale(self, key: SaleKey) -> Sale | None:
        """One sale without its lines; None when there is none."""
        row = await self._connection.fetchrow(self._sql["read_sale"], key.store_id, key.sale_id)
        return _sale(row) if row else None

    async def list_sales(
        self,
        store_id: int,
        dates: tuple[date, date],
        status: SaleStatus | None,
        payment_method: PaymentMethod | None,
        after: tuple[date, int],
        limit: int,
    ) -> list[Sale]:
        """Sales of a store without their lines, newest first: of `dates` (both ends count), below date and number."""
        rows = await self._connection.fetch(
            self._sql["list_sales"], store_id, *dates, status, payment_method, *after, limit
        )
        return [_sale(row) for row in rows]

    async def read_lines(self, store_id: int, sale_ids: Collection[UUID]) -> dict[UUID, tuple[SaleLine, ...]]:
        """The lines of sales of one store, by sale, in the order of their requests."""
        rows = await self._connection.fetch(self._sql["read_lines"], store_id, list(sale_ids))
        lines: dict[UUID, list[SaleLine]] = {}
        for row in rows:
            lines.setdefault(row["sale_id"], []).append(_line(row))
        return {sale_id: tuple(own) for sale_id, own in lines.items()}


def _columns(keys: Collection[SaleKey]) -> tuple[list[int], list[UUID]]:
    return [key.store_id for key in keys], [key.sale_id for key in keys]


def _fate(row: Record) -> Fate:
    if row["fate"] == "CLOSED":
        return Fate(None, SaleClosed(sale_id=str(row["sale_id"])))
    return Fate(row["fingerprint"], Recorded(row["receipt_number"], row["created_at"], replayed=True))


def _sale(row: Record) -> Sale:
    return Sale(
        key=SaleKey(row["store_id"], row["sale_id"]),
        business_date=row["business_date"],
        number=row["number"],
        receipt_number=row["receipt_number"],
        sale_type=SaleType(row["sale_type"]),
        payment_method=PaymentMethod(row["payment_method"]),
        customer_id=row["customer_id"],
        total_paise=row["total_paise"],
        status=SaleStatus(row["status"]),
        payment_status=PaymentStatus(row["payment_status"]),
        cashier=row["cashier"],
        correlation_id=row["correlation_id"],
        created_at=row["created_at"],
    )


def _line(row: Record) -> SaleLine:
    return SaleLine(
        sku_code=row["sku_code"],
        sku_name=row["sku_name"],
        bird_type=BirdType(row["bird_type"]),
        inventory_type=InventoryType(row["inventory_type"]),
        weight_grams=row["weight_grams"],
        bird_count=row["bird_count"],
        price_paise_per_kg=row["price_paise_per_kg"],
        total_paise=row["total_paise"],
    )
