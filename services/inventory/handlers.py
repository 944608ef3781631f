"""Inventory's door: proto to domain values, to the operation, and back; decides nothing."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import UUID

from prometheus_client import Counter

from services.inventory import operations
from services.inventory.domain.adjustment import Adjusted, Adjustment, Count, Delta
from services.inventory.domain.book import Reason
from services.inventory.domain.opening import Opened, Opening
from services.inventory.domain.refusals import InsufficientStock
from services.inventory.domain.reservation import (
    DEFAULT_TTL,
    Commit,
    Committed,
    Held,
    Key,
    Release,
    Released,
    Reservation,
    State,
    Wanted,
)
from services.inventory.domain.stock import BirdType, InventoryType, Level, Line, Pool, summed
from services.inventory.domain.store_facts import StoreFacts, StoreStatus
from services.inventory.store import Tx
from venus.inventory.v1 import inventory_service_pb2 as pb
from venus.inventory.v1 import inventory_service_pb2_grpc, pool_pb2, reservation_pb2
from venus.type.v1 import item_context_pb2, stock_pb2, store_pb2
from venus_kit import telemetry
from venus_kit.access import current_caller
from venus_kit.batch import BatchDoor
from venus_kit.errors import Refusal
from venus_kit.lane import Lane
from venus_kit.postgres import Database
from venus_kit.wire import date_of, timestamp_of, trace_id_of

_MOVEMENTS: Final = Counter(
    "venus_stock_movements_total", "Movements booked, by reason; repeats do not count", ["reason"]
)
_RESERVATIONS: Final = Counter(
    "venus_stock_reservations_total", "What became of reservations; repeats do not count", ["outcome"]
)

_BIRD_TYPE_PROTO: Final = {one: stock_pb2.BirdType.Value(f"BIRD_TYPE_{one}") for one in BirdType}
_INVENTORY_TYPE_PROTO: Final = {one: stock_pb2.InventoryType.Value(f"INVENTORY_TYPE_{one}") for one in InventoryType}
_BIRD_TYPE: Final[Mapping[int, BirdType]] = {number: one for one, number in _BIRD_TYPE_PROTO.items()}
_INVENTORY_TYPE: Final[Mapping[int, InventoryType]] = {number: one for one, number in _INVENTORY_TYPE_PROTO.items()}
_REASON: Final = {pool_pb2.MovementReason.Value(f"MOVEMENT_REASON_{one}"): one for one in Reason}
_REASON_PROTO: Final = {one: number for number, one in _REASON.items()}
_STATE_PROTO: Final = {one: reservation_pb2.ReservationState.Value(f"RESERVATION_STATE_{one}") for one in State}
_STORE_STATUS: Final = {store_pb2.StoreStatus.Value(f"STORE_STATUS_{one}"): one for one in StoreStatus}

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, through which service, in which trace."""

    service: str
    actor: str
    trace_id: str


