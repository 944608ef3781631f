import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from tests.integration.inventory.conftest import OpenRoom
from tests.integration.inventory.stock_room import (
    A_MOMENT,
    BROILER,
    COMMITTED,
    EXPIRED,
    HELD,
    LIVE,
    SKIN,
    SKINLESS,
    StockRoom,
    an_id,
    assert_book_is_whole,
    balance,
    line,
    reasons,
    refused,
    releasing,
    repeat,
    until_waiting,
    wanted,
)
from venus.inventory.v1 import inventory_service_pb2 as pb
from venus_kit.settings import Isolation
from venus_kit.testing import metric


async def test_stock_is_held_kilograms_and_birds_together(room: StockRoom) -> None:
    await room.open(balance(10_000), balance(42_500, LIVE, bird_count=17))
    held = metric("venus_stock_reservations_total", outcome="held")
    request = wanted(line(2_500), line(7_500, LIVE, bird_count=3))

    reply = await room.orchestrator.ReserveStock(request)

    reservation = reply.reservation
    assert (reservation.store_id, reservation.reservation_id) == (1, request.reservation_id)
    assert (reservation.state, reservation.holder) == (HELD, "orchestrator")
    assert list(reservation.lines) == [line(7_500, LIVE, bird_count=3), line(2_500)]
    stock = await room.stock()
    live, skin = stock[BROILER, LIVE], stock[BROILER, SKIN]
    assert (live.held_grams, live.available_grams, live.held_birds, live.available_birds) == (7_500, 35_000, 3, 14)
    assert (skin.on_hand_grams, skin.held_grams, skin.available_grams, skin.sequence) == (10_000, 2_500, 7_500, 1)
    assert metric("venus_stock_reservations_total", outcome="held") == held + 1
    await assert_book_is_whole(room.urls.migrator)


async def test_a_hold_lasts_as_long_as_asked_or_15_minutes(room: StockRoom) -> None:
    await room.open()
    for ttl, lasts in ((None, timedelta(minutes=15)), (timedelta(hours=24), timedelta(hours=24))):
        reply = await room.orchestrator.ReserveStock(wanted(line(1), ttl=ttl))

        until = reply.reservation.hold_until_time.ToDatetime(UTC)
        created = reply.reservation.create_time.ToDatetime(UTC)
        assert abs(until - created - lasts) < timedelta(seconds=1)
        assert abs(until - datetime.now(UTC) - lasts) < timedelta(seconds=30)


async def test_more_than_available_is_refused_with_both_figures(room: StockRoom) -> None:
    await room.open(balance(10_000), balance(9_000, LIVE, bird_count=4))
    await room.held(line(4_000))
    refusals = metric("venus_stock_reservations_total", outcome="refused")

    told = await refused(room.orchestrator.ReserveStock(wanted(line(6_001))))

    assert told.reason == "INSUFFICIENT_STOCK"
    assert told.metadata == {
        "bird_type": "BROILER",
        "inventory_type": "SKIN",
        "available_grams": "6000",
        "wanted_grams": "6001",
        "available_birds": "0",
        "wanted_birds": "0",
    }
    assert metric("venus_stock_reservations_total", outcome="refused") == refusals + 1
    assert await room.count("reservation") == 1
    assert (await room.skin()).held_grams == 4_000


async def test_too_few_birds_are_refused_though_the_weight_is_there(room: StockRoom) -> None:
    await room.open(balance(9_000, LIVE, bird_count=4))

    told = await refused(room.orchestrator.ReserveStock(wanted(line(5_000, LIVE, bird_count=5))))

    assert told.reason == "INSUFFICIENT_STOCK"
    assert (told.metadata["available_birds"], told.metadata["wanted_birds"]) == ("4", "5")


async def test_a_pool_that_was_never_opened_has_nothing(room: StockRoom) -> None:
    told = await refused(room.orchestrator.ReserveStock(wanted(line(1))))

    assert told.reason == "INSUFFICIENT_STOCK"
    assert (told.metadata["available_grams"], told.metadata["wanted_grams"]) == ("0", "1")


async def test_a_cart_is_held_whole_or_not_at_all(room: StockRoom) -> None:
    await room.open(balance(10_000), balance(1_000, SKINLESS))

    told = await refused(room.orchestrator.ReserveStock(wanted(line(5_000), line(1_001, SKINLESS))))

    assert told.metadata["inventory_type"] == "SKINLESS"
    assert (await room.skin()).held_grams == 0
    assert await room.count("reservation") == await room.count("reservation_line") == 0


