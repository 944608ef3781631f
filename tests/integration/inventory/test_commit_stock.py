import asyncio
from datetime import date

from tests.integration.inventory.conftest import OpenRoom
from tests.integration.inventory.stock_room import (
    A_MOMENT,
    BROILER,
    COMMITTED,
    EXPIRED,
    HELD,
    LIVE,
    RELEASED,
    SKIN,
    SKINLESS,
    StockRoom,
    adjusting,
    an_id,
    assert_book_is_whole,
    balance,
    committing,
    line,
    refused,
    releasing,
    wanted,
)
from venus.inventory.v1 import inventory_service_pb2 as pb
from venus_kit.testing import metric


async def test_held_goods_go_out_of_the_book(room: StockRoom) -> None:
    await room.open(balance(10_000), balance(9_000, LIVE, 4))
    reservation_id = await room.held(line(2_500), line(3_000, LIVE, 2))
    sold = metric("venus_stock_movements_total", reason="SALE")

    reply = await room.orchestrator.CommitStock(committing(reservation_id))

    assert list(reply.corrections) == []
    stock = await room.stock()
    live, skin = stock[BROILER, LIVE], stock[BROILER, SKIN]
    assert (live.on_hand_grams, live.held_grams, live.on_hand_birds, live.held_birds) == (6_000, 0, 2, 0)
    assert (skin.on_hand_grams, skin.held_grams, skin.sequence) == (7_500, 0, 2)
    assert await room.movements() == [("SALE", -3_000, -2, 2), ("SALE", -2_500, 0, 2)]
    row = (await room.sql("SELECT * FROM movement WHERE reason = 'SALE' AND inventory_type = 'SKIN'"))[0]
    assert (row["reference"], row["business_date"], row["on_hand_grams"]) == (
        reservation_id,
        date(2026, 1, 5),
        7_500,
    )
    assert await room.state(reservation_id) == COMMITTED
    assert metric("venus_stock_movements_total", reason="SALE") == sold + 2
    await assert_book_is_whole(room.urls.migrator)


async def test_a_repeat_changes_nothing(room: StockRoom) -> None:
    await room.open()
    reservation_id = await room.held(line(2_500))
    sold = metric("venus_stock_movements_total", reason="SALE")

    for _ in range(3):
        await room.orchestrator.CommitStock(committing(reservation_id))

    assert (await room.skin()).on_hand_grams == 7_500
    assert metric("venus_stock_movements_total", reason="SALE") == sold + 1


async def test_double_commit_race(open_room: OpenRoom) -> None:
    rooms = [await open_room(), await open_room()]
    await rooms[0].open()
    reservation_id = await rooms[0].held(line(2_500))

    replies = await asyncio.gather(
        *(rooms[n % 2].orchestrator.CommitStock(committing(reservation_id)) for n in range(20))
    )

    assert all(reply == replies[0] for reply in replies)
    assert await rooms[0].movements() == [("SALE", -2_500, 0, 2)]
    assert (await rooms[0].skin()).on_hand_grams == 7_500


async def test_a_hold_that_ran_out_but_still_has_its_stock_commits_without_correction(room: StockRoom) -> None:
    await room.open()
    late = await room.held(line(8_000), ttl=A_MOMENT)
    await asyncio.sleep(0.01)

    reply = await room.orchestrator.CommitStock(committing(late))

    assert list(reply.corrections) == []
    assert await room.movements() == [("SALE", -8_000, 0, 2)]