class InventoryHandlers(inventory_service_pb2_grpc.InventoryServiceServicer):
    """Serves InventoryService over one database."""

    def __init__(self, database: Database[Tx], batches: BatchDoor) -> None:
        """Calls of one verb that meet share one transaction, whether they come alone or in batches."""
        self._batches = batches
        self.reserve_lane: Lane[Wanted, Held] = _lane(database, operations.reserve_stock, _count_reserved)
        self.release_lane: Lane[Release, Released] = _lane(database, operations.release_stock, _count_released)
        self.commit_lane: Lane[Commit, Committed] = _lane(database, operations.commit_stock, _count_committed)
        self.adjust_lane: Lane[Adjustment, Adjusted] = _lane(database, operations.adjust_stock, _count_adjusted)
        self.open_lane: Lane[Opening, Opened] = _lane(database, operations.open_stock, _count_opened)
        self.stock_lane: Lane[int, tuple[Level, ...]] = _lane(database, operations.get_stock)
        self.reservation_lane: Lane[Key, Reservation] = _lane(database, operations.get_reservation)
        self.store_lane: Lane[StoreFacts, int] = _lane(database, operations.apply_store_facts)

    async def close(self) -> None:
        """Wait until every call that came in is answered."""
        await self.reserve_lane.close()
        await self.release_lane.close()
        await self.commit_lane.close()
        await self.adjust_lane.close()
        await self.open_lane.close()
        await self.stock_lane.close()
        await self.reservation_lane.close()
        await self.store_lane.close()

    async def GetStock(self, request: pb.GetStockRequest, context: Any) -> pb.GetStockResponse:
        levels = await self.stock_lane.run(request.store_id)
        return pb.GetStockResponse(pools=[_pool(level) for level in levels])

    async def AdjustStock(self, request: pb.AdjustStockRequest, context: Any) -> pb.AdjustStockResponse:
        return _adjusted(await self.adjust_lane.run(_adjustment(request, _asker())))

    async def OpenStock(self, request: pb.OpenStockRequest, context: Any) -> pb.OpenStockResponse:
        opened = await self.open_lane.run(_opening(request, _asker()))
        return pb.OpenStockResponse(pools=[_pool(level) for level in opened.levels], replayed=opened.replayed)

    async def ReserveStock(self, request: pb.ReserveStockRequest, context: Any) -> pb.ReserveStockResponse:
        return _held(await self.reserve_lane.run(_wanted(request, _asker())))

    async def ReleaseStock(self, request: pb.ReleaseStockRequest, context: Any) -> pb.ReleaseStockResponse:
        return _released(await self.release_lane.run(_release(request, _asker())))

    async def CommitStock(self, request: pb.CommitStockRequest, context: Any) -> pb.CommitStockResponse:
        return _committed(await self.commit_lane.run(_commit(request, _asker())))

    async def GetReservation(self, request: pb.GetReservationRequest, context: Any) -> pb.GetReservationResponse:
        found = await self.reservation_lane.run((request.store_id, UUID(request.reservation_id)))
        return pb.GetReservationResponse(reservation=_reservation(found))

    async def BatchReserveStock(
        self, request: pb.BatchReserveStockRequest, context: Any
    ) -> pb.BatchReserveStockResponse:
        outcomes = await self._batches.serve(
            request.items,
            pb.ReserveStockOutcome,
            name="ReserveStock",
            read=lambda item: _wanted(item.request, _asker_of(item.context)),
            run=self.reserve_lane.run_all,
            write=_held,
        )
        return pb.BatchReserveStockResponse(outcomes=outcomes)

    async def BatchReleaseStock(
        self, request: pb.BatchReleaseStockRequest, context: Any
    ) -> pb.BatchReleaseStockResponse:
        outcomes = await self._batches.serve(
            request.items,
            pb.ReleaseStockOutcome,
            name="ReleaseStock",
            read=lambda item: _release(item.request, _asker_of(item.context)),
            run=self.release_lane.run_all,
            write=_released,
        )
        return pb.BatchReleaseStockResponse(outcomes=outcomes)

    async def BatchCommitStock(self, request: pb.BatchCommitStockRequest, context: Any) -> pb.BatchCommitStockResponse:
        outcomes = await self._batches.serve(
            request.items,
            pb.CommitStockOutcome,
            name="CommitStock",
            read=lambda item: _commit(item.request, _asker_of(item.context)),
            run=self.commit_lane.run_all,
            write=_committed,
        )
        return pb.BatchCommitStockResponse(outcomes=outcomes)

    async def ApplyStoreFacts(self, request: pb.ApplyStoreFactsRequest, context: Any) -> pb.ApplyStoreFactsResponse:
        return pb.ApplyStoreFactsResponse(version=await self.store_lane.run(_store_facts(request.store)))


# what is counted: once the transaction is committed, and never twice


def _lane(
    database: Database[Tx],
    operation: Callable[[Tx, Sequence[Item]], Awaitable[Sequence[Answer | Refusal]]],
    count: Callable[[Answer | Exception], None] = lambda _: None,
) -> Lane[Item, Answer]:
    async def run(items: Sequence[Item]) -> Sequence[Answer | Exception]:
        answers: list[Answer | Exception] = list(await database.run_batch(operation, items))
        for answer in {id(answer): answer for answer in answers}.values():  # twins share one answer
            count(answer)
        return answers

    return Lane(run, name=operation.__name__)


def _count_reserved(answer: Held | Exception) -> None:
    if isinstance(answer, Held) and not answer.replayed:
        _RESERVATIONS.labels("held").inc()
    elif isinstance(answer, InsufficientStock):
        _RESERVATIONS.labels("refused").inc()


def _count_released(answer: Released | Exception) -> None:
    if isinstance(answer, Released) and not answer.replayed:
        _RESERVATIONS.labels("released").inc()


def _count_committed(answer: Committed | Exception) -> None:
    if isinstance(answer, Committed) and answer.booked:
        _RESERVATIONS.labels("committed").inc()
        for reason in answer.booked:
            _MOVEMENTS.labels(reason).inc()


def _count_adjusted(answer: Adjusted | Exception) -> None:
    if isinstance(answer, Adjusted) and not answer.replayed and not answer.change.is_nothing:
        _MOVEMENTS.labels(answer.reason).inc()


def _count_opened(answer: Opened | Exception) -> None:
    if isinstance(answer, Opened) and not answer.replayed:
        _MOVEMENTS.labels(Reason.OPENING_BALANCE).inc(sum(level.sequence for level in answer.levels))


# proto to domain


def _asker() -> Asker:
    caller = current_caller()
    return Asker(caller.service, caller.name, telemetry.current_trace_id())


def _asker_of(context: item_context_pb2.ItemContext) -> Asker:
    """Of an item: it belongs to its own trace, which is seldom that of the batch."""
    service = current_caller().service
    return Asker(service, context.actor.subject or service, trace_id_of(context.traceparent))


def _pool_of(store_id: int, bird_type: int, inventory_type: int) -> Pool:
    return Pool(store_id, _BIRD_TYPE[bird_type], _INVENTORY_TYPE[inventory_type])


