"""The number that is printed on a receipt."""

from datetime import date


def receipt_number(store_code: str, business_date: date, number: int) -> str:
    """`{store_code}-{YYYYMMDD}-{number}`: at least six digits, and as many more as the number needs."""
    return f"{store_code}-{business_date:%Y%m%d}-{number:06d}"
