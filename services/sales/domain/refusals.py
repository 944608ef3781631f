"""The facts for which this service says no; each docstring is what the caller reads."""

from typing import ClassVar

from venus_kit.errors import InvalidRequest, Kind, Refusal


class StoreInMaintenance(Refusal):
    """The store is in maintenance and takes no new sale."""


class DayClosed(Refusal):
    """The business day is closed."""


class SkuNotSellable(Refusal):
    """The store does not sell this SKU: it is unknown, inactive or has no price."""


class PriceChanged(Refusal):
    """The price is not the one that the till showed."""


class CustomerRequired(Refusal):
    """A sale on credit needs a registered customer."""


class BirdCountInvalid(InvalidRequest):
    """Live birds are sold with their number, everything else without."""


class HoldExpired(Refusal):
    """The goods are not held any more, so the sale cannot be recorded."""


class SaleClosed(Refusal):
    """The sale was given up before; it can never be recorded."""


class SaleNotFound(Refusal):
    """There is no such sale in this store."""

    kind: ClassVar[Kind] = Kind.NOT_FOUND
