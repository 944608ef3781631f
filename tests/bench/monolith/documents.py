"""What a till sends and gets: the same JSON as at the gateway."""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Document(BaseModel):
    """camelCase outside."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class SaleType(StrEnum):
    POS = "SALE_TYPE_POS"


class PaymentMethod(StrEnum):
    CASH = "PAYMENT_METHOD_CASH"
    UPI = "PAYMENT_METHOD_UPI"
    CARD = "PAYMENT_METHOD_CARD"
    BANK = "PAYMENT_METHOD_BANK"

    @property
    def word(self) -> str:
        """As the accounts are called."""
        return self.value.removeprefix("PAYMENT_METHOD_").lower()


class LineRequest(Document):
    sku_code: Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9-]{0,31}$")]
    weight_grams: Annotated[int, Field(ge=1, le=100_000_000)]
    bird_count: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    price_paise_per_kg: Annotated[int, Field(ge=1, le=100_000_000)] | None = None


class SaleRequest(Document):
    sale_id: UUID
    sale_type: SaleType
    payment_method: PaymentMethod
    lines: Annotated[list[LineRequest], Field(min_length=1, max_length=100)]


class SaleLine(Document):
    sku_code: str
    sku_name: str
    bird_type: str
    inventory_type: str
    weight_grams: int
    bird_count: int
    price_paise_per_kg: int
    total_paise: int


class Sale(Document):
    sale_id: UUID
    store_id: int
    receipt_number: str
    sale_type: SaleType
    payment_method: PaymentMethod
    total_paise: int
    status: str = "SALE_STATUS_COMPLETED"
    payment_status: str = "PAYMENT_STATUS_PAID"
    business_date: date
    correlation_id: str
    cashier: str
    lines: list[SaleLine]
    create_time: datetime


class SaleReply(Document):
    sale: Sale
    replayed: bool
