"""Demo data, and the first sale: five stores, seven SKUs, stock in every pool, one basket over the counter."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import asyncpg
from grpc.aio import insecure_channel

from deploy.local.keys import Keys
from deploy.local.startup import StackFailed
from deploy.local.web import Answer, Json, ask
from venus.inventory.v1 import inventory_service_pb2 as inventory
from venus.inventory.v1 import inventory_service_pb2_grpc as inventory_grpc
from venus.ledger.v1 import ledger_service_pb2 as ledger
from venus.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc
from venus.type.v1.store_pb2 import StoreFacts, StoreStatus
from venus_kit.identity import ServiceIdentity
from venus_kit.ids import new_id

STORE_IDS: Final = (1, 2, 3, 4, 5)
SALE_STORE_ID: Final = 1
CATALOGUE: Final = Path(__file__).with_name("catalogue.sql")
_RPC_TIMEOUT_S: Final = 10.0
_LONGEST_SALE_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Opening:
    """What one pool of every store starts with."""

    bird_type: str
    inventory_type: str
    weight_grams: int
    bird_count: int = 0


OPENINGS: Final = (
    Opening("BIRD_TYPE_BROILER", "INVENTORY_TYPE_LIVE", 1_000_000, 500),
    Opening("BIRD_TYPE_BROILER", "INVENTORY_TYPE_SKIN", 2_000_000),
    Opening("BIRD_TYPE_BROILER", "INVENTORY_TYPE_SKINLESS", 2_000_000),
    Opening("BIRD_TYPE_PARENT_CULL", "INVENTORY_TYPE_LIVE", 600_000, 200),
    Opening("BIRD_TYPE_PARENT_CULL", "INVENTORY_TYPE_SKIN", 800_000),
    Opening("BIRD_TYPE_PARENT_CULL", "INVENTORY_TYPE_SKINLESS", 800_000),
)
BASKET: Final[Sequence[Mapping[str, Any]]] = (
    {"skuCode": "BRO-SKIN", "weightGrams": "2500", "birdCount": 0, "pricePaisePerKg": "18000"},
    {"skuCode": "BRO-SKINLESS", "weightGrams": "1250", "birdCount": 0, "pricePaisePerKg": "22000"},
)
RESTOCK_BELOW_GRAMS: Final = 10_000
RESTOCK_GRAMS: Final = 500_000


async def seed_catalogue(sales_url: str) -> list[StoreFacts]:
    """Stores, SKUs and prices into the sales database; returns the stores as that database now knows them."""
    session = await asyncpg.connect(sales_url)
    try:
        await session.execute(CATALOGUE.read_text(encoding="utf-8"))
        rows = await session.fetch("SELECT store_id, status, time_zone, version FROM store ORDER BY store_id")
    finally:
        await session.close()
    return [
        StoreFacts(
            store_id=row["store_id"],
            status=StoreStatus.Value(f"STORE_STATUS_{row['status']}"),
            time_zone=row["time_zone"],
            version=row["version"],
        )
        for row in rows
    ]


async def hand_out_facts(facts: Sequence[StoreFacts], keys: Keys, targets: Mapping[str, str]) -> None:
    """Give inventory and ledger their copies of the stores' facts, as the orchestrator would."""
    identity = ServiceIdentity("orchestrator", keys.service_key("orchestrator").read_bytes())
    badge = (("authorization", f"Bearer {identity.token()}"),)
    async with insecure_channel(targets["inventory"]) as to_inventory, insecure_channel(targets["ledger"]) as to_ledger:
        stock, money = inventory_grpc.InventoryServiceStub(to_inventory), ledger_grpc.LedgerServiceStub(to_ledger)
        for store in facts:
            for_stock = inventory.ApplyStoreFactsRequest(store=store)
            for_money = ledger.ApplyStoreFactsRequest(store=store)
            await stock.ApplyStoreFacts(for_stock, metadata=badge, timeout=_RPC_TIMEOUT_S)
            await money.ApplyStoreFacts(for_money, metadata=badge, timeout=_RPC_TIMEOUT_S)


