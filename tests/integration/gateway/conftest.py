"""A gateway on a free port, in front of a neighbour that serves the four services from one gRPC server."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import httpx
import pytest
from google.rpc.status_pb2 import Status

from services.gateway.__main__ import Running, running
from services.gateway.settings import Settings
from tests.unit.gateway.issuers import Issuer, write_issuers
from venus.inventory.v1 import inventory_service_pb2, inventory_service_pb2_grpc, pool_pb2
from venus.ledger.v1 import ledger_service_pb2, ledger_service_pb2_grpc
from venus.orchestrator.v1 import orchestrator_service_pb2, orchestrator_service_pb2_grpc, transaction_pb2
from venus.sales.v1 import sale_pb2, sales_service_pb2, sales_service_pb2_grpc
from venus.type.v1 import access_pb2, stock_pb2
from venus_kit.access import AccessRules, current_caller
from venus_kit.errors import Refusal
from venus_kit.grpc_status import status_of
from venus_kit.identity import AssertionVerifier, PublicKeys
from venus_kit.server import Door
from venus_kit.testing import ServiceKeys
from venus_kit.validation import Validation


class InsufficientStock(Refusal):
    """There is not enough stock."""


class Orchestrator(orchestrator_service_pb2_grpc.OrchestratorServiceServicer):
    """Sells by SKU: each SKU has its own fate."""

    def __init__(self, people: AssertionVerifier) -> None:
        self.people = people
        self.batches: list[orchestrator_service_pb2.BatchCreateSalesRequest] = []
        self.sold: list[str] = []
        self.open = asyncio.Event()

    async def BatchCreateSales(self, request, context: Any):
        self.batches.append(request)
        answers = [asyncio.create_task(self._sell(at, item)) for at, item in enumerate(request.items)]
        if any(_fate(item) == "BREAK" for item in request.items):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "broken at ipv4:127.0.0.1:1")
        for answer in asyncio.as_completed(answers):
            outcome = await answer
            if outcome is not None:
                yield orchestrator_service_pb2.BatchCreateSalesResponse(outcomes=[outcome])

    async def _sell(self, at, item) -> orchestrator_service_pb2.CreateSaleOutcome | None:
        person = self.people.person(item.context.assertion)
        fate = _fate(item)
        if fate == "SLOW":
            await self.open.wait()
        if fate == "SILENT":
            return None
        if fate == "SHORT":
            error: Status = status_of(InsufficientStock(available_grams=10, wanted_grams=2500))
            return orchestrator_service_pb2.CreateSaleOutcome(index=at, error=error)
        self.sold.append(item.request.sale_id)
        sale = sale_pb2.Sale(
            sale_id=item.request.sale_id,
            store_id=item.request.store_id,
            status=sale_pb2.SALE_STATUS_PENDING if fate == "PENDING" else sale_pb2.SALE_STATUS_COMPLETED,
            correlation_id=item.context.traceparent.split("-")[1],
            cashier=person.subject,
            total_paise=45000,
        )
        reply = orchestrator_service_pb2.CreateSaleResponse(sale=sale)
        return orchestrator_service_pb2.CreateSaleOutcome(index=at, reply=reply)

    async def GetTransaction(self, request, context):
        transaction = transaction_pb2.Transaction(
            transaction_id=request.transaction_id,
            status=transaction_pb2.TRANSACTION_STATUS_COMPENSATED,
            refusal=status_of(InsufficientStock(available_grams=10)),
        )
        return orchestrator_service_pb2.GetTransactionResponse(transaction=transaction)


def _fate(item) -> str:
    return item.request.lines[0].sku_code if item.request.lines else ""


class Inventory(inventory_service_pb2_grpc.InventoryServiceServicer):
    """Remembers what it was asked, and by whom."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.metadata: list[dict[str, Any]] = []
        self.callers: list[Any] = []
        self.patience_s: list[float] = []
        self.fails: Callable[[], Exception] | None = None
        self.pause = asyncio.Event()
        self.pause.set()

    async def GetStock(self, request, context):
        self.metadata.append(dict(context.invocation_metadata()))
        self.callers.append(current_caller())
        self.patience_s.append(context.time_remaining())
        await self.pause.wait()
        if self.fails is not None:
            raise self.fails()
        pool = pool_pb2.Pool(
            bird_type=stock_pb2.BIRD_TYPE_BROILER,
            inventory_type=stock_pb2.INVENTORY_TYPE_SKIN,
            on_hand_grams=2**60,
            available_grams=5,
        )
        return inventory_service_pb2.GetStockResponse(pools=[pool])

    async def AdjustStock(self, request, context):
        self.asked.append(request)
        return inventory_service_pb2.AdjustStockResponse(replayed=True)