async def test_an_expired_hold_commits_and_what_lacks_is_credited_first(room: StockRoom) -> None:
    await room.open(balance(10_000), balance(9_000, LIVE, 4), balance(5_000, SKINLESS))
    late = await room.held(line(8_000), line(6_000, LIVE, 3), line(1_000, SKINLESS), ttl=A_MOMENT)
    await asyncio.sleep(0.01)
    other = await room.held(line(7_000), line(2_000, LIVE, 3))
    assert await room.state(late) == EXPIRED
    corrected = metric("venus_stock_movements_total", reason="OVERSALE_CORRECTION")

    reply = await room.orchestrator.CommitStock(committing(late))

    # 10 kg - 7 kg held leaves 3 of 8; the birds lack 2 though their weight is there
    assert list(reply.corrections) == [line(0, LIVE, 2), line(5_000)]
    assert await room.movements() == [
        ("OVERSALE_CORRECTION", 0, 2, 2),
        ("SALE", -6_000, -3, 3),
        ("OVERSALE_CORRECTION", 5_000, 0, 2),
        ("SALE", -8_000, 0, 3),
        ("SALE", -1_000, 0, 2),
    ]
    skin = await room.skin()
    assert (skin.on_hand_grams, skin.held_grams, skin.available_grams) == (7_000, 7_000, 0)
    assert metric("venus_stock_movements_total", reason="OVERSALE_CORRECTION") == corrected + 2
    assert await room.orchestrator.CommitStock(committing(late)) == reply  # the first answer, corrections included
    await room.orchestrator.CommitStock(committing(other))
    await assert_book_is_whole(room.urls.migrator)


async def test_a_late_commit_takes_from_other_holds_that_ran_out_before_it_corrects(room: StockRoom) -> None:
    await room.open()
    late = await room.held(line(8_000), ttl=A_MOMENT)
    await asyncio.sleep(0.01)
    abandoned = await room.held(line(9_000), ttl=A_MOMENT)
    await asyncio.sleep(0.01)

    reply = await room.orchestrator.CommitStock(committing(late))

    assert list(reply.corrections) == []
    assert await room.state(abandoned) == EXPIRED
    assert (await room.skin()).on_hand_grams == 2_000
    await assert_book_is_whole(room.urls.migrator)


async def test_commit_vs_expire(open_room: OpenRoom) -> None:
    """A commit and a reserve that would take the hold's stock at once: whoever wins, the book is whole."""
    rooms = [await open_room(), await open_room()]
    await rooms[0].open(balance(10_000))
    for turn in range(20):
        late = await rooms[0].held(line(8_000), ttl=A_MOMENT)
        await asyncio.sleep(0.002)
        cart = wanted(line(8_000))
        commit, (reserve,) = await asyncio.gather(
            rooms[turn % 2].orchestrator.CommitStock(committing(late)), rooms[1 - turn % 2].reserve(cart)
        )
        if reserve.HasField("reply"):  # it was first and took the stock: the goods of both are gone
            assert list(commit.corrections) == [line(6_000)]
            await rooms[0].release(cart.reservation_id)
        else:
            assert list(commit.corrections) == []
        gone_grams = 10_000 - (await rooms[0].skin()).on_hand_grams
        await rooms[0].adjust(adjusting(pb.StockDelta(weight_grams=gone_grams)))

    await assert_book_is_whole(rooms[0].urls.migrator)


async def test_a_released_hold_cannot_be_committed(room: StockRoom) -> None:
    await room.open()
    reservation_id = await room.held(line(2_500))
    await room.orchestrator.ReleaseStock(releasing(reservation_id))

    told = await refused(room.orchestrator.CommitStock(committing(reservation_id)))

    assert told.reason == "RESERVATION_RELEASED"
    assert await room.state(reservation_id) == RELEASED
    assert await room.movements() == []


async def test_what_never_came_cannot_be_committed(room: StockRoom) -> None:
    told = await refused(room.orchestrator.CommitStock(committing(an_id(1))))

    assert told.reason == "RESERVATION_NOT_FOUND"
    assert await room.count("reservation") == 0


async def test_only_its_holder_may_commit_a_hold(room: StockRoom) -> None:
    await room.open()
    reservation_id = await room.held(line(2_500))

    told = await refused(room.sales.CommitStock(committing(reservation_id)))

    assert told.reason == "RESERVATION_NOT_YOURS"
    assert await room.state(reservation_id) == HELD


async def test_a_date_that_is_in_no_calendar_is_refused(room: StockRoom) -> None:
    request = committing(an_id(1))
    request.business_date = "2026-02-30"

    told = await refused(room.orchestrator.CommitStock(request))

    assert [violation.field for violation in told.violations] == ["business_date"]
