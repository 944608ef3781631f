"""The whole suite in one process on real databases, and what must be true of it after whatever happened."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import grpc.aio
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from services.inventory.__main__ import running as running_inventory
from services.inventory.settings import Settings as InventorySettings
from services.ledger.__main__ import running as running_ledger
from services.ledger.settings import Settings as LedgerSettings
from services.orchestrator.__main__ import running as running_orchestrator
from services.orchestrator.settings import Settings as OrchestratorSettings
from services.sales.__main__ import running as running_sales
from services.sales.settings import Settings as SalesSettings
from venus.inventory.v1 import inventory_service_pb2, inventory_service_pb2_grpc
from venus.inventory.v1.inventory_service_pb2 import ApplyStoreFactsRequest, OpeningBalance, OpenStockRequest
from venus.inventory.v1.pool_pb2 import Pool
from venus.ledger.v1 import ledger_service_pb2, ledger_service_pb2_grpc
from venus.orchestrator.v1 import orchestrator_service_pb2 as saga_pb
from venus.orchestrator.v1 import orchestrator_service_pb2_grpc, transaction_pb2
from venus.sales.v1 import sale_pb2, sales_service_pb2, sales_service_pb2_grpc
from venus.type.v1 import payment_pb2, stock_pb2, store_pb2
from venus.type.v1.item_context_pb2 import ItemContext
from venus_kit.access import Person
from venus_kit.client import connect
from venus_kit.errors import Refusal
from venus_kit.grpc_status import refusal_of, status_of_rpc_error
from venus_kit.identity import ASSERTION_KEY, AssertionSigner, ServiceIdentity
from venus_kit.telemetry import new_traceparent
from venus_kit.testing import DatabaseUrls, ServiceKeys

ROOT = Path(__file__).parents[1]
PYTHONPATH = os.pathsep.join(str(ROOT / part) for part in ("", "libs", "gen"))
SERVICES = ("inventory", "sales", "ledger", "orchestrator")
EVERYTHING = frozenset(
    {
        "sales.create",
        "sales.view",
        "sales.bulk",
        "sales.credit",
        "inventory.view",
        "inventory.adjust",
        "ledger.view",
        "sagas.view",
    }
)
ADMIN = Person("admin", permissions=EVERYTHING, all_stores=True)
CASHIER = Person("cashier-1", permissions=frozenset({"sales.create", "sales.view"}), store_ids=frozenset({1, 2, 3}))
STORES = (1, 2, 3)
BROILER, PARENT_CULL = stock_pb2.BIRD_TYPE_BROILER, stock_pb2.BIRD_TYPE_PARENT_CULL
LIVE, SKIN, SKINLESS = (
    stock_pb2.INVENTORY_TYPE_LIVE,
    stock_pb2.INVENTORY_TYPE_SKIN,
    stock_pb2.INVENTORY_TYPE_SKINLESS,
)
ACTIVE = store_pb2.STORE_STATUS_ACTIVE

Reply = TypeVar("Reply")
Answer = saga_pb.CreateSaleResponse | Refusal

CATALOGUE = """
INSERT INTO store (store_id, code, name)
VALUES (1, 'STORE-001', 'Market'), (2, 'STORE-002', 'Station'), (3, 'STORE-003', 'Lake');
INSERT INTO sku (code, name, bird_type, inventory_type, active) VALUES
    ('BRO-LIVE', 'Broiler, live', 'BROILER', 'LIVE', true),
    ('BRO-SKIN', 'Broiler with skin', 'BROILER', 'SKIN', true),
    ('BRO-SKINLESS', 'Broiler without skin', 'BROILER', 'SKINLESS', true),
    ('PC-SKIN', 'Parent cull with skin', 'PARENT_CULL', 'SKIN', true),
    ('CW-001', 'Chicken wings', 'BROILER', 'SKIN', true),
    ('OLD-001', 'Not sold any more', 'BROILER', 'SKIN', false),
    ('NEW-001', 'No price yet', 'BROILER', 'SKIN', true);
INSERT INTO store_price (store_id, sku_code, effective_on, price_paise_per_kg, set_by)
SELECT store_id, sku_code, '2025-01-01', price, 'owner' FROM store, (VALUES
    ('BRO-LIVE', 12000), ('BRO-SKIN', 18000), ('BRO-SKINLESS', 22000), ('PC-SKIN', 14000), ('CW-001', 16000),
    ('OLD-001', 100)) AS list (sku_code, price);