def _lines_of(store_id: int, lines: Iterable[reservation_pb2.ReservationLine | pb.OpeningBalance]) -> list[Line]:
    return [
        Line(_pool_of(store_id, line.bird_type, line.inventory_type), line.weight_grams, line.bird_count)
        for line in lines
    ]


def _wanted(request: pb.ReserveStockRequest, asker: Asker) -> Wanted:
    return Wanted(
        key=(request.store_id, UUID(request.reservation_id)),
        lines=summed(_lines_of(request.store_id, request.lines)),
        ttl=request.ttl.ToTimedelta() if request.HasField("ttl") else DEFAULT_TTL,
        holder=asker.service,
        actor=asker.actor,
        trace_id=asker.trace_id,
    )


def _release(request: pb.ReleaseStockRequest, asker: Asker) -> Release:
    return Release((request.store_id, UUID(request.reservation_id)), asker.service, asker.actor, asker.trace_id)


def _commit(request: pb.CommitStockRequest, asker: Asker) -> Commit:
    return Commit(
        key=(request.store_id, UUID(request.reservation_id)),
        business_date=date_of("business_date", request.business_date),
        holder=asker.service,
        actor=asker.actor,
        trace_id=asker.trace_id,
    )


def _adjustment(request: pb.AdjustStockRequest, asker: Asker) -> Adjustment:
    by = (
        Delta(request.delta.weight_grams, request.delta.bird_count)
        if request.WhichOneof("adjustment") == "delta"
        else _counted(request.count)
    )
    adjustment = Adjustment(
        key=(request.store_id, UUID(request.adjustment_id)),
        pool=_pool_of(request.store_id, request.bird_type, request.inventory_type),
        by=by,
        reason=_REASON[request.reason],
        note=request.note,
        actor=asker.actor,
        trace_id=asker.trace_id,
    )
    adjustment.check()
    return adjustment


def _counted(count: pb.StockCount) -> Count:
    at = count.counted_at_sequence if count.HasField("counted_at_sequence") else None
    return Count(count.weight_grams, count.bird_count, at)


def _opening(request: pb.OpenStockRequest, asker: Asker) -> Opening:
    opening = Opening(
        key=(request.store_id, UUID(request.opening_id)),
        lines=tuple(_lines_of(request.store_id, request.balances)),
        actor=asker.actor,
        trace_id=asker.trace_id,
    )
    opening.check()
    return opening


def _store_facts(facts: store_pb2.StoreFacts) -> StoreFacts:
    told = StoreFacts(facts.store_id, _STORE_STATUS[facts.status], facts.time_zone, facts.version)
    told.check()
    return told


# domain to proto


def _pool(level: Level) -> pool_pb2.Pool:
    return pool_pb2.Pool(
        bird_type=_BIRD_TYPE_PROTO[level.pool.bird_type],
        inventory_type=_INVENTORY_TYPE_PROTO[level.pool.inventory_type],
        on_hand_grams=level.on_hand_grams,
        held_grams=level.held_grams,
        available_grams=level.available_grams,
        on_hand_birds=level.on_hand_birds,
        held_birds=level.held_birds,
        available_birds=level.available_birds,
        sequence=level.sequence,
    )


def _line(line: Line) -> reservation_pb2.ReservationLine:
    return reservation_pb2.ReservationLine(
        bird_type=_BIRD_TYPE_PROTO[line.pool.bird_type],
        inventory_type=_INVENTORY_TYPE_PROTO[line.pool.inventory_type],
        weight_grams=line.weight_grams,
        bird_count=line.bird_count,
    )


def _reservation(reservation: Reservation) -> reservation_pb2.Reservation:
    store_id, reservation_id = reservation.key
    return reservation_pb2.Reservation(
        store_id=store_id,
        reservation_id=str(reservation_id),
        state=_STATE_PROTO[reservation.state],
        lines=[_line(line) for line in reservation.lines],
        hold_until_time=timestamp_of(reservation.hold_until),
        holder=reservation.holder,
        create_time=timestamp_of(reservation.created_at),
    )


def _held(held: Held) -> pb.ReserveStockResponse:
    return pb.ReserveStockResponse(reservation=_reservation(held.reservation))


def _released(_: Released) -> pb.ReleaseStockResponse:
    return pb.ReleaseStockResponse()


def _committed(committed: Committed) -> pb.CommitStockResponse:
    return pb.CommitStockResponse(corrections=[_line(line) for line in committed.corrections])


def _adjusted(adjusted: Adjusted) -> pb.AdjustStockResponse:
    response = pb.AdjustStockResponse(pool=_pool(adjusted.level), replayed=adjusted.replayed)
    if not adjusted.change.is_nothing:
        response.movement.CopyFrom(
            pool_pb2.Movement(
                sequence=adjusted.level.sequence,
                weight_grams=adjusted.change.weight_grams,
                bird_count=adjusted.change.bird_count,
                reason=_REASON_PROTO[adjusted.reason],
                reference=adjusted.reference,
            )
        )
    return response
