"""What sales does, one verb and one transaction each; most take many items at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, cast

from services.sales.domain.business_date import business_date
from services.sales.domain.fate import Claim, Closed, Fate, Recorded, answer, first_of_each_id
from services.sales.domain.quote import Basket, Quote, StoreToday, quote
from services.sales.domain.refusals import SaleNotFound
from services.sales.domain.sale import NewSale, PaymentMethod, Sale, SaleKey, SaleStatus
from services.sales.domain.series import Numbered, last_numbers, number_sales
from services.sales.store import StoreRow, Tx
from venus_kit.errors import Refusal
from venus_kit.paging import decode_token, encode_token

DEFAULT_PAGE_SIZE: Final = 50
_ABOVE_ALL: Final = (date.max, 0)


async def quote_sales(tx: Tx, baskets: Sequence[Basket]) -> list[Quote | Refusal]:
    """Price baskets as the stores sell now, each on its store's own date; changes nothing."""
    rows = await tx.read_stores({basket.store_id for basket in baskets})
    today = {store_id: _on_its_date(row) for store_id, row in rows.items()}
    offers = await tx.read_offers(
        {
            (basket.store_id, today[basket.store_id].business_date, line.sku_code)
            for basket in baskets
            if basket.store_id in today
            for line in basket.lines
        }
    )
    outcomes: list[Quote | Refusal] = []
    for basket in baskets:
        try:
            outcomes.append(quote(basket, today.get(basket.store_id), offers.get(basket.store_id, {})))
        except Refusal as refusal:
            outcomes.append(refusal)
    return outcomes


def _on_its_date(row: StoreRow) -> StoreToday:
    today = business_date(row.read_at, row.time_zone)
    return StoreToday(row.store_id, row.status, today, day_closed=today in row.closed_dates)


async def record_sales(tx: Tx, sales: Sequence[NewSale]) -> list[Recorded | Refusal]:
    """Write quoted sales with their lines and receipt numbers, each once: the point of no return.

    Neither price nor store is looked at again: what was quoted is finished. An id that was used before is answered as
    it was the first time, whatever has become of that sale since. A refused sale leaves its id free.
    """
    claims = first_of_each_id(sales)
    new = await tx.insert_recorded({claim.key: claim.fingerprint for claim in claims.values()})  # the id is the barrier
    known = claims.keys() - new
    fates = await tx.read_fates(known) if known else {}
    if new:
        fates |= await _write(tx, [claim for claim in claims.values() if claim.key in new])
    return [answer(sale, claims, fates) for sale in sales]


async def _write(tx: Tx, claims: Sequence[Claim]) -> dict[SaleKey, Fate]:
    """Number and write sales whose ids this transaction has taken; give back the ids of those that it refuses."""
    sales = [claim.sale for claim in claims]
    series = await tx.lock_series({sale.day for sale in sales})  # from here on nobody else numbers these days
    outcomes = number_sales(sales, series)
    numbered = [outcome for outcome in outcomes if isinstance(outcome, Numbered)]
    if len(numbered) < len(sales):
        await tx.delete_fates([sale.key for sale, no in zip(sales, outcomes, strict=True) if isinstance(no, Refusal)])
    if numbered:
        await tx.insert_sales(numbered)
        await tx.insert_lines([one.sale for one in numbered])
        await tx.advance_series(last_numbers(numbered))
    return {
        claim.key: Fate(claim.fingerprint, outcome.recorded() if isinstance(outcome, Numbered) else outcome)
        for claim, outcome in zip(claims, outcomes, strict=True)
    }


async def close_sales(tx: Tx, keys: Sequence[SaleKey]) -> list[Recorded | Closed]:
    """Make sure that sales that were not recorded never will be; those that were are told as they stand."""
    wanted = set(keys)
    known = wanted - await tx.insert_closed(wanted)
    fates = await tx.read_fates(known) if known else {}
    recorded = {key: fate.answer for key, fate in fates.items() if isinstance(fate.answer, Recorded)}
    return [recorded.get(key, Closed()) for key in keys]


async def get_sale(tx: Tx, key: SaleKey) -> Sale:
    """One sale with its lines as it stands today. Errors: SaleNotFound."""
    sale = await tx.read_sale(key)
    if sale is None:
        raise SaleNotFound(sale_id=str(key.sale_id))
    (with_lines,) = await _with_lines(tx, [sale])
    return with_lines


@dataclass(frozen=True, slots=True)
class SaleFilter:
    """Which sales of a store to list; None stands for all."""

    store_id: int
    business_date: date | None = None
    status: SaleStatus | None = None
    payment_method: PaymentMethod | None = None

    def bound(self) -> dict[str, object]:
        """What a page token is bound to."""
        return {
            "store_id": self.store_id,
            "business_date": self.business_date,
            "status": self.status,
            "payment_method": self.payment_method,
        }


@dataclass(frozen=True, slots=True)
class SalePage:
    """Some sales, and the token of the next page; an empty token on the last."""

    sales: list[Sale]
    next_page_token: str


async def list_sales(tx: Tx, wanted: SaleFilter, page_size: int, page_token: str) -> SalePage:
    """A page of sales with their lines, newest first: by business date, then by receipt number.

    Whoever follows the tokens sees every sale that was there at the first page, once, also while others are recorded.
    Errors: PageTokenInvalid.
    """
    size = page_size or DEFAULT_PAGE_SIZE
    key = decode_token(page_token, wanted.bound(), shape=(date, int))
    after = cast("tuple[date, int]", tuple(key)) if key else _ABOVE_ALL
    dates = (wanted.business_date or date.min, wanted.business_date or date.max)
    found = await tx.list_sales(wanted.store_id, dates, wanted.status, wanted.payment_method, after, size + 1)
    page = await _with_lines(tx, found[:size])
    if len(found) <= size:
        return SalePage(page, "")
    return SalePage(page, encode_token(wanted.bound(), (page[-1].business_date, page[-1].number)))


async def _with_lines(tx: Tx, sales: Sequence[Sale]) -> list[Sale]:
    if not sales:
        return []
    lines = await tx.read_lines(sales[0].key.store_id, [sale.key.sale_id for sale in sales])
    return [replace(sale, lines=lines.get(sale.key.sale_id, ())) for sale in sales]
