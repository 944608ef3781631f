"""The stock book as one transaction sees it: the pools it locked, and every change it makes to them.

All stock changes pass here, whoever asks, so that no way exists around the rule that available stock never goes
below zero.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from services.inventory.domain.refusals import InsufficientStock
from services.inventory.domain.stock import Level, Line, Pool


class Reason(StrEnum):
    """Why stock changed."""

    PURCHASE_RECEIVED = "PURCHASE_RECEIVED"
    PROCESSING_IN = "PROCESSING_IN"
    PROCESSING_OUT = "PROCESSING_OUT"
    WASTAGE = "WASTAGE"
    SALE = "SALE"
    SALE_REVERSAL = "SALE_REVERSAL"
    TRANSFER_IN = "TRANSFER_IN"
    TRANSFER_OUT = "TRANSFER_OUT"
    TRANSFER_SHRINK = "TRANSFER_SHRINK"
    ADJUSTMENT = "ADJUSTMENT"
    OPENING_BALANCE = "OPENING_BALANCE"
    VARIANCE_FOUND = "VARIANCE_FOUND"
    VARIANCE_LOSS = "VARIANCE_LOSS"
    OVERSALE_CORRECTION = "OVERSALE_CORRECTION"


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why stock moves: the reason, what it belongs to, on which date, by whom and in which trace."""

    reason: Reason
    reference: str
    business_date: date
    actor: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class Movement:
    """One signed change of one pool, and the level right after it."""

    change: Line
    occasion: Occasion
    after: Level


class Book:
    """Locked pools; levels and movements pile up here and are written once, at the end."""

    def __init__(self, levels: Iterable[Level], locked_at: datetime) -> None:
        """Open the book on locked pools; `locked_at` is a time after the last lock was had."""
        self._levels = {level.pool: level for level in levels}
        self._before = dict(self._levels)
        self.locked_at = locked_at
        self.movements: list[Movement] = []

    @property
    def levels(self) -> Mapping[Pool, Level]:
        """The pools as they stand now; a pool that was never opened is not among them."""
        return self._levels

    @property
    def changed(self) -> list[Level]:
        """The levels that differ from those the book was opened on."""
        return [level for pool, level in self._levels.items() if level != self._before.get(pool)]

    def open(self, pool: Pool) -> None:
        """Add a pool with nothing in it."""
        self._levels[pool] = self._before[pool] = Level(pool, 0, 0, 0, 0, 0, self.locked_at)

    def shortage(self, lines: Iterable[Line]) -> InsufficientStock | None:
        """Why `lines` cannot be taken from what is available: the first short pool, or None."""
        for line in lines:
            level = self._levels.get(line.pool)
            if level is None or not level.lacks(line).is_nothing:
                return InsufficientStock(
                    bird_type=line.pool.bird_type.value,
                    inventory_type=line.pool.inventory_type.value,
                    available_grams=level.available_grams if level else 0,
                    wanted_grams=line.weight_grams,
                    available_birds=level.available_birds if level else 0,
                    wanted_birds=line.bird_count,
                )
        return None

    def hold(self, lines: Iterable[Line]) -> None:
        """Hold `lines`, which must be available."""
        for line in lines:
            self._levels[line.pool] = self._levels[line.pool].holding(line.weight_grams, line.bird_count)

    def free(self, lines: Iterable[Line]) -> None:
        """Hold `lines` no longer."""
        for line in lines:
            self._levels[line.pool] = self._levels[line.pool].holding(-line.weight_grams, -line.bird_count)

    def move(self, change: Line, occasion: Occasion) -> Movement:
        """Book one signed change under the pool's next number."""
        after = self._levels[change.pool].moved(change, self.locked_at)
        movement = Movement(change, occasion, after)
        self._levels[change.pool] = after
        self.movements.append(movement)
        return movement
