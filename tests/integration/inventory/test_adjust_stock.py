import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime

from grpc.aio import AioRpcError

from tests.integration.inventory.conftest import OpenRoom
from tests.integration.inventory.stock_room import (
    A_MOMENT,
    ADJUSTMENT,
    BROILER,
    EXPIRED,
    KEEPER,
    LIVE,
    SKINLESS,
    WASTAGE,
    StockRoom,
    adjusting,
    assert_book_is_whole,
    balance,
    line,
    refused,
    wanted,
)
from venus.inventory.v1 import inventory_service_pb2 as pb
from venus.inventory.v1 import pool_pb2
from venus_kit.access import Person
from venus_kit.testing import DatabaseUrls, SharedPostgres, metric

EVERYWHERE = Person("auditor-1", permissions=KEEPER.permissions, all_stores=True)


def delta(weight_grams: int, bird_count: int = 0) -> pb.StockDelta:
    return pb.StockDelta(weight_grams=weight_grams, bird_count=bird_count)


def count(weight_grams: int, bird_count: int = 0, at: int | None = None) -> pb.StockCount:
    return pb.StockCount(weight_grams=weight_grams, bird_count=bird_count, counted_at_sequence=at)


async def test_a_difference_is_booked_with_its_reason(room: StockRoom) -> None:
    await room.open(balance(10_000), balance(42_500, LIVE, 17))
    adjusted = metric("venus_stock_movements_total", reason="ADJUSTMENT")
    request = adjusting(delta(-2_000, -1), LIVE)

    reply = await room.adjust(request)

    assert (reply.pool.on_hand_grams, reply.pool.on_hand_birds, reply.pool.sequence) == (40_500, 16, 2)
    movement = reply.movement
    assert (movement.weight_grams, movement.bird_count, movement.reason) == (-2_000, -1, ADJUSTMENT)
    assert (movement.sequence, movement.reference) == (2, request.adjustment_id)
    assert not reply.replayed
    assert (await room.stock())[BROILER, LIVE] == reply.pool
    assert metric("venus_stock_movements_total", reason="ADJUSTMENT") == adjusted + 1
    (row,) = await room.sql("SELECT * FROM adjustment")
    assert (row["actor"], row["note"], row["reason"]) == ("manager-1", "stock-take", "ADJUSTMENT")
    await assert_book_is_whole(room.urls.migrator)


async def test_a_count_books_the_difference_to_what_the_book_says(room: StockRoom) -> None:
    await room.open(balance(42_000, LIVE, 18))

    reply = await room.adjust(adjusting(count(42_500, 17, at=1), LIVE))

    assert (reply.pool.on_hand_grams, reply.pool.on_hand_birds) == (42_500, 17)
    assert (reply.movement.weight_grams, reply.movement.bird_count) == (500, -1)


async def test_a_count_that_finds_what_the_book_says_moves_nothing(room: StockRoom) -> None:
    await room.open()
    request = adjusting(count(10_000))

    reply = await room.adjust(request)

    assert not reply.HasField("movement")
    assert reply.pool.sequence == 1
    again = await room.adjust(request)
    assert again.replayed
    assert not again.HasField("movement")
    assert await room.movements() == []


async def test_a_repeat_gets_the_first_answer_after_the_stock_has_moved(room: StockRoom) -> None:
    await room.open()
    await room.held(line(1_000))
    request = adjusting(delta(500))
    first = await room.adjust(request)
    await room.adjust(adjusting(delta(7)))

    again = await room.adjust(request)

    assert again.replayed
    assert (again.pool, again.movement) == (first.pool, first.movement)
    assert first.pool.held_grams == 1_000
    assert (await room.skin()).on_hand_grams == 10_507


