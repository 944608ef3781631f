"""What must be true of every contender's books after a race."""

from collections.abc import Mapping

import asyncpg

from tests.bench.figures import VENUS
from tests.suite import _BALANCES_ADD_UP, _RECEIPTS_WITH_GAPS, Suite, assert_invariants
from venus_kit.roles import ServiceUrls
from venus_kit.testing import DatabaseUrls

_STOCK_IS_WHAT_WAS_NOT_SOLD = """
SELECT pool.store_id FROM pool
LEFT JOIN (
    SELECT store_id, bird_type, inventory_type, sum(weight_grams) AS grams FROM sale_line GROUP BY 1, 2, 3
) AS sold USING (store_id, bird_type, inventory_type)
WHERE opening_grams - on_hand_grams <> coalesce(sold.grams, 0)
"""
_MONEY_IS_WHAT_WAS_SOLD = """
SELECT sale_id FROM sale
LEFT JOIN (SELECT store_id, sale_id, sum(total_paise) AS paise FROM sale_line GROUP BY 1, 2) AS line
    USING (store_id, sale_id)
LEFT JOIN (SELECT reference, sum(amount_paise) AS paise FROM entry JOIN posting USING (entry_id) GROUP BY 1) AS booked
    ON booked.reference = sale_id::text
WHERE sale.total_paise IS DISTINCT FROM line.paise OR sale.total_paise IS DISTINCT FROM booked.paise
"""


class Books(Suite):
    """The suite's databases alone, without its services: what the invariants are asked of."""

    def __init__(self, databases: Mapping[str, ServiceUrls]) -> None:
        self.urls = {name: DatabaseUrls(urls.service, urls.migrator) for name, urls in databases.items()}


async def settled(databases: Mapping[str, ServiceUrls]) -> None:
    """Wait until no saga of the suite is open."""
    await Books(databases).settled(patience_s=60.0)


async def check_suite(databases: Mapping[str, ServiceUrls], acknowledged: int, unknown: int) -> None:
    """The suite's invariants, and that it holds what it acknowledged. Errors: AssertionError."""
    books = Books(databases)
    await assert_invariants(books)
    _check_count(VENUS, await books.value("sales", "SELECT count(*) FROM sale"), acknowledged, unknown)


async def check_peer(name: str, url: str, acknowledged: int, unknown: int) -> None:
    """Stock, receipts and balances of a peer. Errors: AssertionError."""
    session = await asyncpg.connect(url)
    try:
        assert not await session.fetch(_STOCK_IS_WHAT_WAS_NOT_SOLD), f"{name}: stock left exactly as sold"
        assert not await session.fetch(_MONEY_IS_WHAT_WAS_SOLD), f"{name}: money moved exactly as sold"
        assert not await session.fetch(_RECEIPTS_WITH_GAPS), f"{name}: receipts without gaps"
        assert not await session.fetch(_BALANCES_ADD_UP), f"{name}: balance = postings"
        _check_count(name, await session.fetchval("SELECT count(*) FROM sale"), acknowledged, unknown)
    finally:
        await session.close()


def _check_count(name: str, recorded: int, acknowledged: int, unknown: int) -> None:
    told = f"{name}: {recorded} sales recorded, {acknowledged} acknowledged, {unknown} unknown"
    assert acknowledged <= recorded <= acknowledged + unknown, told