"""


def line(sku_code: str, weight_grams: int, bird_count: int = 0, price: int | None = None) -> sale_pb2.LineRequest:
    """A line of a basket; `price` in paise per kg."""
    return sale_pb2.LineRequest(
        sku_code=sku_code, weight_grams=weight_grams, bird_count=bird_count, price_paise_per_kg=price
    )


EXAMPLE = (line("BRO-SKIN", 2_500), line("BRO-SKINLESS", 1_250))
"""The example of 725.00."""


def sale_request(
    *lines: sale_pb2.LineRequest, store_id: int = 1, sale_id: str = "", **fields: Any
) -> saga_pb.CreateSaleRequest:
    """A cash sale over the counter; without lines the example."""
    told: dict[str, Any] = {
        "sale_type": sale_pb2.SALE_TYPE_POS,
        "payment_method": payment_pb2.PAYMENT_METHOD_CASH,
        **fields,
    }
    return saga_pb.CreateSaleRequest(store_id=store_id, sale_id=sale_id or str(uuid4()), lines=lines or EXAMPLE, **told)


def refusal_in(status: Status) -> Refusal:
    """The refusal that a status must carry."""
    refusal = refusal_of(status)
    assert refusal is not None, status
    return refusal


def sold(answer: Answer) -> sale_pb2.Sale:
    """The sale that an answer must be."""
    assert isinstance(answer, saga_pb.CreateSaleResponse), answer
    return answer.sale


def refused(answer: object) -> Refusal:
    """The refusal that an answer must be."""
    assert isinstance(answer, Refusal), answer
    return answer


async def until(happened: Callable[[], Awaitable[bool]], patience_s: float = 20.0) -> None:
    """Ask again and again until it happened."""
    async with asyncio.timeout(patience_s):
        while True:
            if await happened():
                return
            await asyncio.sleep(0.05)


@dataclass
class Suite:
    """Running services, stubs that call them as the gateway or the orchestrator would, and their databases."""

    urls: dict[str, DatabaseUrls]
    keys: ServiceKeys
    stack: AsyncExitStack
    people: AssertionSigner
    settings: Mapping[str, Mapping[str, Any]]
    ports: dict[str, int] = field(default_factory=dict)
    orchestrator: Any = None
    inventory: Any = None
    sales: Any = None
    ledger: Any = None
    orchestrators: list[AsyncExitStack] = field(default_factory=list)

    # ------------------------------------------------------------- calls

    def as_person(self, person: Person) -> tuple[tuple[str, str], ...]:
        """Metadata of a call that the gateway makes for a person."""
        return ((ASSERTION_KEY, self.people.assertion(person)),)

    async def ask(
        self, rpc: Callable[..., Awaitable[Reply]], request: Message, person: Person, timeout_s: float = 20.0
    ) -> Reply | Refusal:
        """The reply of an RPC; a refusal comes back as a value."""
        try:
            return await rpc(request, metadata=self.as_person(person), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            refusal = refusal_of(status_of_rpc_error(error))
            if refusal is None:
                raise
            return refusal

    async def sell(
        self, request: saga_pb.CreateSaleRequest, person: Person = CASHIER, timeout_s: float = 20.0
    ) -> Answer:
        """Sell; a refusal comes back as a value."""
        return await self.ask(self.orchestrator.CreateSale, request, person, timeout_s)

    def item(
        self, request: saga_pb.CreateSaleRequest, person: Person = CASHIER, budget_s: float = 20.0
    ) -> saga_pb.CreateSaleItem:
        """One till's call in a batch, in a trace of its own."""
        context = ItemContext(traceparent=new_traceparent(), assertion=self.people.assertion(person))
        context.budget.FromMilliseconds(int(budget_s * 1000))
        return saga_pb.CreateSaleItem(context=context, request=request)

    async def sell_groups(self, items: Sequence[saga_pb.CreateSaleItem]) -> AsyncIterator[dict[int, Answer]]:
        """Sell many through the gathered call; answers in the groups in which they come, by the item's index."""
        async for group in self.orchestrator.BatchCreateSales(saga_pb.BatchCreateSalesRequest(items=items), timeout=30):
            yield {
                told.index: told.reply if told.HasField("reply") else refusal_in(told.error) for told in group.outcomes
            }

    async def sell_batch(self, items: Sequence[saga_pb.CreateSaleItem]) -> list[Answer]:
        """Sell many through the gathered call; answers in the order of the items."""
        answers: dict[int, Answer] = {}
        async for group in self.sell_groups(items):
            assert not answers.keys() & group.keys(), "each item is answered once"
            answers |= group
        return [answers[index] for index in range(len(items))]

    async def transaction(self, sale_id: str) -> transaction_pb2.Transaction:
        """The saga as the log shows it."""
        request = saga_pb.GetTransactionRequest(transaction_id=sale_id)
        reply = await self.orchestrator.GetTransaction(request, metadata=self.as_person(ADMIN))
        return reply.transaction

    async def pool(self, store_id: int, sku: str = "SKIN") -> Pool:
        """The BROILER pool of a form."""
        request = inventory_service_pb2.GetStockRequest(store_id=store_id)
        reply = await self.inventory.GetStock(request, metadata=self.as_person(ADMIN))
        wanted = (BROILER, stock_pb2.InventoryType.Value(f"INVENTORY_TYPE_{sku}"))
        return next(pool for pool in reply.pools if (pool.bird_type, pool.inventory_type) == wanted)

    async def open_stock(
        self, store_id: int, grams: int, *, birds: int = 100, skinless_grams: int | None = None
    ) -> None:
        """Opening stock in the three BROILER pools and PARENT_CULL SKIN."""
        balances = [
            OpeningBalance(bird_type=BROILER, inventory_type=LIVE, weight_grams=grams, bird_count=birds),
            OpeningBalance(bird_type=BROILER, inventory_type=SKIN, weight_grams=grams),
            OpeningBalance(
                bird_type=BROILER,
                inventory_type=SKINLESS,
                weight_grams=grams if skinless_grams is None else skinless_grams,
            ),
            OpeningBalance(bird_type=PARENT_CULL, inventory_type=SKIN, weight_grams=grams),
        ]
        request = OpenStockRequest(store_id=store_id, opening_id=str(uuid4()), balances=balances)
        await self.inventory.OpenStock(request, metadata=self.as_person(ADMIN))

    # ------------------------------------------------------------- databases

    async def sql(self, service: str, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Run a statement as the owner of a service's schema."""
        connection = await asyncpg.connect(self.urls[service].migrator)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    async def value(self, service: str, query: str, *arguments: object) -> Any:
        """The one value that a query gives."""
        return (await self.sql(service, query, *arguments))[0][0]

    async def settled(self, patience_s: float = 20.0) -> None:
        """Wait until every saga is at an end."""

        async def ended() -> bool:
            return not await self.value(
                "orchestrator", "SELECT count(*) FROM transaction_log WHERE finished_at IS NULL"
            )

        await until(ended, patience_s)

    # ------------------------------------------------------------- processes

    async def start_orchestrator(self, **told: Any) -> AsyncExitStack:
        """Start an orchestrator (a further one is a second replica); close the stack to stop it cleanly."""
        one = AsyncExitStack()
        settings = OrchestratorSettings(
            **self._common("orchestrator"),
            inventory_target=f"127.0.0.1:{self.ports['inventory']}",
            sales_target=f"127.0.0.1:{self.ports['sales']}",
            ledger_target=f"127.0.0.1:{self.ports['ledger']}",
            **{**self.settings.get("orchestrator", {}), **told},
        )
        up = await one.enter_async_context(running_orchestrator(settings))
        self.ports["orchestrator"] = up.grpc_port
        self.orchestrator = await self._stub(one, "gateway", orchestrator_service_pb2_grpc.OrchestratorServiceStub)
        self.orchestrators.append(one)
        return one

    async def spawn_orchestrator(self, **env: str) -> asyncio.subprocess.Process:
        """Start an orchestrator as a process of its own and point the stub at it; whoever spawns it kills it."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        common = {f"VENUS_{key.upper()}": str(value) for key, value in self._common("orchestrator").items()}
        common["PYTHONPATH"] = PYTHONPATH
        targets = {f"VENUS_{name.upper()}_TARGET": f"127.0.0.1:{self.ports[name]}" for name in SERVICES[:3]}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "services.orchestrator"),
            env={**os.environ, **common, **targets, "VENUS_GRPC_BIND": f"127.0.0.1:{port}", **env},
            cwd=ROOT,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self.ports["orchestrator"] = port
        await self._until_serving(port)
        self.orchestrator = await self._stub(
            self.stack, "gateway", orchestrator_service_pb2_grpc.OrchestratorServiceStub
        )
        return process

    async def _until_serving(self, port: int) -> None:
        async with asyncio.timeout(15), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await channel.channel_ready()

    async def start_participant(self, service: str) -> AsyncExitStack:
        """Start inventory, sales or ledger, on the port that it had before."""
        one = AsyncExitStack()
        run, settings_type = {
            "inventory": (running_inventory, InventorySettings),
            "sales": (running_sales, SalesSettings),
            "ledger": (running_ledger, LedgerSettings),
        }[service]
        bind = f"127.0.0.1:{self.ports.get(service, 0)}"
        settings: Any = settings_type(**self._common(service), grpc_bind=bind, **self.settings.get(service, {}))
        up = await one.enter_async_context(run(settings))
        self.ports[service] = up.grpc_port
        return one

    def _common(self, service: str) -> dict[str, Any]:
        return {
            "database_url": self.urls[service].service,
            "service_key_file": self.keys.key_files[service],
            "service_jwks_file": self.keys.jwks_file,
            "grace_s": 1.0,
        }

    async def _stub(self, stack: AsyncExitStack, caller: str, stub: type[Any]) -> Any:
        name = stub.__name__.removesuffix("ServiceStub").lower()
        module = {
            "orchestrator": saga_pb,
            "inventory": inventory_service_pb2,
            "sales": sales_service_pb2,
            "ledger": ledger_service_pb2,
        }[name]
        identity = ServiceIdentity(caller, self.keys.key_files[caller].read_bytes())
        services = module.DESCRIPTOR.services_by_name.values()
        channel = await stack.enter_async_context(connect(f"127.0.0.1:{self.ports[name]}", identity, services))
        return stub(channel)

    async def connect_participants(self) -> None:
        """Stubs of the participants, as the gateway calls them."""
        self.inventory = await self._stub(self.stack, "gateway", inventory_service_pb2_grpc.InventoryServiceStub)
        self.sales = await self._stub(self.stack, "gateway", sales_service_pb2_grpc.SalesServiceStub)
        self.ledger = await self._stub(self.stack, "gateway", ledger_service_pb2_grpc.LedgerServiceStub)

    async def tell_stores(self) -> None:
        """Copy the store facts to inventory and ledger, as the orchestrator does."""
        async with AsyncExitStack() as stack:
            stubs = [
                await self._stub(stack, "orchestrator", inventory_service_pb2_grpc.InventoryServiceStub),
                await self._stub(stack, "orchestrator", ledger_service_pb2_grpc.LedgerServiceStub),
            ]
            for store_id in STORES:
                facts = store_pb2.StoreFacts(store_id=store_id, status=ACTIVE, time_zone="Asia/Kolkata", version=1)
                await stubs[0].ApplyStoreFacts(ApplyStoreFactsRequest(store=facts))
                await stubs[1].ApplyStoreFacts(ledger_service_pb2.ApplyStoreFactsRequest(store=facts))


@asynccontextmanager
async def suite_running(
    fresh: Callable[[str], DatabaseUrls],
    keys: ServiceKeys,
    *,
    with_orchestrator: bool = True,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> AsyncIterator[Suite]:
    """Every service up in this process, three stores with a catalogue, no stock; `settings` by service."""
    async with AsyncExitStack() as stack:
        gateway = ServiceIdentity("gateway", keys.key_files["gateway"].read_bytes())
        urls = {name: fresh(name) for name in SERVICES}
        suite = Suite(urls, keys, stack, AssertionSigner(gateway), settings or {})
        connection = await asyncpg.connect(urls["sales"].migrator)
        await connection.execute(CATALOGUE)
        await connection.close()
        for name in ("inventory", "sales", "ledger"):
            await stack.enter_async_context(await suite.start_participant(name))
        await suite.connect_participants()
        await suite.tell_stores()
        stack.push_async_callback(partial(_close_all, suite.orchestrators))
        if with_orchestrator:
            await suite.start_orchestrator()
        yield suite


async def _close_all(stacks: list[AsyncExitStack]) -> None:
    for one in stacks:
        await one.aclose()


@asynccontextmanager
async def nothing_can_be_reserved(suite: Suite) -> AsyncIterator[None]:
    """Reservations wait as long as the block lasts."""
    blocker = await asyncpg.connect(suite.urls["inventory"].migrator)
    await blocker.execute("BEGIN; LOCK TABLE pool IN EXCLUSIVE MODE")
    try:
        yield
    finally:
        await blocker.close()


# ----------------------------------------------------------------- invariants

_POOLS_ADD_UP = """
SELECT pool.* FROM pool
LEFT JOIN LATERAL (
    SELECT coalesce(sum(weight_grams), 0) AS grams, coalesce(sum(bird_count), 0) AS birds, count(*) AS moves
    FROM movement AS m
    WHERE (m.store_id, m.bird_type, m.inventory_type) = (pool.store_id, pool.bird_type, pool.inventory_type)
) AS moved ON true
LEFT JOIN LATERAL (
    SELECT coalesce(sum(line.weight_grams), 0) AS grams, coalesce(sum(line.bird_count), 0) AS birds
    FROM reservation_line AS line JOIN reservation AS r USING (store_id, reservation_id)
    WHERE r.state = 'HELD'
        AND (line.store_id, line.bird_type, line.inventory_type) = (pool.store_id, pool.bird_type, pool.inventory_type)
) AS held ON true
WHERE (on_hand_grams, on_hand_birds, sequence) <> (moved.grams, moved.birds, moved.moves)
    OR (held_grams, held_birds) <> (held.grams, held.birds)
"""
_BALANCES_ADD_UP = """
SELECT account.* FROM account
LEFT JOIN LATERAL (
    SELECT coalesce(sum(amount_paise), 0) AS paise FROM posting WHERE debit_account = account
) AS d ON true
LEFT JOIN LATERAL (
    SELECT coalesce(sum(amount_paise), 0) AS paise FROM posting WHERE credit_account = account
) AS c ON true
WHERE (debit_paise, credit_paise) <> (d.paise, c.paise)
"""
_RECEIPTS_WITH_GAPS = """
SELECT store_id, business_date FROM sale GROUP BY 1, 2
HAVING max(number) <> count(*) OR min(number) <> 1
"""


async def assert_invariants(suite: Suite, in_review: Collection[str] = ()) -> None:
    """What must be true after whatever happened, once every saga is at an end or, of these ids exactly, in review."""
    assert not await suite.sql("inventory", _POOLS_ADD_UP), "balance = movements, held = holds"
    assert not await suite.sql("ledger", _BALANCES_ADD_UP), "balance = postings"
    assert await suite.value("ledger", "SELECT sum(debit_paise) IS NOT DISTINCT FROM sum(credit_paise) FROM account")
    assert not await suite.sql("sales", _RECEIPTS_WITH_GAPS), "receipts without gaps"
    assert not await suite.value("inventory", "SELECT count(*) FROM reservation WHERE state IN ('HELD', 'EXPIRED')")
    sales = {row["sale_id"]: row for row in await suite.sql("sales", "SELECT * FROM sale")}
    ended = await suite.sql("orchestrator", "SELECT id, status FROM transaction_log")
    assert {row["status"] for row in ended} <= {"COMPLETED", "COMPENSATED", "FAILED", "NEEDS_REVIEW"}
    assert {row["id"] for row in ended if row["status"] == "NEEDS_REVIEW"} == {UUID(one) for one in in_review}
    completed = {row["id"] for row in ended if row["status"] == "COMPLETED"}
    assert completed == set(sales), "a saga completed exactly when its sale is recorded"
    committed = await suite.sql("inventory", "SELECT reservation_id FROM reservation WHERE state = 'COMMITTED'")
    assert {row["reservation_id"] for row in committed} == set(sales), "goods left exactly for recorded sales"
    entries = await suite.sql(
        "ledger",
        "SELECT reference, sum(amount_paise)::bigint AS paise FROM entry JOIN posting USING (entry_id) GROUP BY 1",
    )
    assert {row["reference"]: row["paise"] for row in entries} == {
        str(sale_id): row["total_paise"] for sale_id, row in sales.items() if row["total_paise"]
    }, "money moved exactly for recorded sales"
