"""Inventory as its neighbours see it over the wire, and its database as only a test sees it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import asyncpg
from google.rpc.status_pb2 import Status
from grpc.aio import AioRpcError

from services.inventory.store import Tx
from venus.inventory.v1 import inventory_service_pb2 as pb
from venus.inventory.v1 import pool_pb2
from venus.inventory.v1 import reservation_pb2 as reservation
from venus.type.v1 import item_context_pb2, stock_pb2, store_pb2
from venus_kit.access import Person
from venus_kit.errors import ToldRefusal
from venus_kit.grpc_status import refusal_of, status_of_rpc_error
from venus_kit.identity import ASSERTION_KEY, AssertionSigner
from venus_kit.postgres import Database
from venus_kit.testing import DatabaseUrls

if TYPE_CHECKING:
    from venus.inventory.v1.inventory_service_pb2_grpc import InventoryServiceAsyncStub

BROILER: Final = stock_pb2.BIRD_TYPE_BROILER
PARENT_CULL: Final = stock_pb2.BIRD_TYPE_PARENT_CULL
LIVE: Final = stock_pb2.INVENTORY_TYPE_LIVE
SKIN: Final = stock_pb2.INVENTORY_TYPE_SKIN
SKINLESS: Final = stock_pb2.INVENTORY_TYPE_SKINLESS
ADJUSTMENT: Final = pool_pb2.MOVEMENT_REASON_ADJUSTMENT
WASTAGE: Final = pool_pb2.MOVEMENT_REASON_WASTAGE
HELD: Final = reservation.RESERVATION_STATE_HELD
EXPIRED: Final = reservation.RESERVATION_STATE_EXPIRED
COMMITTED: Final = reservation.RESERVATION_STATE_COMMITTED
RELEASED: Final = reservation.RESERVATION_STATE_RELEASED
TRACE_ID: Final = "0af7651916cd43dd8448eb211c80319c"
MONDAY: Final = "2026-01-05"
A_MOMENT: Final = timedelta(milliseconds=1)

KEEPER: Final = Person(
    "manager-1", permissions=frozenset({"inventory.view", "inventory.adjust"}), store_ids=frozenset({1, 2, 99})
)

OpenDatabase = Callable[..., AbstractAsyncContextManager[Database[Tx]]]


class StockRoom:
    """A running inventory service; stores 1 (Asia/Kolkata) and 2 (Europe/Berlin) are known, no pool is open."""

    def __init__(
        self,
        urls: DatabaseUrls,
        orchestrator: "InventoryServiceAsyncStub",
        sales: "InventoryServiceAsyncStub",
        people: AssertionSigner,
    ) -> None:
        self.urls = urls
        self.orchestrator = orchestrator
        self.sales = sales
        self._people = people

    def as_person(self, person: Person = KEEPER) -> tuple[tuple[str, str], ...]:
        """Metadata of a call that is made for a person."""
        return ((ASSERTION_KEY, self._people.assertion(person)),)

    async def tell(self, store_id: int, time_zone: str, version: int = 1) -> int:
        """Tell inventory of a store, as the orchestrator does."""
        facts = store_pb2.StoreFacts(
            store_id=store_id, status=store_pb2.STORE_STATUS_ACTIVE, time_zone=time_zone, version=version
        )
        reply = await self.orchestrator.ApplyStoreFacts(pb.ApplyStoreFactsRequest(store=facts))
        return reply.version

    async def open(self, *balances: pb.OpeningBalance, store_id: int = 1) -> pb.OpenStockResponse:
        """Open pools; without balances 10 kg of broiler skin."""
        request = opening(*balances, store_id=store_id)
        return await self.orchestrator.OpenStock(request, metadata=self.as_person())

    async def stock(self, store_id: int = 1) -> dict[tuple[int, int], pool_pb2.Pool]:
        """What a store has, by bird and form."""
        request = pb.GetStockRequest(store_id=store_id)
        reply = await self.orchestrator.GetStock(request, metadata=self.as_person())
        return {(pool.bird_type, pool.inventory_type): pool for pool in reply.pools}

    async def skin(self, store_id: int = 1) -> pool_pb2.Pool:
        """The pool of broiler skin."""
        return (await self.stock(store_id))[BROILER, SKIN]

    async def adjust(self, request: pb.AdjustStockRequest) -> pb.AdjustStockResponse:
        """Adjust as a manager."""
        return await self.orchestrator.AdjustStock(request, metadata=self.as_person())

    async def reserve(self, *requests: pb.ReserveStockRequest) -> list[pb.ReserveStockOutcome]:
        """Reserve in one batch, as sagas do."""
        items = [pb.ReserveStockItem(context=context(), request=request) for request in requests]
        return list((await self.orchestrator.BatchReserveStock(pb.BatchReserveStockRequest(items=items))).outcomes)

    async def held(self, *lines: reservation.ReservationLine, **told: Any) -> str:
        """The id of a reservation that is held."""
        request = wanted(*lines, **told)
        reply = await self.orchestrator.ReserveStock(request)
        assert reply.reservation.state == HELD
        return request.reservation_id

    async def release(self, *reservation_ids: str) -> list[pb.ReleaseStockOutcome]:
        """Release in one batch, as sagas do."""
        items = [pb.ReleaseStockItem(context=context(), request=releasing(one)) for one in reservation_ids]
        return list((await self.orchestrator.BatchReleaseStock(pb.BatchReleaseStockRequest(items=items))).outcomes)

    async def commit(self, *reservation_ids: str) -> list[pb.CommitStockOutcome]:
        """Commit in one batch, as sagas do."""
        items = [pb.CommitStockItem(context=context(), request=committing(one)) for one in reservation_ids]
        return list((await self.orchestrator.BatchCommitStock(pb.BatchCommitStockRequest(items=items))).outcomes)

    async def find(self, reservation_id: str, store_id: int = 1) -> reservation.Reservation:
        """A reservation as it stands."""
        request = pb.GetReservationRequest(store_id=store_id, reservation_id=reservation_id)
        return (await self.orchestrator.GetReservation(request)).reservation

    async def state(self, reservation_id: str) -> reservation.ReservationState.ValueType:
        """Where a reservation of store 1 stands."""
        return (await self.find(reservation_id)).state

    async def let_holds_run_out(self) -> None:
        """Time passes for every hold that stands now."""
        await self.sql("UPDATE reservation SET hold_until = venus_now() - interval '1 second' WHERE state = 'HELD'")

    async def sql(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Run a statement as the owner of the schema."""
        return await fetch(self.urls.migrator, query, *arguments)

    async def movements(self) -> list[tuple[str, int, int, int]]:
        """(reason, grams, birds, sequence) of every movement but the openings."""
        rows = await self.sql(
            "SELECT * FROM movement WHERE reason <> 'OPENING_BALANCE' "
            "ORDER BY store_id, bird_type, inventory_type, sequence"
        )
        return [(row["reason"], row["weight_grams"], row["bird_count"], row["sequence"]) for row in rows]

    async def count(self, table: str) -> int:
        """How many rows a table has."""
        (row,) = await self.sql(f"SELECT count(*) FROM {table}")
        return row["count"]