class Sales(sales_service_pb2_grpc.SalesServiceServicer):
    async def ListSales(self, request, context):
        return sales_service_pb2.ListSalesResponse(next_page_token=f"{request.page_size}")


class Porch(grpc.aio.ServerInterceptor):
    """Stands before the door and sees every call that comes, also those that the door turns away."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def intercept_service(self, continuation, handler_call_details):
        self.seen.append(handler_call_details.method.rpartition("/")[2])
        return await continuation(handler_call_details)


class Neighbour:
    """All four services behind one port, each call let in by the kit's own door."""

    def __init__(self, keys: PublicKeys) -> None:
        self.orchestrator = cast("Any", Orchestrator)(AssertionVerifier(keys))
        self.inventory = cast("Any", Inventory)()
        services = [
            orchestrator_service_pb2.DESCRIPTOR.services_by_name["OrchestratorService"],
            inventory_service_pb2.DESCRIPTOR.services_by_name["InventoryService"],
            sales_service_pb2.DESCRIPTOR.services_by_name["SalesService"],
            ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"],
        ]
        door = Door(AccessRules(access_pb2.access, services), keys, Validation())
        self.porch = Porch()
        self.server = grpc.aio.server(interceptors=[self.porch, door])
        orchestrator_service_pb2_grpc.add_OrchestratorServiceServicer_to_server(self.orchestrator, self.server)
        inventory_service_pb2_grpc.add_InventoryServiceServicer_to_server(self.inventory, self.server)
        sales_service_pb2_grpc.add_SalesServiceServicer_to_server(cast("Any", Sales)(), self.server)
        ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server(
            cast("Any", ledger_service_pb2_grpc.LedgerServiceServicer)(), self.server
        )
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.target = f"127.0.0.1:{self.port}"


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


@pytest.fixture
async def neighbour(identities: ServiceKeys) -> AsyncIterator[Neighbour]:
    neighbour = Neighbour(PublicKeys.read(identities.jwks_file))
    await neighbour.server.start()
    yield neighbour
    neighbour.orchestrator.open.set()
    neighbour.inventory.pause.set()
    await neighbour.server.stop(0)


@pytest.fixture
def start(identities: ServiceKeys, issuer: Issuer, tmp_path: Path):
    """`async with start(neighbour, body_bytes=...) as (running, client)`; the client is signed in."""

    @asynccontextmanager
    async def start(neighbour: Neighbour, **changes) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
        told: dict[str, Any] = {
            "service_key_file": identities.key_files["gateway"],
            "service_jwks_file": identities.jwks_file,
            "issuers_file": write_issuers(tmp_path, issuer),
            "grace_s": 2.0,
            "inventory_target": neighbour.target,
            "sales_target": neighbour.target,
            "ledger_target": neighbour.target,
            "orchestrator_target": neighbour.target,
            **changes,
        }
        headers = {"authorization": f"Bearer {issuer.token()}"}
        async with httpx.AsyncClient(headers=headers) as client, running(Settings(**told)) as up:
            client.base_url = up.url
            yield up, client

    return start


@pytest.fixture
async def started(start, neighbour: Neighbour) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    async with start(neighbour) as started:
        yield started


@pytest.fixture
def gateway(started: tuple[Running, httpx.AsyncClient]) -> Running:
    return started[0]


@pytest.fixture
def client(started: tuple[Running, httpx.AsyncClient]) -> httpx.AsyncClient:
    """A signed-in cashier of store 1."""
    return started[1]


async def until(condition: Callable[[], Any], within_s: float = 5.0) -> None:
    ends_at_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_at_s
        await asyncio.sleep(0.005)


def reason_of(answer: httpx.Response) -> str:
    return answer.json()["error"]["details"][0]["reason"]


def sale(number: int = 1, sku: str = "BRO-SKIN", **changes) -> dict[str, Any]:
    return {
        "saleId": f"0190c2a4-0000-7000-8000-{number:012d}",
        "saleType": "SALE_TYPE_POS",
        "paymentMethod": "PAYMENT_METHOD_CASH",
        "customerId": "",
        "lines": [{"skuCode": sku, "weightGrams": "2500", "birdCount": 0, "pricePaisePerKg": "18000"}],
        **changes,
    }