async def test_two_lines_same_pool_sum(room: StockRoom) -> None:
    """BRO-SKIN 60 kg + CW-001 60 kg draw on one pool with 95 kg: each would fit alone."""
    await room.open(balance(95_000))

    told = await refused(room.orchestrator.ReserveStock(wanted(line(60_000), line(60_000))))

    assert told.reason == "INSUFFICIENT_STOCK"
    assert (told.metadata["available_grams"], told.metadata["wanted_grams"]) == ("95000", "120000")
    reply = await room.orchestrator.ReserveStock(wanted(line(60_000), line(35_000)))
    assert list(reply.reservation.lines) == [line(95_000)]


async def test_two_tills_of_8_kg_on_10_kg_one_wins(room: StockRoom) -> None:
    await room.open(balance(10_000))
    tills = [wanted(line(8_000)) for _ in range(2)]

    answers = await asyncio.gather(*(room.reserve(till) for till in tills))

    assert sorted(reasons([outcome for (outcome,) in answers])) == ["", "INSUFFICIENT_STOCK"]
    (winner,) = [o.reply.reservation.reservation_id for (o,) in answers if o.HasField("reply")]
    await room.commit(winner)
    assert (await room.skin()).on_hand_grams == 2_000
    await assert_book_is_whole(room.urls.migrator)


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])
async def test_direct_reserve_race(open_room: OpenRoom, isolation: Isolation) -> None:
    """Callers of two replicas, alone and in batches, want three times what there is."""
    one, other = await open_room(isolation=isolation), await open_room(isolation=isolation)
    await one.open(balance(40_000))

    single = [(one, other)[turn % 2].sales.ReserveStock(wanted(line(1_000))) for turn in range(40)]
    batches = [(one, other)[turn % 2].reserve(*(wanted(line(1_000)) for _ in range(20))) for turn in range(4)]
    alone, together = await asyncio.gather(asyncio.gather(*single, return_exceptions=True), asyncio.gather(*batches))

    won = sum(isinstance(reply, pb.ReserveStockResponse) for reply in alone)
    won += sum(outcome.HasField("reply") for outcomes in together for outcome in outcomes)
    assert {reason for outcomes in together for reason in reasons(outcomes)} <= {"", "INSUFFICIENT_STOCK"}
    assert won == 40
    skin = await one.skin()
    assert (skin.held_grams, skin.available_grams) == (40_000, 0)
    await assert_book_is_whole(one.urls.migrator)


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read"])
async def test_opposite_carts_of_20_workers_do_not_deadlock(open_room: OpenRoom, isolation: Isolation) -> None:
    rooms = [await open_room(isolation=isolation) for _ in range(4)]
    await rooms[0].open(balance(10_000_000), balance(10_000_000, SKINLESS), balance(10_000_000, LIVE, 10_000))
    lines = [line(1_000), line(1_000, SKINLESS), line(1_000, LIVE, 1)]
    deadlocks = metric("venus_db_retries_total", service="inventory", sqlstate="40P01")

    async def till(number: int) -> None:
        room = rooms[number % len(rooms)]
        for turn in range(5):
            order = lines if (number + turn) % 2 else lines[::-1]
            reservation_id = await room.held(*order)
            if turn % 2:
                await room.commit(reservation_id)
            else:
                await room.release(reservation_id)

    await asyncio.gather(*(till(number) for number in range(20)))

    assert metric("venus_db_retries_total", service="inventory", sqlstate="40P01") == deadlocks
    skin = await rooms[0].skin()
    assert (skin.on_hand_grams, skin.held_grams) == (10_000_000 - 20 * 2 * 1_000, 0)
    await assert_book_is_whole(rooms[0].urls.migrator)


async def test_a_repeat_answers_with_the_hold_in_force(room: StockRoom) -> None:
    await room.open()
    request = wanted(line(4_000), line(2_000))
    first = await room.orchestrator.ReserveStock(request)

    reordered = repeat(request, [line(2_000), line(4_000)])  # the same goods
    reordered.ttl.FromTimedelta(timedelta(days=1))  # how long is not what the id stands for

    assert await room.orchestrator.ReserveStock(reordered) == first
    assert (await room.skin()).held_grams == 6_000
    assert await room.count("reservation") == 1


async def test_other_goods_under_the_same_id_are_a_mismatch(room: StockRoom) -> None:
    await room.open()
    request = wanted(line(4_000))
    await room.orchestrator.ReserveStock(request)

    told = await refused(room.orchestrator.ReserveStock(repeat(request, [line(4_001)])))

    assert told.reason == "IDEMPOTENCY_MISMATCH"
    assert (await room.skin()).held_grams == 4_000


