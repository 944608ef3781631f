"""One bad item never fails its neighbours."""

import logging
from collections.abc import Sequence
from uuid import uuid4

import pytest

from venus.inventory.v1.inventory_service_pb2 import (
    ReserveStockItem,
    ReserveStockOutcome,
    ReserveStockRequest,
    ReserveStockResponse,
)
from venus.inventory.v1.reservation_pb2 import Reservation, ReservationLine
from venus.type.v1.stock_pb2 import BIRD_TYPE_BROILER, INVENTORY_TYPE_SKIN
from venus_kit.batch import BatchDoor
from venus_kit.errors import Poison, Refusal, Weather
from venus_kit.grpc_status import grpc_code, refusal_of
from venus_kit.testing import metric
from venus_kit.validation import Validation


class SoldOut(Refusal):
    """Nothing is left."""


class NoTuesdays(Refusal):
    """Nothing is reserved on Tuesdays."""


class StockRoom:
    """Answers grams with grams, or with what stands in `trouble` for them; remembers what it was asked."""

    def __init__(self, **trouble: Exception) -> None:
        self.trouble = {int(grams.removeprefix("g")): error for grams, error in trouble.items()}
        self.asked: list[list[int]] = []

    def read(self, item: ReserveStockItem) -> int:
        grams = sum(line.weight_grams for line in item.request.lines)
        if grams == 222:
            raise NoTuesdays
        return grams

    async def reserve(self, wanted: Sequence[int]) -> list[int | Exception]:
        self.asked.append(list(wanted))
        return [self.trouble.get(grams, grams) for grams in wanted]

    async def serve(self, *items: ReserveStockItem) -> list[ReserveStockOutcome]:
        return await BatchDoor(Validation()).serve(
            items, ReserveStockOutcome, name="ReserveStock", read=self.read, run=self.reserve, write=held
        )


def held(grams: int) -> ReserveStockResponse:
    return ReserveStockResponse(reservation=Reservation(store_id=grams))


def item(grams: int) -> ReserveStockItem:
    line = ReservationLine(bird_type=BIRD_TYPE_BROILER, inventory_type=INVENTORY_TYPE_SKIN, weight_grams=grams)
    return ReserveStockItem(request=ReserveStockRequest(store_id=1, reservation_id=str(uuid4()), lines=[line]))


def told(outcome: ReserveStockOutcome) -> int | str:
    """Grams that are held, the reason of a refusal, or the name of a code."""
    if outcome.HasField("reply"):
        return outcome.reply.reservation.store_id
    refusal = refusal_of(outcome.error)
    return refusal.reason if refusal else grpc_code(outcome.error).name


async def test_items_are_answered_in_their_order_out_of_one_run() -> None:
    room = StockRoom()
    assert [told(one) for one in await room.serve(item(3), item(1), item(2))] == [3, 1, 2]
    assert room.asked == [[3, 1, 2]]


async def test_an_item_that_breaks_its_own_rules_is_refused_alone_and_never_run() -> None:
    room = StockRoom()
    outcomes = await room.serve(item(1), item(0), item(222), ReserveStockItem(), item(2))
    assert [told(one) for one in outcomes] == [1, "INVALID_REQUEST", "NO_TUESDAYS", "INVALID_REQUEST", 2]
    refusal = refusal_of(outcomes[1].error)
    assert refusal is not None
    assert [violation.field for violation in refusal.violations] == ["lines[0].weight_grams"]
    assert room.asked == [[1, 2]]


async def test_with_nothing_good_in_it_nothing_is_run() -> None:
    room = StockRoom()
    assert [told(one) for one in await room.serve(item(0), item(222))] == ["INVALID_REQUEST", "NO_TUESDAYS"]
    assert room.asked == []


async def test_refusal_weather_and_poison_stay_with_their_items() -> None:
    room = StockRoom(g2=SoldOut(), g3=Weather("lock time-out"), g4=Poison("bad row"))
    outcomes = await room.serve(*map(item, [1, 2, 3, 4, 5]))
    assert [told(one) for one in outcomes] == [1, "SOLD_OUT", "UNAVAILABLE", "INTERNAL", 5]


async def test_only_bugs_are_reported_and_each_once(caplog: pytest.LogCaptureFixture) -> None:
    bug = Poison("bad row")
    bug.__cause__ = ZeroDivisionError("grams")
    room = StockRoom(g2=SoldOut(), g3=Weather("down"), g4=bug, g5=bug)
    await room.serve(*map(item, [1, 2, 3, 4, 5]))
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors] == ["ZeroDivisionError"]


async def test_items_are_counted_by_what_they_were_told() -> None:
    codes = ("OK", "FAILED_PRECONDITION", "INVALID_ARGUMENT")
    before = [metric("venus_batch_items_total", method="ReserveStock", code=code) for code in codes]
    await StockRoom(g2=SoldOut()).serve(*map(item, [1, 2, 0, 3]))
    after = [metric("venus_batch_items_total", method="ReserveStock", code=code) for code in codes]
    assert [there - was for there, was in zip(after, before, strict=True)] == [2, 1, 1]
