"""A sale and its lines, in the words of the trade."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from venus_kit.errors import FieldViolation, InvalidRequest
from venus_kit.ids import fingerprint

_FINGERPRINT_VERSION: Final = 1


class SaleType(StrEnum):
    """The till or wholesale."""

    POS = "POS"
    BULK = "BULK"


class PaymentMethod(StrEnum):
    """How the customer pays."""

    CASH = "CASH"
    UPI = "UPI"
    CARD = "CARD"
    BANK = "BANK"
    CREDIT = "CREDIT"


class SaleStatus(StrEnum):
    """Where a sale stands; PENDING is for others to say: a sale that is written down here is past it."""

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    VOIDED = "VOIDED"


class PaymentStatus(StrEnum):
    """What was paid of a sale."""

    PENDING = "PENDING"
    PARTIAL = "PARTIAL"
    PAID = "PAID"


class BirdType(StrEnum):
    """The kind of bird."""

    BROILER = "BROILER"
    PARENT_CULL = "PARENT_CULL"


class InventoryType(StrEnum):
    """The form in which it is sold."""

    LIVE = "LIVE"
    SKIN = "SKIN"
    SKINLESS = "SKINLESS"


class SaleKey(NamedTuple):
    """Names a sale; sorts in the one order in which ids are taken."""

    store_id: int
    sale_id: UUID


class DayKey(NamedTuple):
    """Names a business day of a store; sorts in the one order in which days are locked."""

    store_id: int
    business_date: date


@dataclass(frozen=True, slots=True)
class SaleLine:
    """One priced line: what was sold, from which pool, and for how much."""

    sku_code: str
    sku_name: str
    bird_type: BirdType
    inventory_type: InventoryType
    weight_grams: int
    bird_count: int
    price_paise_per_kg: int
    total_paise: int


@dataclass(frozen=True, slots=True)
class NewSale:
    """A quoted sale that is to be recorded."""

    key: SaleKey
    sale_type: SaleType
    payment_method: PaymentMethod
    customer_id: UUID | None
    business_date: date
    lines: tuple[SaleLine, ...]
    total_paise: int
    hold_until: datetime
    cashier: str
    correlation_id: str
    """The trace id of the call that first asked for it, 32 hex digits."""

    def __post_init__(self) -> None:
        """InvalidRequest unless the total is the sum of the lines."""
        if self.total_paise != sum(line.total_paise for line in self.lines):
            raise InvalidRequest(violations=[FieldViolation("total_paise", "must be the sum of the lines")])

    @property
    def day(self) -> DayKey:
        """The day whose receipt series numbers it."""
        return DayKey(self.key.store_id, self.business_date)

    @property
    def payment_status(self) -> PaymentStatus:
        """Paid on the spot, unless it goes on the customer's account."""
        return PaymentStatus.PENDING if self.payment_method is PaymentMethod.CREDIT else PaymentStatus.PAID

    def fingerprint(self) -> bytes:
        """Of what is sold to whom; not of who asks, on which trace, or how long the goods are held."""
        return fingerprint(
            _FINGERPRINT_VERSION,
            self.key.store_id,
            self.key.sale_id,
            self.sale_type,
            self.payment_method,
            self.customer_id,
            self.business_date,
            self.total_paise,
            [
                [
                    line.sku_code,
                    line.sku_name,
                    line.bird_type,
                    line.inventory_type,
                    line.weight_grams,
                    line.bird_count,
                    line.price_paise_per_kg,
                    line.total_paise,
                ]
                for line in self.lines
            ],
        )


@dataclass(frozen=True, slots=True)
class Sale:
    """A recorded sale as it stands today."""

    key: SaleKey
    business_date: date
    number: int
    """Its place in the receipt series of its day, from 1."""
    receipt_number: str
    sale_type: SaleType
    payment_method: PaymentMethod
    customer_id: UUID | None
    total_paise: int
    status: SaleStatus
    payment_status: PaymentStatus
    cashier: str
    correlation_id: str
    created_at: datetime
    lines: tuple[SaleLine, ...] = ()
