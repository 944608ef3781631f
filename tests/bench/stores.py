"""The stores of a race: in the suite through its own doors as far as it has them, in the peers by SQL."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from uuid import uuid4

import asyncpg

from deploy.local.demo import hand_out_facts
from deploy.local.keys import Keys
from deploy.local.stack import Stack
from deploy.local.startup import StackFailed
from deploy.local.web import ask
from tests.bench.goods import GOODS, OPENING_GRAMS
from venus.type.v1.store_pb2 import STORE_STATUS_ACTIVE, StoreFacts
from venus_kit.sql import split_queries

MONOLITH: Final = Path(__file__).with_name("monolith")
_AT_ONCE: Final = 8
_ADD_TO_SALES: Final = """
WITH added AS (
    INSERT INTO store (store_id, code, name)
    SELECT store_id, 'BENCH-' || store_id, 'Bench ' || store_id
    FROM generate_series($1::integer, $2::integer) AS store_id
    RETURNING store_id
)
INSERT INTO store_price (store_id, sku_code, effective_on, price_paise_per_kg, set_by)
SELECT added.store_id, listed.sku_code, date '2025-01-01', listed.price_paise_per_kg, 'bench'
FROM added, unnest($3::text[], $4::bigint[]) AS listed (sku_code, price_paise_per_kg)
"""


async def add_to_suite(stack: Stack, stores: range) -> None:
    """Stores, prices and opening stock for the services. Errors: StackFailed."""
    sales = await asyncpg.connect(stack.databases["sales"].migrator)
    try:
        codes, prices = [good.sku_code for good in GOODS], [good.price_paise_per_kg for good in GOODS]
        await sales.execute(_ADD_TO_SALES, stores.start, stores.stop - 1, codes, prices)
    finally:
        await sales.close()
    facts = [
        StoreFacts(store_id=store_id, status=STORE_STATUS_ACTIVE, time_zone="Asia/Kolkata", version=1)
        for store_id in stores
    ]
    await hand_out_facts(facts, Keys(stack.home.keys), stack.addresses.grpc)
    turn = asyncio.Semaphore(_AT_ONCE)

    async def open_stock(store_id: int) -> None:
        async with turn:
            await _open_stock(stack, store_id)

    await asyncio.gather(*map(open_stock, stores))


async def _open_stock(stack: Stack, store_id: int) -> None:
    balances = [
        {
            "birdType": f"BIRD_TYPE_{good.bird_type}",
            "inventoryType": f"INVENTORY_TYPE_{good.inventory_type}",
            "weightGrams": str(OPENING_GRAMS),
        }
        for good in GOODS
    ]
    url = f"{stack.gateway_url}/v1/stores/{store_id}/stock:open"
    body = {"openingId": str(uuid4()), "balances": balances}
    answer = await ask("POST", url, token=stack.tokens["admin"], body=body)
    if answer.status != 200:
        raise StackFailed(f"could not open store {store_id}: HTTP {answer.status} {answer.body.decode()}")


async def add_to_peer(url: str, stores: range) -> None:
    """The schema of the monolith, and the same stores in it."""
    seed = dict(split_queries((MONOLITH / "seed.sql").read_text(encoding="utf-8"), "seed.sql"))
    column: Mapping[str, list[str]] = {
        name: [getattr(good, name) for good in GOODS] for name in ("sku_code", "name", "bird_type", "inventory_type")
    }
    session = await asyncpg.connect(url)
    try:
        await session.execute((MONOLITH / "schema.sql").read_text(encoding="utf-8"))
        await session.execute(seed["add_stores"], stores.start, stores.stop - 1)
        await session.execute(seed["add_skus"], *column.values())
        await session.execute(seed["add_prices"], column["sku_code"], [good.price_paise_per_kg for good in GOODS])
        await session.execute(seed["add_pools"], OPENING_GRAMS)
        await session.execute(seed["add_accounts"])
        await session.execute("ANALYZE store, sku, store_price, pool, account")
    finally:
        await session.close()
