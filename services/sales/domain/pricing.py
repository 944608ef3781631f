"""What a weight costs, in whole paise."""

from typing import Final

GRAMS_PER_KG: Final = 1000


def line_total(weight_grams: int, price_paise_per_kg: int) -> int:
    """The price of one line in paise: grams x price / 1000, halves rounded away from zero.

    Both must not be negative (ValueError); exact at any size, and 0 where the goods are worth less than half a paisa.
    """
    if weight_grams < 0 or price_paise_per_kg < 0:
        raise ValueError(f"neither {weight_grams} g nor {price_paise_per_kg} paise per kg may be negative")
    return (weight_grams * price_paise_per_kg + GRAMS_PER_KG // 2) // GRAMS_PER_KG
