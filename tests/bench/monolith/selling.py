"""One sale, one transaction."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import asyncpg

from tests.bench.monolith.documents import Sale, SaleLine, SaleReply, SaleRequest

Connection = Any  # of the pool: a proxy of asyncpg's, which its stubs type apart


class Refused(Exception):
    """The business says no; `reason` is for the till."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Session(asyncpg.Connection):
    """A connection that is not reset when it goes back to the pool: nothing is ever set on it."""

    def get_reset_query(self) -> str:
        return ""


class Till:
    """Sells."""

    def __init__(self, pool: Any, sql: Mapping[str, str]) -> None:
        self._pool = pool
        self._sql = sql

    async def sell(self, store_id: int, order: SaleRequest, cashier: str, trace_id: str) -> SaleReply:
        """The sale; a repeat of an id gets its first answer. Errors: Refused."""
        async with self._pool.acquire() as connection:
            try:
                return await self._sell(connection, store_id, order, cashier, trace_id)
            except (Refused, asyncpg.UniqueViolationError):
                known = await self._known(connection, store_id, order)
                if known is None:
                    raise
                return known

    async def _sell(
        self, connection: Connection, store_id: int, order: SaleRequest, cashier: str, trace_id: str
    ) -> SaleReply:
        codes = [line.sku_code for line in order.lines]
        offers = {row["code"]: row for row in await connection.fetch(self._sql["read_offers"], store_id, codes)}
        lines = _priced(order, offers)
        offer = offers[codes[0]]
        async with connection.transaction():
            await self._take_stock(connection, store_id, lines)
            business_date: date = offer["business_date"]
            number: int = await connection.fetchval(self._sql["next_receipt"], store_id, business_date)
            receipt_number = f"{offer['store_code']}-{business_date:%Y%m%d}-{number:06d}"
            sale = Sale.model_construct(
                sale_id=order.sale_id,
                store_id=store_id,
                receipt_number=receipt_number,
                sale_type=order.sale_type,
                payment_method=order.payment_method,
                total_paise=sum(line.total_paise for line in lines),
                business_date=business_date,
                correlation_id=trace_id,
                cashier=cashier,
                lines=lines,
            )
            created_at = await self._write(connection, sale, _fingerprint(store_id, order), number)
            await self._book(connection, sale)
        return SaleReply.model_construct(sale=sale.model_copy(update={"create_time": created_at}), replayed=False)

    async def _take_stock(self, connection: Connection, store_id: int, lines: Sequence[SaleLine]) -> None:
        wanted: dict[tuple[str, str], list[int]] = {}
        for line in lines:
            of_pool = wanted.setdefault((line.bird_type, line.inventory_type), [0, 0])
            of_pool[0] += line.weight_grams
            of_pool[1] += line.bird_count
        birds, forms = zip(*wanted, strict=True)
        grams, counts = zip(*wanted.values(), strict=True)
        if len(await connection.fetch(self._sql["take_stock"], store_id, birds, forms, grams, counts)) < len(wanted):
            raise Refused("INSUFFICIENT_STOCK")

    async def _write(self, connection: Connection, sale: Sale, fingerprint: bytes, number: int) -> Any:
        columns = zip(*((place, *_values(line)) for place, line in enumerate(sale.lines, 1)), strict=True)
        row = await connection.fetchrow(
            self._sql["insert_sale"],
            *(sale.store_id, sale.sale_id, fingerprint, sale.business_date, number, sale.receipt_number),
            *(sale.sale_type, sale.payment_method, sale.total_paise, sale.cashier, sale.correlation_id),
            *columns,
        )
        return row["created_at"]

    async def _book(self, connection: Connection, sale: Sale) -> None:
        await connection.execute(
            self._sql["post_entry"],
            *(sale.sale_id, sale.store_id, sale.business_date, str(sale.sale_id), sale.cashier, sale.correlation_id),
            *(f"store.{sale.store_id}.till.{sale.payment_method.word}", f"store.{sale.store_id}.sales"),
            sale.total_paise,
        )

    async def _known(self, connection: Connection, store_id: int, order: SaleRequest) -> SaleReply | None:
        row = await connection.fetchrow(self._sql["read_sale"], store_id, order.sale_id)
        if row is None:
            return None
        if row["fingerprint"] != _fingerprint(store_id, order):
            raise Refused("IDEMPOTENCY_MISMATCH")
        lines = await connection.fetch(self._sql["read_lines"], store_id, order.sale_id)
        sale = Sale(
            sale_id=order.sale_id,
            store_id=store_id,
            receipt_number=row["receipt_number"],
            sale_type=order.sale_type,
            payment_method=order.payment_method,
            total_paise=row["total_paise"],
            business_date=row["business_date"],
            correlation_id=row["correlation_id"],
            cashier=row["cashier"],
            lines=[SaleLine(**line) for line in lines],
            create_time=row["created_at"],
        )
        return SaleReply(sale=sale, replayed=True)


def _priced(order: SaleRequest, offers: Mapping[str, Any]) -> list[SaleLine]:
    """The lines at the store's prices. Errors: Refused."""
    lines: list[SaleLine] = []
    for line in order.lines:
        offer = offers.get(line.sku_code)
        if offer is None:
            raise Refused("SKU_NOT_SELLABLE")
        if offer["status"] != "ACTIVE":
            raise Refused("STORE_IN_MAINTENANCE")
        price = offer["price_paise_per_kg"]
        if line.price_paise_per_kg not in (None, price):
            raise Refused("PRICE_CHANGED")
        if (line.bird_count > 0) != (offer["inventory_type"] == "LIVE"):
            raise Refused("BIRD_COUNT_WRONG")
        lines.append(
            SaleLine(
                sku_code=line.sku_code,
                sku_name=offer["name"],
                bird_type=offer["bird_type"],
                inventory_type=offer["inventory_type"],
                weight_grams=line.weight_grams,
                bird_count=line.bird_count,
                price_paise_per_kg=price,
                total_paise=(line.weight_grams * price + 500) // 1000,
            )
        )
    return lines


def _values(line: SaleLine) -> tuple[object, ...]:
    return (
        *(line.sku_code, line.sku_name, line.bird_type, line.inventory_type, line.weight_grams, line.bird_count),
        *(line.price_paise_per_kg, line.total_paise),
    )


def _fingerprint(store_id: int, order: SaleRequest) -> bytes:
    return hashlib.sha256(f"{store_id} {order.model_dump_json()}".encode()).digest()
