"""Pools and what is in them: kg and, for live birds, their number, always together."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class BirdType(StrEnum):
    """Kind of bird."""

    BROILER = "BROILER"
    PARENT_CULL = "PARENT_CULL"


class InventoryType(StrEnum):
    """Form in which a bird lies in stock; only LIVE is also counted in birds."""

    LIVE = "LIVE"
    SKIN = "SKIN"
    SKINLESS = "SKINLESS"


@dataclass(frozen=True, slots=True, order=True)
class Pool:
    """The unit of stock, and its key: many SKUs draw on one pool."""

    store_id: int
    bird_type: BirdType
    inventory_type: InventoryType

    @property
    def counts_birds(self) -> bool:
        """Whether stock here is counted in birds too."""
        return self.inventory_type is InventoryType.LIVE


@dataclass(frozen=True, slots=True)
class Line:
    """An amount of one pool: grams and birds."""

    pool: Pool
    weight_grams: int
    bird_count: int

    @property
    def is_nothing(self) -> bool:
        """Whether it is neither grams nor birds."""
        return self.weight_grams == 0 and self.bird_count == 0


@dataclass(frozen=True, slots=True)
class Level:
    """What one pool has, what of it is held, and the number and time of its last movement."""

    pool: Pool
    on_hand_grams: int
    held_grams: int
    on_hand_birds: int
    held_birds: int
    sequence: int
    last_moved_at: datetime

    @property
    def available_grams(self) -> int:
        """On hand - held."""
        return self.on_hand_grams - self.held_grams

    @property
    def available_birds(self) -> int:
        """On hand - held."""
        return self.on_hand_birds - self.held_birds

    @property
    def is_held(self) -> bool:
        """Whether anything of it is held."""
        return self.held_grams > 0 or self.held_birds > 0

    def lacks(self, line: Line) -> Line:
        """What is missing to take `line` from what is available; nothing when all is there."""
        return Line(
            self.pool,
            max(0, line.weight_grams - self.available_grams),
            max(0, line.bird_count - self.available_birds),
        )

    def holding(self, grams: int, birds: int) -> "Level":
        """With so much held in addition; less when it is negative."""
        return Level(
            self.pool,
            self.on_hand_grams,
            self.held_grams + grams,
            self.on_hand_birds,
            self.held_birds + birds,
            self.sequence,
            self.last_moved_at,
        )

    def moved(self, change: Line, moved_at: datetime) -> "Level":
        """After one more movement by the signed `change`."""
        return Level(
            self.pool,
            self.on_hand_grams + change.weight_grams,
            self.held_grams,
            self.on_hand_birds + change.bird_count,
            self.held_birds,
            self.sequence + 1,
            max(moved_at, self.last_moved_at),
        )


def summed(lines: Iterable[Line]) -> tuple[Line, ...]:
    """One line per pool, sorted: two lines of one pool never pass a check one by one."""
    totals: dict[Pool, Line] = {}
    for line in lines:
        before = totals.get(line.pool)
        totals[line.pool] = (
            Line(line.pool, before.weight_grams + line.weight_grams, before.bird_count + line.bird_count)
            if before
            else line
        )
    return tuple(totals[pool] for pool in sorted(totals))