async def refused(call: Awaitable[Any]) -> ToldRefusal:
    """What a call was refused for."""
    try:
        reply = await call
    except AioRpcError as error:
        return refusal(status_of_rpc_error(error))
    raise AssertionError(f"not refused: {reply}")


def refusal(error: Status) -> ToldRefusal:
    """What an item was refused for."""
    told = refusal_of(error)
    assert told is not None, error
    return told


def reasons(outcomes: Sequence[Any]) -> list[str]:
    """The reason of each outcome; empty for a reply."""
    return [refusal(one.error).reason if one.HasField("error") else "" for one in outcomes]


def balance(
    weight_grams: int,
    inventory_type: stock_pb2.InventoryType.ValueType = SKIN,
    bird_count: int = 0,
    bird_type: stock_pb2.BirdType.ValueType = BROILER,
) -> pb.OpeningBalance:
    """What a pool starts with."""
    return pb.OpeningBalance(
        bird_type=bird_type, inventory_type=inventory_type, weight_grams=weight_grams, bird_count=bird_count
    )


def opening(*balances: pb.OpeningBalance, store_id: int = 1) -> pb.OpenStockRequest:
    """Opens pools; without balances 10 kg of broiler skin."""
    return pb.OpenStockRequest(store_id=store_id, opening_id=str(uuid4()), balances=balances or [balance(10_000)])


def line(
    weight_grams: int,
    inventory_type: stock_pb2.InventoryType.ValueType = SKIN,
    bird_count: int = 0,
    bird_type: stock_pb2.BirdType.ValueType = BROILER,
) -> reservation.ReservationLine:
    """A line of a cart."""
    return reservation.ReservationLine(
        bird_type=bird_type, inventory_type=inventory_type, weight_grams=weight_grams, bird_count=bird_count
    )


def wanted(
    *lines: reservation.ReservationLine,
    store_id: int = 1,
    reservation_id: str = "",
    ttl: timedelta | None = None,
) -> pb.ReserveStockRequest:
    """Asks for a hold under a new id unless one is told."""
    request = pb.ReserveStockRequest(store_id=store_id, reservation_id=reservation_id or str(uuid4()), lines=lines)
    if ttl is not None:
        request.ttl.FromTimedelta(ttl)
    return request


