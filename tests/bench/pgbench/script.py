"""The monolith's transaction as a pgbench script: the same statements, fed with pgbench's variables."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from tests.bench.goods import GOODS, LEAST_GRAMS, MOST_GRAMS

_PARAMETER: Final = re.compile(r"\$(\d+)")
_DATE: Final = "(now() AT TIME ZONE 'Asia/Kolkata')"
_TRACE: Final = "'0123456789abcdef0123456789abcdef'"
_ID: Final = ":sale_id"
_NUMBERS: Final = range(1, len(GOODS) + 1)


def script(statements: Mapping[str, str], new_uuid: str) -> str:
    """The whole script; `new_uuid` is the SQL that makes an id (uuidv7() where the server has it)."""
    lines = [r"\set store random(:first_store, :last_store)"]
    for number, good in zip(_NUMBERS, GOODS, strict=True):
        lines.append(rf"\set grams{number} random({LEAST_GRAMS}, {MOST_GRAMS})")
        lines.append(rf"\set total{number} (:grams{number} * {good.price_paise_per_kg} + 500) / 1000")
    lines.append(rf"\set total {' + '.join(f':total{number}' for number in _NUMBERS)}")
    lines.append(_filled(statements["read_offers"], [":store", _texts("sku_code")]) + ";")
    lines.append("BEGIN;")
    for name, values in _values(new_uuid).items():
        keeps = name in ("next_receipt", "insert_sale")  # whose one row later statements need
        lines.append(_filled(statements[name], values) + (r" \gset" if keeps else ";"))
    lines.append("COMMIT;")
    return "\n".join([*lines, ""])


def _values(new_uuid: str) -> Mapping[str, Sequence[str]]:
    """What stands for $1, $2, ... in each statement."""
    birds, forms = _texts("bird_type"), _texts("inventory_type")
    grams, totals = _variables("grams"), _variables("total")
    counts = f"ARRAY[{', '.join('0' for _ in GOODS)}]"
    prices = f"ARRAY[{', '.join(str(good.price_paise_per_kg) for good in GOODS)}]"
    places = f"ARRAY[{', '.join(map(str, _NUMBERS))}]"
    receipt = "(:store::text || '-' || :last_receipt_number::text)"
    till, sales = "('store.' || :store::text || '.till.cash')", "('store.' || :store::text || '.sales')"
    return {
        "take_stock": [":store", birds, forms, grams, counts],
        "next_receipt": [":store", _DATE],
        "insert_sale": [
            *(":store", new_uuid, r"'\x01'", _DATE, ":last_receipt_number", receipt),
            *("'SALE_TYPE_POS'", "'PAYMENT_METHOD_CASH'", ":total", "'cashier'", _TRACE),
            *(places, _texts("sku_code"), _texts("name"), birds, forms, grams, counts, prices, totals),
        ],
        "post_entry": [_ID, ":store", _DATE, _ID, "'cashier'", _TRACE, till, sales, ":total"],
    }


def _filled(statement: str, values: Sequence[str]) -> str:
    """The statement alone: a comment behind it, which belongs to the next one, would swallow what ends it here."""
    lines = [line for line in statement.splitlines() if not line.startswith("--")]
    text = "\n".join(lines).strip().removesuffix(";")
    return _PARAMETER.sub(lambda found: values[int(found[1]) - 1], text)


def _texts(attribute: str) -> str:
    return f"ARRAY[{', '.join(repr(getattr(good, attribute)) for good in GOODS)}]"


def _variables(name: str) -> str:
    return f"ARRAY[{', '.join(f':{name}{number}::bigint' for number in _NUMBERS)}]"
