"""What a basket costs here and now, or why it cannot be sold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final
from uuid import UUID

from services.sales.domain.pricing import line_total
from services.sales.domain.refusals import (
    BirdCountInvalid,
    CustomerRequired,
    DayClosed,
    PriceChanged,
    SkuNotSellable,
    StoreInMaintenance,
)
from services.sales.domain.sale import BirdType, InventoryType, PaymentMethod, SaleLine, SaleType
from venus_kit.errors import FieldViolation, PermissionMissing, StoreNotFound

MAY_SELL_BULK: Final = "sales.bulk"
MAY_SELL_ON_CREDIT: Final = "sales.credit"


class StoreStatus(StrEnum):
    """Whether a store trades."""

    ACTIVE = "ACTIVE"
    MAINTENANCE = "MAINTENANCE"


@dataclass(frozen=True, slots=True)
class StoreToday:
    """A store on its own calendar at the moment of the quote."""

    store_id: int
    status: StoreStatus
    business_date: date
    day_closed: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """A SKU that a store sells, with today's list price."""

    sku_code: str
    sku_name: str
    bird_type: BirdType
    inventory_type: InventoryType
    price_paise_per_kg: int


@dataclass(frozen=True, slots=True)
class BasketLine:
    """What the till wants to sell; its price is the one shown (POS) or agreed (BULK), if any."""

    sku_code: str
    weight_grams: int
    bird_count: int
    price_paise_per_kg: int | None


@dataclass(frozen=True, slots=True)
class Basket:
    """A sale that is wanted, and what the person at the till may do."""

    store_id: int
    sale_type: SaleType
    payment_method: PaymentMethod
    customer_id: UUID | None
    lines: tuple[BasketLine, ...]
    permissions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Quote:
    """A basket with everything that its sale will be recorded with."""

    business_date: date
    lines: tuple[SaleLine, ...]
    total_paise: int


def quote(basket: Basket, store: StoreToday | None, offers: Mapping[str, Offer]) -> Quote:
    """Price a basket at `store` (None: there is none); `offers` by SKU code.

    Refuses what must not be sold, looking at the person first, then the store, the day, the lines.
    """
    _person_may_sell(basket)
    if store is None:
        raise StoreNotFound(store_id=basket.store_id)
    if store.status is StoreStatus.MAINTENANCE:
        raise StoreInMaintenance(store_id=store.store_id)
    if store.day_closed:
        raise DayClosed(store_id=store.store_id, business_date=store.business_date.isoformat())
    _goods_are_sold(basket.lines, offers)
    _birds_are_counted(basket.lines, offers)
    lines = tuple(_priced(basket.sale_type, line, offers[line.sku_code]) for line in basket.lines)
    return Quote(store.business_date, lines, sum(line.total_paise for line in lines))


def _person_may_sell(basket: Basket) -> None:
    needed = {
        MAY_SELL_BULK: basket.sale_type is SaleType.BULK,
        MAY_SELL_ON_CREDIT: basket.payment_method is PaymentMethod.CREDIT,
    }
    for permission, applies in needed.items():
        if applies and permission not in basket.permissions:
            raise PermissionMissing(permission=permission)
    if basket.payment_method is PaymentMethod.CREDIT and basket.customer_id is None:
        raise CustomerRequired


def _goods_are_sold(lines: Sequence[BasketLine], offers: Mapping[str, Offer]) -> None:
    for line in lines:
        if line.sku_code not in offers:
            raise SkuNotSellable(sku_code=line.sku_code)


def _birds_are_counted(lines: Sequence[BasketLine], offers: Mapping[str, Offer]) -> None:
    wrong: list[FieldViolation] = []
    for index, line in enumerate(lines):
        live = offers[line.sku_code].inventory_type is InventoryType.LIVE
        if live != (line.bird_count > 0):
            told = "must be at least 1 for live birds" if live else "must be 0 for dressed meat"
            wrong.append(FieldViolation(f"lines[{index}].bird_count", told))
    if wrong:
        raise BirdCountInvalid(violations=wrong)


def _priced(sale_type: SaleType, line: BasketLine, offer: Offer) -> SaleLine:
    price_paise_per_kg = _price(sale_type, line, offer)
    return SaleLine(
        sku_code=offer.sku_code,
        sku_name=offer.sku_name,
        bird_type=offer.bird_type,
        inventory_type=offer.inventory_type,
        weight_grams=line.weight_grams,
        bird_count=line.bird_count,
        price_paise_per_kg=price_paise_per_kg,
        total_paise=line_total(line.weight_grams, price_paise_per_kg),
    )


def _price(sale_type: SaleType, line: BasketLine, offer: Offer) -> int:
    """The list price; wholesale may agree on another, a till may only have shown the right one."""
    stated = line.price_paise_per_kg
    if stated is None or stated == offer.price_paise_per_kg:
        return offer.price_paise_per_kg
    if sale_type is SaleType.BULK:
        return stated
    raise PriceChanged(
        sku_code=line.sku_code,
        price_paise_per_kg=offer.price_paise_per_kg,
        stated_price_paise_per_kg=stated,
    )
