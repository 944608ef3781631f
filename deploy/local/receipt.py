"""A sale as a till prints it."""

from collections.abc import Mapping
from typing import Any, Final

_WIDTH: Final = 48


def print_receipt(sale: Mapping[str, Any], store_name: str = "") -> str:
    """The lines of the receipt of a completed sale, as the gateway shows it."""
    rule = "-" * _WIDTH
    words = [str(sale[key]).rsplit("_", 1)[-1] for key in ("paymentMethod", "paymentStatus")]
    lines = [
        rule,
        *([store_name.center(_WIDTH).rstrip()] if store_name else []),
        _ends(f"Receipt {sale['receiptNumber']}", str(sale["businessDate"])),
        rule,
    ]
    for line in sale["lines"]:
        lines.append(f"{line['skuCode']}  {line['skuName']}")
        weight = f"  {kilograms(int(line['weightGrams']))} kg x {rupees(int(line['pricePaisePerKg']))}"
        lines.append(_ends(weight, rupees(int(line["totalPaise"]))))
    lines += [rule, _ends(f"TOTAL  {' '.join(words)}", rupees(int(sale["totalPaise"]))), rule]
    return "\n".join(f"  {line}" for line in lines)


def rupees(paise: int) -> str:
    """Paise as rupees: 72500 is 725.00."""
    sign = "-" if paise < 0 else ""
    whole, part = divmod(abs(paise), 100)
    return f"{sign}{whole:,}.{part:02}"


def kilograms(grams: int) -> str:
    """Grams as kilograms: 2500 is 2.500."""
    sign = "-" if grams < 0 else ""
    whole, part = divmod(abs(grams), 1_000)
    return f"{sign}{whole:,}.{part:03}"


def _ends(left: str, right: str) -> str:
    return f"{left}{right:>{max(1, _WIDTH - len(left))}}"
