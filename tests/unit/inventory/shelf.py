"""Pools and books for tests of the pure rules."""

from datetime import UTC, date, datetime
from typing import Final

from services.inventory.domain.book import Book, Occasion, Reason
from services.inventory.domain.stock import BirdType, InventoryType, Level, Line, Pool

NOON: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
SKIN: Final = Pool(1, BirdType.BROILER, InventoryType.SKIN)
SKINLESS: Final = Pool(1, BirdType.BROILER, InventoryType.SKINLESS)
LIVE: Final = Pool(1, BirdType.BROILER, InventoryType.LIVE)
SALE: Final = Occasion(Reason.SALE, "sale-1", date(2026, 1, 5), "cashier-1", "a" * 32)


def level(pool: Pool, grams: int, held: int = 0, birds: int = 0, held_birds: int = 0) -> Level:
    return Level(pool, grams, held, birds, held_birds, 1, NOON)


def book(*levels: Level) -> Book:
    return Book(levels, NOON)


def skin(grams: int) -> Line:
    return Line(SKIN, grams, 0)


def skinless(grams: int) -> Line:
    return Line(SKINLESS, grams, 0)


def live(grams: int, birds: int) -> Line:
    return Line(LIVE, grams, birds)
