"""What is sold in a race, and where: the same two lines in every sale, the weights drawn anew each time."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Good:
    """One line of every basket."""

    sku_code: str
    name: str
    bird_type: str
    inventory_type: str
    price_paise_per_kg: int


GOODS: Final = (
    Good("BRO-SKIN", "Broiler with skin", "BROILER", "SKIN", 18_000),
    Good("BRO-SKINLESS", "Broiler without skin", "BROILER", "SKINLESS", 22_000),
)
LEAST_GRAMS: Final = 1_000
MOST_GRAMS: Final = 2_999
OPENING_GRAMS: Final = 10**9
"""So much in each pool that no race empties it."""
FIRST_STORE_ID: Final = 1_001
"""Above the stores of the demo data."""


def store_ids(count: int) -> range:
    """The stores of a race."""
    return range(FIRST_STORE_ID, FIRST_STORE_ID + count)
