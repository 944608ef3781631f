"""Who gets which receipt number, decided under the lock of the days' series."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.sales.domain.fate import Recorded
from services.sales.domain.receipt import receipt_number
from services.sales.domain.refusals import DayClosed, HoldExpired
from services.sales.domain.sale import DayKey, NewSale
from venus_kit.errors import Refusal, StoreNotFound


@dataclass(frozen=True, slots=True)
class Series:
    """The receipt series of one business day, as it stood when it was locked."""

    day: DayKey
    store_code: str
    closed: bool
    last_number: int
    locked_at: datetime


@dataclass(frozen=True, slots=True)
class Numbered:
    """A sale with its place in the series of its day, and the time at which it counts as recorded."""

    sale: NewSale
    number: int
    receipt_number: str
    created_at: datetime

    def recorded(self) -> Recorded:
        """The answer to it, once it is written."""
        return Recorded(self.receipt_number, self.created_at, replayed=False)


def number_sales(sales: Sequence[NewSale], series: Mapping[DayKey, Series]) -> list[Numbered | Refusal]:
    """Number sales without a gap in the order in which they came; each outcome in its place.

    Refused, without a number: a sale of an unknown store, whose hold has ended by the time when all series were
    locked, or whose day is closed.
    """
    now = max((one.locked_at for one in series.values()), default=None)
    last = {day: one.last_number for day, one in series.items()}
    outcomes: list[Numbered | Refusal] = []
    for sale in sales:
        own = series.get(sale.day)
        if own is None or now is None:
            outcomes.append(StoreNotFound(store_id=sale.key.store_id))
        elif sale.hold_until <= now:
            outcomes.append(HoldExpired(hold_until=sale.hold_until.isoformat()))
        elif own.closed:
            outcomes.append(DayClosed(store_id=sale.key.store_id, business_date=sale.business_date.isoformat()))
        else:
            number = last[sale.day] = last[sale.day] + 1
            printed = receipt_number(own.store_code, sale.business_date, number)
            outcomes.append(Numbered(sale, number, printed, now))
    return outcomes


def last_numbers(numbered: Sequence[Numbered]) -> dict[DayKey, int]:
    """The last number that each day's series has given."""
    return {one.sale.day: one.number for one in numbered}
