"""The peer of the bench has to be right before it may be compared with."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from deploy.local.issuer import mint
from deploy.local.keys import Keys, make_keys
from tests.bench.checks import check_peer
from tests.bench.goods import GOODS, OPENING_GRAMS, store_ids
from tests.bench.monolith.app import Settings, make_app
from tests.bench.stores import add_to_peer
from venus_kit.testing import DatabaseUrls

STORES = store_ids(2)
STORE = STORES.start
SKIN = GOODS[0]


@dataclass(frozen=True, slots=True)
class Shop:
    """The monolith in this process, on a database of its own."""

    client: httpx.AsyncClient
    keys: Keys
    url: str

    async def sell(self, *lines: dict[str, Any], store_id: int = STORE, sale_id: str = "", token: str = "") -> Any:
        body = {
            "saleId": sale_id or str(uuid4()),
            "saleType": "SALE_TYPE_POS",
            "paymentMethod": "PAYMENT_METHOD_CASH",
            "lines": lines or [line(2_500)],
        }
        token = token or mint(self.keys, "cashier", [STORE])
        headers = {"authorization": f"Bearer {token}"}
        return await self.client.post(f"/v1/stores/{store_id}/sales", json=body, headers=headers)


def line(weight_grams: int, good: Any = SKIN, **more: Any) -> dict[str, Any]:
    return {"skuCode": good.sku_code, "weightGrams": str(weight_grams), **more}


@pytest.fixture
async def shop(empty_database: DatabaseUrls, tmp_path: Path) -> AsyncIterator[Shop]:
    keys = make_keys(tmp_path, ())
    await add_to_peer(empty_database.migrator, STORES)
    settings = Settings(
        port=0, database_url=empty_database.migrator, issuers_file=keys.issuers, trace_ratio=0.5, otlp_endpoint=""
    )
    app = make_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://monolith") as client:
            yield Shop(client, keys, empty_database.migrator)


async def test_a_sale_is_priced_numbered_and_booked(shop: Shop) -> None:
    first = await shop.sell(line(2_500), line(1_250, GOODS[1]))
    second = await shop.sell(line(100, pricePaisePerKg="18000"))
    sale = first.json()["sale"]
    assert (first.status_code, sale["totalPaise"], sale["cashier"]) == (200, 72_500, "demo-cashier")
    assert first.headers["x-correlation-id"] == sale["correlationId"]
    assert [answer.json()["sale"]["receiptNumber"][-6:] for answer in (first, second)] == ["000001", "000002"]
    await check_peer("monolith", shop.url, acknowledged=2, unknown=0)


async def test_a_repeat_gets_the_first_answer_and_another_content_is_refused(shop: Shop) -> None:
    sale_id = str(uuid4())
    answers = await asyncio.gather(*(shop.sell(sale_id=sale_id) for _ in range(5)))
    assert sorted(answer.json()["replayed"] for answer in answers) == [False, True, True, True, True]
    assert len({answer.json()["sale"]["receiptNumber"] for answer in answers}) == 1
    assert len({answer.json()["sale"]["createTime"] for answer in answers}) == 1
    other = await shop.sell(line(1), sale_id=sale_id)
    assert (other.status_code, other.json()["error"]["reason"]) == (400, "IDEMPOTENCY_MISMATCH")
    await check_peer("monolith", shop.url, acknowledged=1, unknown=0)


async def test_two_tills_cannot_oversell_and_a_refusal_uses_no_number(shop: Shop) -> None:
    session = await asyncpg.connect(shop.url)
    await session.execute("UPDATE pool SET opening_grams = 10000, on_hand_grams = 10000")
    await session.close()
    answers = await asyncio.gather(shop.sell(line(8_000)), shop.sell(line(8_000)))
    refused = next(answer for answer in answers if answer.status_code == 400)
    assert refused.json()["error"]["reason"] == "INSUFFICIENT_STOCK"
    assert sorted(answer.status_code for answer in answers) == [200, 400]
    twice_one_pool = await shop.sell(line(1_500), line(1_500))
    assert twice_one_pool.status_code == 400
    await check_peer("monolith", shop.url, acknowledged=1, unknown=0)


async def test_what_does_not_fit_is_refused_before_anything_is_written(shop: Shop) -> None:
    assert (await shop.sell(line(0))).status_code == 422
    assert (await shop.sell({"skuCode": "NO-SUCH", "weightGrams": "1"})).json()["error"]["reason"] == "SKU_NOT_SELLABLE"
    assert (await shop.sell(line(1, pricePaisePerKg="1"))).json()["error"]["reason"] == "PRICE_CHANGED"
    assert (await shop.sell(line(1, birdCount=1))).json()["error"]["reason"] == "BIRD_COUNT_WRONG"
    assert (await shop.sell(store_id=STORES[1])).json()["error"]["reason"] == "STORE_NOT_FOUND", "not their store"
    assert (await shop.sell(token="forged")).status_code == 401
    assert (await shop.client.get("/metrics/")).text.count("monolith_requests_total") > 1
    await check_peer("monolith", shop.url, acknowledged=0, unknown=0)


async def test_books_that_do_not_add_up_are_noticed(shop: Shop) -> None:
    await shop.sell()
    with pytest.raises(AssertionError, match="1 sales recorded, 2 acknowledged"):
        await check_peer("monolith", shop.url, acknowledged=2, unknown=0)
    session = await asyncpg.connect(shop.url)
    await session.execute("UPDATE pool SET on_hand_grams = $1 WHERE store_id = $2", OPENING_GRAMS, STORE)
    await session.close()
    with pytest.raises(AssertionError, match="stock left exactly as sold"):
        await check_peer("monolith", shop.url, acknowledged=1, unknown=0)