async def test_another_content_under_the_same_id_is_a_mismatch(room: StockRoom) -> None:
    await room.open(balance(10_000), balance(5, SKINLESS))
    request = adjusting(delta(500))
    await room.adjust(request)
    changes: list[Callable[[pb.AdjustStockRequest], object]] = [
        lambda one: one.delta.CopyFrom(delta(501)),
        lambda one: one.count.CopyFrom(count(500)),
        lambda one: setattr(one, "note", "other"),
        lambda one: setattr(one, "inventory_type", SKINLESS),
    ]

    for change in changes:
        other = pb.AdjustStockRequest()
        other.CopyFrom(request)
        change(other)
        assert (await refused(room.adjust(other))).reason == "IDEMPOTENCY_MISMATCH"
    assert (await room.skin()).on_hand_grams == 10_500


async def test_twins_in_flight_are_booked_once(open_room: OpenRoom) -> None:
    rooms = [await open_room(), await open_room()]
    await rooms[0].open()
    request = adjusting(delta(500))

    replies = await asyncio.gather(*(rooms[n % 2].adjust(request) for n in range(20)))

    assert all((reply.pool, reply.movement) == (replies[0].pool, replies[0].movement) for reply in replies)
    assert (await rooms[0].skin()).on_hand_grams == 10_500


async def test_taking_more_than_available_is_refused(room: StockRoom) -> None:
    await room.open(balance(10_000), balance(9_000, LIVE, 4))
    await room.held(line(4_000))

    told = await refused(room.adjust(adjusting(delta(-6_001))))

    assert told.reason == "INSUFFICIENT_STOCK"
    assert (told.metadata["available_grams"], told.metadata["wanted_grams"]) == ("6000", "6001")
    assert (await refused(room.adjust(adjusting(delta(1_000, -5), LIVE)))).reason == "INSUFFICIENT_STOCK"
    assert await room.count("adjustment") == 0
    await room.adjust(adjusting(delta(-6_000), reason=WASTAGE))


async def test_a_refused_id_may_try_again(room: StockRoom) -> None:
    await room.open(balance(1_000))
    request = adjusting(delta(-2_000))
    await refused(room.adjust(request))
    await room.adjust(adjusting(delta(5_000)))

    assert (await room.adjust(request)).pool.on_hand_grams == 4_000


async def test_a_count_while_stock_is_held_is_refused(room: StockRoom) -> None:
    await room.open()
    reservation_id = await room.held(line(1_000))

    told = await refused(room.adjust(adjusting(count(9_000))))

    assert (told.reason, told.metadata["held_grams"]) == ("COUNT_DURING_SALE", "1000")
    await room.release(reservation_id)
    assert (await room.adjust(adjusting(count(9_000)))).pool.on_hand_grams == 9_000


async def test_a_hold_that_ran_out_does_not_hinder_a_count(room: StockRoom) -> None:
    await room.open(balance(10_000), balance(10_000, SKINLESS))
    late = await room.held(line(1_000), line(1_000, SKINLESS), ttl=A_MOMENT)
    await asyncio.sleep(0.01)

    reply = await room.adjust(adjusting(count(9_500)))

    assert (reply.pool.held_grams, reply.pool.available_grams) == (0, 9_500)
    assert await room.state(late) == EXPIRED
    await assert_book_is_whole(room.urls.migrator)


async def test_a_stale_count_is_refused(room: StockRoom) -> None:
    await room.open()
    await room.adjust(adjusting(delta(-1_000)))

    told = await refused(room.adjust(adjusting(count(10_000, at=1))))

    assert told.reason == "COUNT_STALE"
    assert told.metadata == {"counted_at_sequence": "1", "current_sequence": "2"}
    assert (await room.adjust(adjusting(count(9_900, at=2)))).pool.on_hand_grams == 9_900


async def test_two_counts_at_once_have_one_winner(open_room: OpenRoom) -> None:
    rooms = [await open_room(), await open_room()]
    await rooms[0].open()

    answers = await asyncio.gather(
        *(rooms[n % 2].adjust(adjusting(count(9_000 + n, at=1))) for n in range(20)), return_exceptions=True
    )

    assert len([one for one in answers if isinstance(one, pb.AdjustStockResponse)]) == 1
    assert len(await rooms[0].movements()) == 1