def repeat(
    request: pb.ReserveStockRequest, lines: Iterable[reservation.ReservationLine] = ()
) -> pb.ReserveStockRequest:
    """The same again; with `lines` under the same id something else."""
    copy = pb.ReserveStockRequest()
    copy.CopyFrom(request)
    copy.ClearField("ttl")
    if lines:
        del copy.lines[:]
        copy.lines.extend(lines)
    return copy


def releasing(reservation_id: str, store_id: int = 1) -> pb.ReleaseStockRequest:
    """Gives a hold back."""
    return pb.ReleaseStockRequest(store_id=store_id, reservation_id=reservation_id)


def committing(reservation_id: str, store_id: int = 1) -> pb.CommitStockRequest:
    """Takes held goods out of the book."""
    return pb.CommitStockRequest(store_id=store_id, reservation_id=reservation_id, business_date=MONDAY)


def adjusting(
    by: pb.StockDelta | pb.StockCount,
    inventory_type: stock_pb2.InventoryType.ValueType = SKIN,
    reason: pool_pb2.MovementReason.ValueType = ADJUSTMENT,
    store_id: int = 1,
    note: str = "stock-take",
) -> pb.AdjustStockRequest:
    """Corrects a broiler pool."""
    return pb.AdjustStockRequest(
        store_id=store_id,
        adjustment_id=str(uuid4()),
        bird_type=BROILER,
        inventory_type=inventory_type,
        delta=by if isinstance(by, pb.StockDelta) else None,
        count=by if isinstance(by, pb.StockCount) else None,
        reason=reason,
        note=note,
    )


def context(subject: str = "cashier-1", trace_id: str = TRACE_ID) -> item_context_pb2.ItemContext:
    """What rides with an item."""
    return item_context_pb2.ItemContext(
        traceparent=f"00-{trace_id}-b7ad6b7169203331-00", actor=item_context_pb2.Actor(subject=subject)
    )


def an_id(number: int) -> str:
    """An id that sorts by its number."""
    return str(UUID(int=number))


async def fetch(url: str, query: str, *arguments: object) -> list[asyncpg.Record]:
    """Rows of one statement on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query, *arguments))
    finally:
        await connection.close()


async def until_waiting(url: str, sessions: int = 1) -> None:
    """Until so many sessions of a database wait for a lock."""
    query = (
        "SELECT DISTINCT pid FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE NOT granted AND datname = current_database()"
    )
    async with asyncio.timeout(5):
        while len(await fetch(url, query)) < sessions:
            await asyncio.sleep(0.01)


async def assert_book_is_whole(url: str) -> None:
    """What must hold of every pool, whatever happened: each query looks for what breaks it."""
    for broken in (_DRIFT, _BROKEN_HISTORY, _WRONG_HOLDS, _STRANGE_ENDS):
        assert await fetch(url, broken) == [], broken


_DRIFT = """
SELECT pool.*
FROM pool
LEFT JOIN (
    SELECT store_id, bird_type, inventory_type, sum(weight_grams) AS grams, sum(bird_count) AS birds, count(*) AS moves
    FROM movement GROUP BY store_id, bird_type, inventory_type
) AS moved USING (store_id, bird_type, inventory_type)
WHERE (pool.on_hand_grams, pool.on_hand_birds, pool.sequence)
    IS DISTINCT FROM (coalesce(grams, 0), coalesce(birds, 0), coalesce(moves, 0))
    OR pool.on_hand_grams < 0 OR pool.on_hand_birds < 0
"""
_BROKEN_HISTORY = """
SELECT *
FROM (
    SELECT movement.*, row_number() OVER place AS place, sum(weight_grams) OVER place AS running_grams,
        sum(bird_count) OVER place AS running_birds, lag(created_at) OVER place AS before
    FROM movement WINDOW place AS (PARTITION BY store_id, bird_type, inventory_type ORDER BY sequence)
) AS history
WHERE sequence <> place OR on_hand_grams <> running_grams OR on_hand_birds <> running_birds OR created_at < before
"""
_WRONG_HOLDS = """
SELECT pool.*
FROM pool
LEFT JOIN (
    SELECT store_id, bird_type, inventory_type, sum(weight_grams) AS grams, sum(bird_count) AS birds
    FROM reservation JOIN reservation_line USING (store_id, reservation_id)
    WHERE state = 'HELD' GROUP BY store_id, bird_type, inventory_type
) AS holds USING (store_id, bird_type, inventory_type)
WHERE (pool.held_grams, pool.held_birds) IS DISTINCT FROM (coalesce(grams, 0), coalesce(birds, 0))
"""
_STRANGE_ENDS = """
SELECT reservation.store_id, reservation_id, state
FROM reservation
LEFT JOIN movement
    ON movement.store_id = reservation.store_id AND movement.reference = reservation_id::text AND reason = 'SALE'
WHERE (state = 'COMMITTED') <> (movement.sequence IS NOT NULL)
"""
