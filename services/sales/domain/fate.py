"""What became of a sale's id, decided once: recorded, closed for good, or refused and free again."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.sales.domain.sale import NewSale, SaleKey
from venus_kit.errors import IdempotencyMismatch, Refusal


@dataclass(frozen=True, slots=True)
class Recorded:
    """The answer to a sale that stands; `replayed` when it had been recorded before."""

    receipt_number: str
    created_at: datetime
    replayed: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """The answer to a sale that was given up: it never will be recorded."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What everyone is told who comes with this id and fingerprint; None stands for any fingerprint."""

    fingerprint: bytes | None
    answer: Recorded | Refusal


@dataclass(frozen=True, slots=True)
class Claim:
    """A sale that wants to be recorded, with the fingerprint under which its id is taken."""

    sale: NewSale
    fingerprint: bytes

    @property
    def key(self) -> SaleKey:
        """The id that it claims."""
        return self.sale.key


def first_of_each_id(sales: Iterable[NewSale]) -> dict[SaleKey, Claim]:
    """One claim per id: the first to come speaks for it."""
    claims: dict[SaleKey, Claim] = {}
    for sale in sales:
        if sale.key not in claims:
            claims[sale.key] = Claim(sale, sale.fingerprint())
    return claims


def answer(sale: NewSale, claims: Mapping[SaleKey, Claim], fates: Mapping[SaleKey, Fate]) -> Recorded | Refusal:
    """What a sale of the batch is told: the one answer of its id, unless the id stands for another sale."""
    fate = fates[sale.key]
    claim = claims[sale.key]
    fingerprint = claim.fingerprint if claim.sale is sale else sale.fingerprint()
    if fate.fingerprint in (None, fingerprint):
        return fate.answer
    return IdempotencyMismatch(sale_id=str(sale.key.sale_id))