async def test_another_service_cannot_take_over_an_id(room: StockRoom) -> None:
    await room.open()
    request = wanted(line(4_000))
    await room.orchestrator.ReserveStock(request)

    assert (await refused(room.sales.ReserveStock(request))).reason == "IDEMPOTENCY_MISMATCH"


async def test_twins_in_flight_hold_once(open_room: OpenRoom) -> None:
    rooms = [await open_room(), await open_room()]
    await rooms[0].open()
    request = wanted(line(4_000))

    replies = await asyncio.gather(*(rooms[n % 2].orchestrator.ReserveStock(request) for n in range(50)))

    assert all(reply == replies[0] for reply in replies)
    assert (await rooms[0].skin()).held_grams == 4_000


async def test_a_refused_id_may_try_again_when_there_is_stock(room: StockRoom) -> None:
    await room.open(balance(1_000))
    blocker = await room.held(line(1_000))
    request = wanted(line(500))
    await refused(room.orchestrator.ReserveStock(request))
    await room.release(blocker)

    assert (await room.orchestrator.ReserveStock(request)).reservation.state == HELD


async def test_late_do_is_refused(room: StockRoom) -> None:
    await room.open()
    request = wanted(line(1_000))
    await room.release(request.reservation_id)

    told = await refused(room.orchestrator.ReserveStock(request))

    assert told.reason == "RESERVATION_RELEASED"
    assert (await room.skin()).held_grams == 0
    assert await room.count("reservation_line") == 0


async def test_a_released_id_is_refused_for_ever(room: StockRoom) -> None:
    await room.open()
    request = wanted(line(1_000))
    await room.orchestrator.ReserveStock(request)
    await room.orchestrator.ReleaseStock(releasing(request.reservation_id))

    assert (await refused(room.orchestrator.ReserveStock(request))).reason == "RESERVATION_RELEASED"


async def test_a_committed_id_answers_done(room: StockRoom) -> None:
    await room.open()
    request = wanted(line(1_000))
    await room.orchestrator.ReserveStock(request)
    await room.commit(request.reservation_id)

    assert (await room.orchestrator.ReserveStock(request)).reservation.state == COMMITTED
    assert (await room.skin()).on_hand_grams == 9_000


async def test_ttl_is_enforced(room: StockRoom) -> None:
    """No sweeper runs: whoever needs the stock takes it from holds that ran out."""
    await room.open()
    late = await room.held(line(8_000), ttl=A_MOMENT)
    await asyncio.sleep(0.01)

    assert (await room.orchestrator.ReserveStock(wanted(line(9_000)))).reservation.state == HELD

    assert await room.state(late) == EXPIRED
    skin = await room.skin()
    assert (skin.held_grams, skin.available_grams) == (9_000, 1_000)
    await assert_book_is_whole(room.urls.migrator)


async def test_a_hold_that_ran_out_stays_while_nobody_needs_its_stock(room: StockRoom) -> None:
    await room.open()
    late = await room.held(line(5_000), ttl=A_MOMENT)
    await asyncio.sleep(0.01)

    await room.held(line(5_000))

    assert await room.state(late) == HELD


async def test_reclaiming_frees_the_other_pools_of_a_hold_too(room: StockRoom) -> None:
    await room.open(balance(10_000), balance(10_000, SKINLESS), balance(10_000, LIVE, 10))
    late = await room.held(line(9_000), line(9_000, SKINLESS), line(9_000, LIVE, 9), ttl=A_MOMENT)
    await asyncio.sleep(0.01)

    await room.held(line(5_000, SKINLESS))

    assert await room.state(late) == EXPIRED
    assert [pool.held_grams for pool in (await room.stock()).values()] == [0, 0, 5_000]
    await assert_book_is_whole(room.urls.migrator)


async def test_holds_that_ran_out_are_reclaimed_by_20_workers_without_deadlock(open_room: OpenRoom) -> None:
    rooms = [await open_room() for _ in range(4)]
    await rooms[0].open(balance(20_000), balance(20_000, SKINLESS), balance(20_000, LIVE, 20))
    forms = [(line(1_000), line(1_000, SKINLESS)), (line(1_000, LIVE, 1), line(1_000)), (line(1_000, SKINLESS),)]
    deadlocks = metric("venus_db_retries_total", service="inventory", sqlstate="40P01")

    async def till(number: int) -> None:
        for turn in range(6):
            outcomes = await rooms[number % 4].reserve(wanted(*forms[(number + turn) % 3], ttl=A_MOMENT))
            assert set(reasons(outcomes)) <= {"", "INSUFFICIENT_STOCK"}

    await asyncio.gather(*(till(number) for number in range(20)))

    assert metric("venus_db_retries_total", service="inventory", sqlstate="40P01") == deadlocks
    await assert_book_is_whole(rooms[0].urls.migrator)
    await asyncio.sleep(0.01)
    assert (await rooms[0].skin()).available_grams == 20_000


