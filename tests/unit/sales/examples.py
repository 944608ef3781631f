"""Sales to try rules on."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from services.sales.domain.sale import (
    BirdType,
    InventoryType,
    NewSale,
    PaymentMethod,
    SaleKey,
    SaleLine,
    SaleType,
)

NOW: Final = datetime(2026, 3, 9, 8, 30, tzinfo=UTC)
TODAY: Final = date(2026, 3, 9)
SKIN: Final = SaleLine("BRO-SKIN", "Broiler with skin", BirdType.BROILER, InventoryType.SKIN, 2_500, 0, 18_000, 45_000)
SKINLESS: Final = SaleLine(
    "BRO-SKINLESS", "Broiler skinless", BirdType.BROILER, InventoryType.SKINLESS, 1_250, 0, 22_000, 27_500
)


def sale(number: int, store_id: int = 1, **changes: Any) -> NewSale:
    """The example sale of 725.00 under an id of its own, changed as told."""
    example = NewSale(
        key=SaleKey(store_id, UUID(int=number)),
        sale_type=SaleType.POS,
        payment_method=PaymentMethod.CASH,
        customer_id=None,
        business_date=TODAY,
        lines=(SKIN, SKINLESS),
        total_paise=72_500,
        hold_until=NOW + timedelta(minutes=2),
        cashier="cashier-1",
        correlation_id="0af7651916cd43dd8448eb211c80319c",
    )
    return replace(example, **changes)
