import re

import pytest

from tests.bench.pgbench.driving import counted, read_log
from tests.bench.pgbench.script import script
from venus_kit.sql import Queries


def test_only_what_ended_between_warm_up_and_end_counts() -> None:
    log = [f"0 1 500000 0 {1_000 + second} 500000" for second in (0, 1, 2, 3)]
    transactions = read_log(log)
    assert [(one.ended_s, one.took_us) for one in transactions][:2] == [(1000.5, 500_000), (1001.5, 500_000)]
    found = counted(transactions, warm_up_s=1.0, seconds=2.0)
    assert (found.sold, found.acknowledged, found.seconds) == (2, 4, 2.0)
    assert found.latencies_us == [500_000, 500_000]


def test_a_log_without_transactions_counts_none() -> None:
    assert counted([], warm_up_s=1.0, seconds=2.0).sold == 0


def test_the_script_is_the_monoliths_transaction_with_every_value_filled_in() -> None:
    text = script(Queries.load("tests.bench.monolith"), "uuidv7()")
    assert not re.search(r"\$\d", text)
    assert "--" not in text
    wanted = ["FROM store\n", "BEGIN;", "UPDATE pool", "INTO business_day", "INTO sale (", "INTO posting", "COMMIT;"]
    places = [text.index(part) for part in wanted]
    assert places == sorted(places)
    told = set(re.findall(r"\\set (\w+)", text)) | {"first_store", "last_store", "last_receipt_number", "sale_id"}
    assert set(re.findall(r"(?<!:):(\w+)", text)) <= told
    assert text.count(r" \gset") == 2


@pytest.mark.parametrize("name", ["take_stock", "next_receipt", "insert_sale", "post_entry"])
def test_no_statement_of_the_transaction_is_left_out(name: str) -> None:
    statements = dict(Queries.load("tests.bench.monolith"))
    del statements[name]
    with pytest.raises(KeyError):
        script(statements, "uuidv7()")
