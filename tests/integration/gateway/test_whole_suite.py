"""The gateway in front of the real services: what a till sees."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.gateway.__main__ import running
from services.gateway.settings import Settings
from tests.integration.gateway.conftest import reason_of
from tests.suite import Suite, suite_running
from tests.unit.gateway.issuers import Issuer, write_issuers
from venus_kit.testing import DatabaseUrls, ServiceKeys

EXAMPLE = [
    {"skuCode": "BRO-SKIN", "weightGrams": "2500", "birdCount": 0, "pricePaisePerKg": "18000"},
    {"skuCode": "BRO-SKINLESS", "weightGrams": 1250},
]


@dataclass
class Shop:
    suite: Suite
    client: httpx.AsyncClient


@pytest.fixture
async def shop(
    database_url: Callable[[str], DatabaseUrls], identities: ServiceKeys, issuer: Issuer, tmp_path: Path
) -> AsyncIterator[Shop]:
    async with suite_running(database_url, identities) as suite:
        told: dict[str, Any] = {f"{name}_target": f"127.0.0.1:{port}" for name, port in suite.ports.items()}
        settings = Settings(
            service_key_file=identities.key_files["gateway"],
            service_jwks_file=identities.jwks_file,
            issuers_file=write_issuers(tmp_path, issuer),
            **told,
        )
        token = issuer.token(permissions=["sales.create", "sales.view", "inventory.view", "sagas.view", "ledger.view"])
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(headers=headers, timeout=30) as client, running(settings) as up:
            client.base_url = up.url
            await suite.open_stock(1, 100_000)
            yield Shop(suite, client)


def sale(**changes):
    return {
        "saleId": str(uuid4()),
        "saleType": "SALE_TYPE_POS",
        "paymentMethod": "PAYMENT_METHOD_CASH",
        "customerId": "",
        "lines": EXAMPLE,
        **changes,
    }


async def test_a_till_sells_the_example_and_finds_it_again(shop):
    wanted = sale()
    answer = await shop.client.post("/v1/stores/1/sales", json=wanted)
    assert answer.status_code == 200, answer.text
    sold = answer.json()["sale"]
    assert sold["saleId"] == wanted["saleId"]
    assert sold["storeId"] == 1
    assert sold["totalPaise"] == "72500"
    assert sold["status"] == "SALE_STATUS_COMPLETED"
    assert sold["paymentStatus"] == "PAYMENT_STATUS_PAID"
    assert sold["receiptNumber"].startswith("STORE-001-")
    assert sold["correlationId"] == answer.headers["x-correlation-id"]
    assert sold["cashier"] == "asha"
    assert [line["totalPaise"] for line in sold["lines"]] == ["45000", "27500"]

    again = await shop.client.post("/v1/stores/1/sales", json=wanted)
    assert again.json() == {"sale": sold, "replayed": True}
    other = await shop.client.post("/v1/stores/1/sales", json={**wanted, "lines": EXAMPLE[:1]})
    assert (other.status_code, reason_of(other)) == (409, "IDEMPOTENCY_MISMATCH")

    found = await shop.client.get(f"/v1/stores/1/sales/{wanted['saleId']}")
    assert found.json()["sale"]["receiptNumber"] == sold["receiptNumber"]
    listed = await shop.client.get("/v1/stores/1/sales", params={"businessDate": sold["businessDate"]})
    assert [it["saleId"] for it in listed.json()["sales"]] == [wanted["saleId"]]

    await shop.suite.settled()
    saga = await shop.client.get(f"/v1/transactions/{wanted['saleId']}")
    assert saga.json()["transaction"]["status"] == "TRANSACTION_STATUS_COMPLETED"
    traced = await shop.client.get("/v1/transactions", params={"trace_id": sold["correlationId"]})
    assert [it["transactionId"] for it in traced.json()["transactions"]] == [wanted["saleId"]]
    till = await shop.client.get("/v1/stores/1/accounts")
    assert "72500" in {account["balancePaise"] for account in till.json()["accounts"]}


async def test_a_refusal_comes_through_with_its_facts(shop):
    answer = await shop.client.post(
        "/v1/stores/1/sales", json=sale(lines=[{"skuCode": "BRO-SKIN", "weightGrams": 100_001}])
    )
    assert (answer.status_code, reason_of(answer)) == (400, "INSUFFICIENT_STOCK")
    facts = answer.json()["error"]["details"][0]["metadata"]
    assert (facts["available_grams"], facts["wanted_grams"]) == ("100000", "100001")


async def test_field_rules_are_told_by_the_names_that_were_sent(shop):
    for lines, path in (
        ([], "lines"),
        ([{"skuCode": "BRO-SKIN", "weightGrams": 0}], "lines[0].weightGrams"),
        ([{"skuCode": "bro skin", "weightGrams": 1}], "lines[0].skuCode"),
    ):
        answer = await shop.client.post("/v1/stores/1/sales", json=sale(lines=lines))
        assert (answer.status_code, reason_of(answer)) == (400, "INVALID_REQUEST")
        assert [it["field"] for it in answer.json()["error"]["details"][1]["fieldViolations"]] == [path]


async def test_many_tills_sell_what_there_is_and_no_more(shop):
    line = {"skuCode": "BRO-SKIN", "weightGrams": 2_000}
    answers = await asyncio.gather(
        *(shop.client.post("/v1/stores/1/sales", json=sale(lines=[line])) for _ in range(80))
    )
    outcomes = [answer.status_code for answer in answers]
    assert outcomes.count(200) == 50
    assert {reason_of(answer) for answer in answers if answer.status_code == 400} == {"INSUFFICIENT_STOCK"}
    assert outcomes.count(400) == 30
    await shop.suite.settled()
    stock = (await shop.client.get("/v1/stores/1/stock")).json()["pools"]
    left = next(
        pool
        for pool in stock
        if (pool["birdType"], pool["inventoryType"]) == ("BIRD_TYPE_BROILER", "INVENTORY_TYPE_SKIN")
    )
    assert (left["onHandGrams"], left["heldGrams"]) == ("0", "0")


async def test_one_sale_sent_many_times_is_one_sale(shop):
    wanted = sale()
    answers = await asyncio.gather(*(shop.client.post("/v1/stores/1/sales", json=wanted) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["sale"]["receiptNumber"] for answer in answers}) == 1
    assert [answer.json()["replayed"] for answer in answers].count(False) == 1