async def open_stock(gateway: str, token: str) -> None:
    """Opening stock for every store; the ids are always the same, so that a second time changes nothing."""
    await asyncio.gather(*(_open_store(gateway, token, store_id) for store_id in STORE_IDS))


async def _open_store(gateway: str, token: str, store_id: int) -> None:
    balances = [
        {
            "birdType": opening.bird_type,
            "inventoryType": opening.inventory_type,
            "weightGrams": str(opening.weight_grams),
            "birdCount": opening.bird_count,
        }
        for opening in OPENINGS
    ]
    opening_id = str(uuid5(NAMESPACE_URL, f"https://venus.local/stores/{store_id}/opening"))
    url = f"{gateway}/v1/stores/{store_id}/stock:open"
    _expect(await ask("POST", url, token=token, body={"openingId": opening_id, "balances": balances}), "open stock")


async def restock(gateway: str, token: str) -> None:
    """Buy in where the demo store has sold out over many starts, or its next demo sale would be refused."""
    url = f"{gateway}/v1/stores/{SALE_STORE_ID}/stock"
    for pool in _expect(await ask("GET", url, token=token), "read stock")["pools"]:
        if pool["inventoryType"] == "INVENTORY_TYPE_LIVE" or int(pool["availableGrams"]) >= RESTOCK_BELOW_GRAMS:
            continue
        adjustment = {
            "adjustmentId": str(new_id()),
            "birdType": pool["birdType"],
            "inventoryType": pool["inventoryType"],
            "delta": {"weightGrams": str(RESTOCK_GRAMS), "birdCount": 0},
            "reason": "MOVEMENT_REASON_ADJUSTMENT",
            "note": "bought in for the demo",
        }
        _expect(await ask("POST", f"{url}:adjust", token=token, body=adjustment), "restock")


async def sell(gateway: str, token: str) -> Json:
    """The example sale, from the till's side: returns the sale once it is completed. Errors: StackFailed."""
    body = {
        "saleId": str(new_id()),
        "saleType": "SALE_TYPE_POS",
        "paymentMethod": "PAYMENT_METHOD_CASH",
        "customerId": "",
        "lines": list(BASKET),
    }
    give_up_at = time.monotonic() + _LONGEST_SALE_S
    while True:
        answer = await ask("POST", f"{gateway}/v1/stores/{SALE_STORE_ID}/sales", token=token, body=body)
        sale: Json = _expect(answer, "sell")["sale"]
        if sale["status"] == "SALE_STATUS_COMPLETED":
            return sale
        if time.monotonic() > give_up_at:
            raise StackFailed(f"the sale {body['saleId']} is still {sale['status']} after {_LONGEST_SALE_S:g} s")
        await asyncio.sleep(_LOOK_EVERY_S)


async def await_end(gateway: str, token: str, sale_id: str) -> frozenset[str]:
    """The names of the sale's steps once it is booked everywhere; the till is answered earlier. Errors: StackFailed."""
    give_up_at = time.monotonic() + _LONGEST_SALE_S
    while time.monotonic() < give_up_at:
        answer = await ask("GET", f"{gateway}/v1/transactions/{sale_id}", token=token)
        transaction: Json = _expect(answer, "read the transaction")["transaction"]
        if transaction["status"] == "TRANSACTION_STATUS_COMPLETED":
            return frozenset(str(step["name"]) for step in transaction["steps"])
        await asyncio.sleep(_LOOK_EVERY_S)
    raise StackFailed(f"the sale {sale_id} was answered but never finished; see the orchestrator's log")


def _expect(answer: Answer, what: str) -> Json:
    """The body of an answer that is neither an error nor empty."""
    body = answer.json()
    if answer.status in (200, 202) and body:
        return body
    trace = answer.headers.get("x-correlation-id", "none")
    said = answer.body.decode(errors="replace")[:600]
    raise StackFailed(f"could not {what}: HTTP {answer.status}, trace {trace}: {said}")