async def test_a_repeat_of_an_expired_hold_holds_again(room: StockRoom) -> None:
    await room.open()
    request = wanted(line(8_000), ttl=A_MOMENT)
    first = await room.orchestrator.ReserveStock(request)
    await asyncio.sleep(0.01)
    blocker = await room.held(line(8_000))
    await room.release(blocker)
    assert await room.state(request.reservation_id) == EXPIRED

    again = await room.orchestrator.ReserveStock(repeat(request))

    assert again.reservation.state == HELD
    assert again.reservation.hold_until_time.ToDatetime() > first.reservation.hold_until_time.ToDatetime()
    assert again.reservation.create_time == first.reservation.create_time
    assert (await room.skin()).held_grams == 8_000
    await assert_book_is_whole(room.urls.migrator)


async def test_a_repeat_of_an_expired_hold_is_refused_when_its_stock_is_gone(room: StockRoom) -> None:
    await room.open()
    request = wanted(line(8_000), ttl=A_MOMENT)
    await room.orchestrator.ReserveStock(request)
    await asyncio.sleep(0.01)
    await room.held(line(8_000))

    told = await refused(room.orchestrator.ReserveStock(repeat(request)))

    assert told.reason == "INSUFFICIENT_STOCK"
    assert await room.state(request.reservation_id) == EXPIRED
    await assert_book_is_whole(room.urls.migrator)


async def test_a_repeat_of_a_hold_that_ran_out_but_still_has_its_stock_holds_on(room: StockRoom) -> None:
    await room.open()
    request = wanted(line(8_000), ttl=A_MOMENT)
    await room.orchestrator.ReserveStock(request)
    await asyncio.sleep(0.01)

    again = await room.orchestrator.ReserveStock(repeat(request))

    assert again.reservation.hold_until_time.ToDatetime(UTC) > datetime.now(UTC)
    assert (await refused(room.orchestrator.ReserveStock(wanted(line(8_000))))).reason == "INSUFFICIENT_STOCK"
    assert (await room.skin()).held_grams == 8_000
    await assert_book_is_whole(room.urls.migrator)


async def test_what_happens_while_a_repeat_waits_for_its_pools_counts(room: StockRoom) -> None:
    """The id is looked at before the lock and after it: an end in between is the answer."""
    await room.open()
    request = wanted(line(8_000), ttl=A_MOMENT)
    await room.orchestrator.ReserveStock(request)
    await asyncio.sleep(0.01)
    other = await asyncpg.connect(room.urls.migrator)
    async with other.transaction():
        await other.execute("SELECT * FROM pool FOR UPDATE")
        waiting = asyncio.ensure_future(refused(room.orchestrator.ReserveStock(repeat(request))))
        await until_waiting(room.urls.migrator)
        await other.execute("UPDATE reservation SET state = 'RELEASED', ended_at = venus_now()")
        await other.execute("UPDATE pool SET held_grams = 0")
    await other.close()

    assert (await waiting).reason == "RESERVATION_RELEASED"
    assert (await room.skin()).held_grams == 0


async def test_a_store_in_trouble_is_not_asked(room: StockRoom) -> None:
    """What has begun is finished: the store's status does not matter here."""
    await room.open()
    await room.sql("UPDATE store SET status = 'MAINTENANCE', version = 2 WHERE store_id = 1")

    assert await room.held(line(1_000))


async def test_a_malformed_request_is_refused_by_field(room: StockRoom) -> None:
    for request, field in (
        (wanted(), "lines"),
        (wanted(line(0)), "lines[0].weight_grams"),
        (wanted(line(1), line(1, SKIN, bird_count=1)), "lines[1]"),
        (wanted(line(1, LIVE)), "lines[0]"),
        (wanted(line(1), store_id=0), "store_id"),
        (wanted(line(1), reservation_id="till-1"), "reservation_id"),
        (wanted(line(1), ttl=timedelta(0)), "ttl"),
        (wanted(line(1), ttl=timedelta(days=8)), "ttl"),
    ):
        told = await refused(room.orchestrator.ReserveStock(request))
        assert told.reason == "INVALID_REQUEST"
        assert [violation.field for violation in told.violations] == [field]


async def test_ids_belong_to_their_store(room: StockRoom) -> None:
    await room.open()
    await room.open(store_id=2)

    await room.held(line(1_000), reservation_id=an_id(1))
    await room.held(line(2_000), reservation_id=an_id(1), store_id=2)

    assert [(await room.skin(store)).held_grams for store in (1, 2)] == [1_000, 2_000]