async def test_wastage_only_takes_away(room: StockRoom) -> None:
    await room.open(balance(10_000), balance(9_000, LIVE, 4))

    for request in (
        adjusting(delta(1), reason=WASTAGE),
        adjusting(delta(-100, 1), LIVE, reason=WASTAGE),
        adjusting(count(10_001), reason=WASTAGE),
    ):
        assert (await refused(room.adjust(request))).reason == "REASON_NOT_ALLOWED"
    assert (await room.adjust(adjusting(count(9_000), reason=WASTAGE))).movement.weight_grams == -1_000


async def test_a_pool_that_was_never_opened_is_not_open(room: StockRoom) -> None:
    told = await refused(room.adjust(adjusting(delta(500))))

    assert told.reason == "POOL_NOT_OPEN"
    assert told.metadata == {"bird_type": "BROILER", "inventory_type": "SKIN"}


async def test_an_unknown_store_is_not_found(room: StockRoom) -> None:
    assert (await refused(room.adjust(adjusting(delta(500), store_id=99)))).reason == "STORE_NOT_FOUND"


async def test_a_malformed_request_is_refused_by_field(room: StockRoom) -> None:
    await room.open()
    for request, field, reason in (
        (adjusting(delta(500, 1)), "delta.bird_count", "BIRD_COUNT_INVALID"),
        (adjusting(count(500, 1)), "count.bird_count", "BIRD_COUNT_INVALID"),
        (adjusting(delta(0)), "delta", "DELTA_EMPTY"),
        (adjusting(delta(1), note="a\0b"), "note", "string.not_contains"),
        (adjusting(delta(1), reason=pool_pb2.MOVEMENT_REASON_SALE), "reason", "enum.in"),
        (pb.AdjustStockRequest(store_id=1), "adjustment", "required"),
    ):
        told = await refused(room.orchestrator.AdjustStock(request, metadata=room.as_person(EVERYWHERE)))
        assert told.reason == "INVALID_REQUEST"
        assert (told.violations[0].field, told.violations[0].reason) == (field, reason)


async def test_the_business_date_is_that_of_the_store(
    postgres: SharedPostgres, urls: DatabaseUrls, open_room: OpenRoom
) -> None:
    """19:00 UTC is the next day in Kolkata, and the same evening in Berlin."""
    postgres.shift_time(urls, datetime(2026, 1, 5, 19, 0, tzinfo=UTC) - datetime.now(UTC))
    room = await open_room()
    await room.open()
    await room.open(store_id=2)

    await room.adjust(adjusting(delta(1)))
    await room.adjust(adjusting(delta(1), store_id=2))

    rows = await room.sql("SELECT DISTINCT store_id, business_date FROM movement ORDER BY store_id")
    assert [row["business_date"] for row in rows] == [date(2026, 1, 6), date(2026, 1, 5)]


async def test_adjustments_and_sales_at_once_keep_the_book_whole(open_room: OpenRoom) -> None:
    rooms = [await open_room(), await open_room()]
    await rooms[0].open(balance(50_000), balance(50_000, LIVE, 500))

    async def manager(number: int) -> None:
        for turn in range(5):
            request = adjusting(delta(-1_000, -7), LIVE) if turn % 2 else adjusting(delta(-3_000), reason=WASTAGE)
            with suppress(AioRpcError):  # nothing left: the sales were faster
                await rooms[number % 2].adjust(request)

    async def till(number: int) -> None:
        for turn in range(5):
            cart = wanted(line(2_000), line(1_000, LIVE, 9))
            (outcome,) = await rooms[(number + turn) % 2].reserve(cart)
            if outcome.HasField("reply"):
                await rooms[number % 2].commit(cart.reservation_id)

    await asyncio.gather(*(worker(n) for n in range(10) for worker in (manager, till)))

    stock = await rooms[0].stock()
    assert all(pool.available_grams >= 0 and pool.held_grams == 0 for pool in stock.values())
    assert stock[BROILER, LIVE].sequence > 20
    await assert_book_is_whole(rooms[0].urls.migrator)
